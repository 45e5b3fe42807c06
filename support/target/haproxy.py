"""HAProxy's statistics page, read only.

Source: https://docs.haproxy.org/2.6/management.html#9.1 (the columns)
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex

import requests

from support.errors import NotAvailable
from support.target import http
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Login, StatisticsPage, Topology
from support.timeouts import REST
from support.waiting import NotYet

_SERVER = "2"
"""The type of rows about servers; other rows are about a whole proxy, or about one of its listeners."""

VISITORS: Mapping[str, Callable[[Login], Login | None]] = {
    "no credentials": lambda owner: None,
    "an unknown user": lambda owner: Login(f"accept-{token_hex(4)}", owner.password),
    "the user, wrong password": lambda owner: Login(owner.user, token_hex(8)),
    "the user, right password": lambda owner: owner,
}
"""Visitor of the statistics page -> the credentials that the visitor sends, derived from the right ones."""

RESERVE = "backup"
"""The position of a backup server that is up, but gets no sessions as long as another server does."""

_RECEPTIONS = {requests.codes.ok: "served", requests.codes.unauthorized: "refused"}


@dataclass(frozen=True)
class ServerRow:
    """One server in one proxy (backend or listen section)."""

    proxy: str
    server: str
    status: str
    """UP, DOWN, MAINT, DRAIN, "no check"; "UP 1/3" is up and failing, "DOWN 1/2" is down and recovering."""
    check: str
    """The result of the last health check: L7OK/200, L7STS/503, L4CON, ..."""
    sessions: int
    """Open sessions now."""
    served: int = 0
    """Sessions since HAProxy started."""
    address: str = ""
    """host:port; shown to administrators, and with `stats show-legends`."""
    in_reserve: bool = False
    """Whether it is a backup server that gets no sessions, because a regular server of the proxy is up."""
    is_backup: bool = False
    """Whether it is a backup server, in use or not."""

    @property
    def position(self) -> str:
        """Whether new sessions are sent there: "up" or "down", RESERVE, or HAProxy's word for a forced state."""
        first = self.status.partition(" ")[0].lower()
        if self.in_reserve and first in ("up", "no"):  # as in "no check"
            return RESERVE
        return first if first in ("up", "down") else self.status.lower()


@dataclass(frozen=True)
class Statistics:
    """The statistics page at one moment."""

    servers: tuple[ServerRow, ...]
    algorithms: Mapping[str, str]
    """Backend -> its balancing algorithm; shown to administrators, and with `stats show-legends`."""


def servers(page: StatisticsPage) -> tuple[ServerRow, ...]:
    """Every server of every proxy. Raises NotYet if the page is not served to the known login."""
    return statistics(page).servers


def statistics(page: StatisticsPage) -> Statistics:
    """The page now. Raises NotYet if it is not served to the known login, or is not a statistics page."""
    answer = _get(page, page.login)
    if answer.status_code != requests.codes.ok:
        raise NotYet(f"the statistics page {page.url} answered {answer.status_code}")
    if not answer.text.startswith("# pxname,"):
        raise NotYet(f"the answer of {page.url} is not HAProxy's statistics page")
    return parsed(answer.text)


def receptions(page: StatisticsPage, visitors: Iterable[str]) -> dict[str, dict[str, str] | NoAnswer]:
    """Visitor -> "answer" -> how the page answers: "served", "refused", or another status."""
    if page.login is None:
        raise NotAvailable("no credentials of the statistics page were given (HAPROXY_STATS_USER)")
    owner = page.login
    statuses = ask_in_parallel(visitors, lambda visitor: _get(page, VISITORS[visitor](owner)).status_code)
    return {
        visitor: status if isinstance(status, NoAnswer) else {"answer": _RECEPTIONS.get(status, str(status))}
        for visitor, status in statuses.items()
    }


def parsed(text: str) -> Statistics:
    """The statistics in a page in CSV form."""
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("# "))))
    servers = [row for row in rows if row["type"] == _SERVER]
    active = {row["pxname"] for row in servers if not _is_backup(row) and _serves(row)}
    return Statistics(
        tuple(_server_row(row, _is_backup(row) and row["pxname"] in active) for row in servers),
        {row["pxname"]: row["algo"] for row in rows if row["svname"] == "BACKEND" and row.get("algo")},
    )


