"""What can still be seen of a cluster right after a scenario failed there: its logs, its views of itself, the SQL.

Nothing here raises: what cannot be had is said in the attachment that it would have filled.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from support import sql
from support.errors import NotAvailable
from support.hosts import Host
from support.reporting.evidence import Evidence
from support.reporting.log_window import written_since
from support.sql import sent_since
from support.target import citus, haproxy
from support.target.cluster import Cluster
from support.timeouts import CONNECT
from support.waiting import describe


def collect(cluster: Cluster, evidence: Evidence, since: float, error: BaseException | None = None) -> None:
    """Attach all of it. `since` is when the scenario began (seconds since the epoch), `error` what ended it."""
    _attach(evidence, "SQL and its plan", lambda: _statements(cluster, since, error))
    for group in cluster.groups:
        name = f"Patroni's view of worker group {group.group}" if group.group else "Patroni's view"
        _attach(evidence, name, partial(_patroni, group))
    if "citus" not in cluster.topology.lacks:
        _attach(evidence, "Citus' nodes", lambda: _nodes(cluster))
    _attach(evidence, "HAProxy's view", lambda: _haproxy(cluster))
    if not cluster.topology.embedded:
        return  # its logs are its owner's
    try:
        hosts: Mapping[str, Host] = cluster.sandbox.hosts
    except Exception as unreachable:
        evidence.attach("logs", f"could not be had: {describe(unreachable)}")
        return
    for name, host in hosts.items():
        _attach(evidence, f"log of {name}", partial(_logs, host, since))


def _attach(evidence: Evidence, name: str, find: Callable[[], str]) -> None:
    try:
        text = find()
    except NotAvailable as lacking:
        text = f"not there: {lacking}"
    except Exception as error:
        text = f"could not be had: {type(error).__name__}: {describe(error)}"
    if text:
        evidence.attach(name, text)


def _logs(host: Host, since: float) -> str:
    logs: dict[str, Path] = {f"{process.name}.log": process.log for process in host.processes.values()}
    logs |= {path.name: path for path in host.directory.glob("*.log")}
    return "\n\n".join(f"{name}\n{written_since(path, since)}" for name, path in sorted(logs.items()))


def _patroni(cluster: Cluster) -> str:
    """The cluster as its first answering member sees it, then each member as it sees itself."""
    if not cluster.members:
        return ""
    with ThreadPoolExecutor(len(cluster.members)) as pool:
        tellings = pool.map(lambda name: f"{name}: {_own_view(cluster, name)}", cluster.members)
        return "\n".join([_cluster_view(cluster), *tellings])


def _cluster_view(cluster: Cluster) -> str:
    view = cluster.view()
    rows = [
        f"{one.name}: {one.role}, {one.state}, timeline {one.timeline}, lag {one.lag} bytes, tags {dict(one.tags)}"
        for one in view.members
    ]
    return "\n".join([f"cluster {view.scope}{', paused' if view.paused else ''}", *rows, ""])


def _own_view(cluster: Cluster, name: str) -> str:
    try:
        return json.dumps(cluster.patroni(name).status())
    except Exception as error:
        return f"does not answer: {describe(error)}"


def _nodes(cluster: Cluster) -> str:
    """The nodes that the coordinator knows."""
    return "\n".join(map(str, citus.known_to(cluster.write)))


def _haproxy(cluster: Cluster) -> str:
    if cluster.topology.statistics is None:
        return ""
    rows = [asdict(row) for row in haproxy.servers(cluster.topology.statistics)]
    lines = [",".join(rows[0]), *(",".join(str(cell) for cell in row.values()) for row in rows)] if rows else []
    return "\n".join(lines)


def _statements(cluster: Cluster, since: float, error: BaseException | None) -> str:
    """The statement that failed, else the last ones that were sent, and the plan of the last."""
    failed = next((one for one in _chain(error) if isinstance(one, sql.Error)), None)
    if failed is not None and (statement := _sent_with(failed)):
        return f"{statement}\n\n{describe(failed)}\n\n{_plan(cluster, statement)}"
    recent = sent_since(since)
    if not recent:
        return ""
    last = recent[-1]
    plan = _plan(cluster, last.statement) if last.whole else "no plan: the statement is too long to keep"
    return "\n\n".join(["the last statements, and the plan of the last", *(one.statement for one in recent), plan])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _sent_with(failed: sql.Error) -> str:
    cursor: Any = failed.cursor
    sent = cursor.query if cursor is not None else None
    return sent.decode(errors="replace") if sent else ""


def _plan(cluster: Cluster, statement: str) -> str:
    """EXPLAIN, without running it, in a transaction that cannot write and is rolled back."""
    if ";" in statement.rstrip().rstrip(";"):
        return "no plan: it may be more than one statement"
    try:
        with sql.session(
            cluster.write, connect_timeout=CONNECT, statement_timeout=CONNECT, autocommit=False
        ) as session:
            session.set_session(readonly=True)
            with session.cursor() as cursor:
                cursor.execute("EXPLAIN (VERBOSE, SETTINGS) " + statement)
                plan = "\n".join(line for (line,) in cursor.fetchall())
            session.rollback()
            return plan
    except Exception as refused:
        return f"no plan: {describe(refused)}"
