"""HAProxy's statistics page, read only.

Source: https://docs.haproxy.org/2.6/management.html#9.1 (the columns)
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from secrets import token_hex

import requests

from support.cluster.rollcall import Silent, ask_each
from support.cluster.topology import Login, StatisticsPage
from support.errors import NotAvailable
from support.timeouts import REST
from support.waiting import NotYet

SUMMARIES = frozenset({"FRONTEND", "BACKEND"})

VISITORS: Mapping[str, Callable[[Login], Login | None]] = {
    "somebody unnamed": lambda owner: None,
    "a stranger": lambda owner: Login(f"accept-{token_hex(4)}", owner.password),
    "the owner, wrong password": lambda owner: Login(owner.user, token_hex(8)),
    "the owner, right password": lambda owner: owner,
}
"""Who may come to the statistics page -> with which credentials, made of the right ones."""

_RECEPTIONS = {requests.codes.ok: "served", requests.codes.unauthorized: "refused"}


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


def receptions(page: StatisticsPage, visitors: Iterable[str]) -> dict[str, dict[str, str]]:
    """Visitor -> "answer" -> how the page answers: "served", "refused", or what else came."""
    if page.login is None:
        raise NotAvailable("no credentials of the statistics page were given (HAPROXY_STATS_USER)")
    owner = page.login
    statuses = ask_each(visitors, lambda visitor: _get(page, VISITORS[visitor](owner)).status_code)
    return {
        visitor: {"answer": str(status) if isinstance(status, Silent) else _RECEPTIONS.get(status, str(status))}
        for visitor, status in statuses.items()
    }


def parsed(text: str) -> tuple[ServerRow, ...]:
    """The servers in the page's CSV form; the summaries of frontends and backends are left out."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
    return tuple(_server_row(row) for row in rows if row["svname"] not in SUMMARIES)


def positions(page: StatisticsPage, members: Collection[str]) -> dict[str, dict[str, str]]:
    """Server -> "write" and "read" -> its position there, now.

    Raises NotAvailable if HAProxy's names of the servers are not those of the members.
    """
    proxies = {page.write_backend: "write", page.read_backend: "read"}
    rows = [row for row in servers(page) if row.proxy in proxies]
    named = sorted({row.server for row in rows})
    if not set(named).intersection(members):
        raise NotAvailable(
            f"HAProxy's servers in {' and '.join(proxies)} ({', '.join(named) or 'none'}) cannot be told: "
            f"name them as Patroni names the members ({', '.join(members)})"
        )
    return {name: {proxies[row.proxy]: row.position for row in rows if row.server == name} for name in named}


def _server_row(row: Mapping[str, str]) -> ServerRow:
    check = "/".join(filter(None, (row.get("check_status"), row.get("check_code"))))
    return ServerRow(row["pxname"], row["svname"], row["status"], check, int(row["scur"] or 0))


def _get(page: StatisticsPage, login: Login | None) -> requests.Response:
    credentials = (login.user, login.password) if login else None
    return requests.get(f"{page.url.rstrip(';/')}/;csv", auth=credentials, timeout=REST, allow_redirects=False)
