"""HAProxy's statistics page, read only.

Source: https://docs.haproxy.org/2.6/management.html#9.1 (the columns)
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import requests

from support.cluster.topology import Login, StatisticsPage
from support.timeouts import REST
from support.waiting import NotYet

SUMMARIES = frozenset({"FRONTEND", "BACKEND"})


@dataclass(frozen=True)
class ServerRow:
    """One server in one proxy, as HAProxy sees it."""

    proxy: str
    server: str
    status: str
    """UP, DOWN, MAINT, DRAIN, "no check"; "UP 1/3" is up and failing, "DOWN 1/2" is down and recovering."""
    check: str
    """What the last health check came to: L7OK/200, L7STS/503, L4CON, ..."""
    sessions: int
    """Sessions that are open now."""

    @property
    def position(self) -> str:
        """Whether new sessions are sent there: "up" or "down", or in HAProxy's word where somebody forced it."""
        first = self.status.partition(" ")[0].lower()
        return first if first in ("up", "down") else self.status.lower()


def servers(page: StatisticsPage) -> tuple[ServerRow, ...]:
    """Every server of every proxy. Raises NotYet if the page is not served to the known login."""
    answer = _get(page, page.login)
    if answer.status_code != requests.codes.ok:
        raise NotYet(f"the statistics page {page.url} answered {answer.status_code}")
    return parsed(answer.text)


def status_code(page: StatisticsPage, login: Login | None) -> int:
    """The HTTP status with which the page answers someone: 200 is served, 401 is refused."""
    return _get(page, login).status_code


def parsed(text: str) -> tuple[ServerRow, ...]:
    """The servers in the page's CSV form; the summaries of frontends and backends are left out."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
    return tuple(_server_row(row) for row in rows if row["svname"] not in SUMMARIES)


def positions(rows: Iterable[ServerRow], proxy: str) -> dict[str, str]:
    """The position of each server of one proxy, by the server's name."""
    return {row.server: row.position for row in rows if row.proxy == proxy}


def _server_row(row: Mapping[str, str]) -> ServerRow:
    check = "/".join(filter(None, (row.get("check_status"), row.get("check_code"))))
    return ServerRow(row["pxname"], row["svname"], row["status"], check, int(row["scur"] or 0))


def _get(page: StatisticsPage, login: Login | None) -> requests.Response:
    credentials = (login.user, login.password) if login else None
    return requests.get(f"{page.url.rstrip(';/')}/;csv", auth=credentials, timeout=REST, allow_redirects=False)