def positions(
    page: StatisticsPage, members: Collection[str], expected: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, dict[str, str]]:
    """Member -> "write" and "read" -> its position in the backends behind that endpoint, now.

    A server that is not known to be a member has a row of its own if it is up; but where a member's server is unknown,
    a server in the position `expected` of that member is taken to be it.
    """
    rows = servers(page)
    named = (*page.write_backends, *page.read_backends)
    if absent := [one for one in named if one not in {row.proxy for row in rows}]:
        raise NotYet(f"{page.url} shows no servers of {', '.join(absent)}")
    found: dict[str, dict[str, str]] = {name: {} for name in members}
    for end, backends in (("write", page.write_backends), ("read", page.read_backends)):
        pools = [_pool(page, rows, backend, members, _column(expected or {}, end)) for backend in backends]
        for name in dict.fromkeys(name for pool in pools for name in pool):
            found.setdefault(name, {})[end] = _together(backends, [pool.get(name, "no server") for pool in pools])
    return {name: row for name, row in found.items() if row}


@dataclass(frozen=True)
class ReadServer:
    """The server of a member in the backends behind the read endpoint."""

    position: str
    served: int
    """Sessions since HAProxy started."""
    algorithm: str
    """The balancing algorithm of the backend; empty where the page does not show it."""


def read_servers(topology: Topology) -> dict[str, ReadServer]:
    """Member -> its server for reads; empty without a page, or if the page does not show the backends."""
    page = topology.statistics
    if page is None or "pools" in topology.lacks:
        return {}
    now = statistics(page)
    found = {}
    for row in now.servers:
        if row.proxy in page.read_backends:
            name, algorithm = page.member(row.proxy, row.server), now.algorithms.get(row.proxy, "")
            if name not in found or row.position == "up":
                found[name] = ReadServer(row.position, row.served, algorithm)
    return found


def _pool(
    page: StatisticsPage,
    rows: Iterable[ServerRow],
    backend: str,
    members: Collection[str],
    expected: Mapping[str, str],
) -> dict[str, str]:
    """Member, or server that is not a member -> its position in one backend."""
    known: dict[str, str] = {}
    strange: dict[str, str] = {}
    for row in rows:
        if row.proxy == backend:
            name = page.member(row.proxy, row.server)
            (known if name in members else strange)[name] = row.position
    for member in members:
        if member not in known:
            fitting = [name for name, position in strange.items() if position in expected.get(member, "").split(" or ")]
            if fitting:
                known[member] = strange.pop(fitting[0])
    return {**known, **{name: position for name, position in strange.items() if position == "up"}}


def _column(table: Mapping[str, Mapping[str, str]], name: str) -> dict[str, str]:
    return {row: cells[name] for row, cells in table.items() if name in cells}


def _together(backends: Iterable[str], positions: Sequence[str]) -> str:
    """The position in all backends; each with its backend if they differ."""
    if len(set(positions)) == 1:
        return positions[0]
    return ", ".join(f"{position} in {backend}" for backend, position in zip(backends, positions, strict=True))


def _is_backup(row: Mapping[str, str]) -> bool:
    return row.get("bck") == "1"


def _serves(row: Mapping[str, str]) -> bool:
    return row["status"].startswith("UP") or row["status"] == "no check"


def _server_row(row: Mapping[str, str], in_reserve: bool) -> ServerRow:
    check = "/".join(filter(None, (row.get("check_status"), row.get("check_code"))))
    return ServerRow(
        proxy=row["pxname"],
        server=row["svname"],
        status=row["status"],
        check=check,
        sessions=int(row["scur"] or 0),
        served=int(row.get("stot") or 0),
        address=row.get("addr") or "",
        in_reserve=in_reserve,
        is_backup=_is_backup(row),
    )


def _get(page: StatisticsPage, login: Login | None) -> requests.Response:
    credentials = (login.user, login.password) if login else None
    url, verify = f"{page.url.rstrip(';/')}/;csv", page.authority or True
    return http.send("GET", url, auth=credentials, timeout=REST, allow_redirects=False, verify=verify)
