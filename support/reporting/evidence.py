"""What a scenario leaves for the report: figures, attachments and, after a failure, the state of the cluster.

No password stays in any of it."""

import gzip
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import groupby
from typing import Any
from urllib.parse import quote, quote_plus

import allure

from support import sql
from support.errors import AcceptError, NotAvailable
from support.hosts.interface import Clock, Log, LogName, SiteHost, of_each_log
from support.reporting.log_events import HERE, moment_of, notable, told
from support.reporting.scenario import Incident, Measure
from support.sql import sent_since
from support.target import citus, haproxy, redis
from support.target.cluster import Cluster
from support.target.topology import RedisAddress
from support.timeouts import CONNECT
from support.waiting import describe

LONGEST = 400
"""Lines. The end of a log is worth more than its beginning."""
_LATEST = 10  # log lines that are shown if none is from the requested time
_READ = 512 * 1024  # bytes at the end of the file
_EARLIER = 1.0  # seconds; the stamps are whole seconds
_WORDS_OF_PAGES = ("format", "state")  # fields of a fault record that the pages compare
MASK = "••••••"

SHORTEST = 4
"""Characters. A shorter secret occurs in ordinary words: masking it would garble the report and hide nothing."""


class Redactor:
    """Masks known secrets in texts, also in the form that they have in URLs and JSON."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        known = {form for secret in secrets if secret and len(secret) >= SHORTEST for form in _forms(secret)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))  # the longest first: one may hold another

    def mask(self, text: str) -> str:
        """The text with its secrets masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def mask_json(self, document: str, but: Collection[str] = ()) -> str:
        """A JSON document with its secrets masked. It stays valid: only string values are masked, not numbers or names.

        `but`: the names of values that stay as they are. Raises ValueError if it is not a JSON document.
        """
        if self.mask(document) == document:
            return document
        return json.dumps(self._masked(json.loads(document), frozenset(but)), ensure_ascii=False)

    def _masked(self, value: Any, but: frozenset[str]) -> Any:
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list):
            return [self._masked(one, but) for one in value]
        if isinstance(value, dict):
            return {name: one if name in but else self._masked(one, but) for name, one in value.items()}
        return value

    def mask_bytes(self, content: bytes) -> bytes:
        """The content of any file with its secrets masked."""
        for secret in self._secrets:
            content = content.replace(secret.encode(), MASK.encode())
        return content


def _forms(secret: str) -> set[str]:
    """As it is, in JSON (ASCII or not), in a URL, in a libpq connection string, in SQL, and in CSV."""
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    in_libpq = secret.replace("\\", "\\\\").replace("'", "\\'")
    plain = {secret, in_libpq, secret.replace("'", "''")}
    in_csv = {text.replace('"', '""') for text in plain}
    return plain | in_json | in_csv | {quote(secret, safe=""), quote(secret), quote_plus(secret)}


class Evidence:
    """Collects the figures of one scenario, and attaches texts, tables and pictures to its Allure result.

    Passwords are masked in all texts.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self.measures: list[Measure] = []
        self.known_limits: list[str] = []
        self.other_limits: list[str] = []
        """Limits in force that are not what the scenario states, each with the reason."""
        self.incident: Incident | None = None
        """What the faults of the scenario cost, if it injected any."""
        self.missing = ""
        """Why the report lacks something that `collect` wanted to attach; empty if it lacks nothing."""
        self._redactor = redactor or Redactor()

    def measure(
        self, name: str, value: float, unit: str, limit: float | None = None, *, at_least: bool = False
    ) -> None:
        """Keep a figure; the report shows it in the description of the scenario, with its limit.

        `at_least`: the limit is the smallest value allowed.
        """
        self.measures.append(Measure(name, value, unit, limit, at_least))

    def known_limit(self, words: str) -> None:
        """Keep something that the cluster does not promise and that was seen: the report lists it as a known limit."""
        self.known_limits.append(self._redactor.mask(words))
        self.attach("known limit", words)

    def other_limit(self, words: str) -> None:
        """Keep a limit that is in force in place of the one that the scenario states, and why."""
        self.other_limits.append(self._redactor.mask(words))
        self.attach("limit in force", words)

    def attach(self, name: str, text: str) -> None:
        """Attach a text."""
        allure.attach(self._redactor.mask(text), name=name, attachment_type=allure.attachment_type.TEXT)

    def attach_json(self, name: str, facts: Any) -> None:
        """Attach facts as JSON."""
        masked = json.loads(self._redactor.mask_json(json.dumps(facts, default=str)))
        allure.attach(json.dumps(masked, indent=2), name=name, attachment_type=allure.attachment_type.JSON)

    def attach_data(self, name: str, document: str) -> None:
        """Attach a JSON document as it is, for the pages of the report."""
        masked = self._redactor.mask_json(document, but=_WORDS_OF_PAGES)
        allure.attach(masked, name=name, attachment_type=allure.attachment_type.JSON)

    def attach_lines(self, name: str, text: str, extension: str = "jsonl") -> None:
        """Attach lines of JSON, compressed: there can be megabytes of them."""
        packed = gzip.compress("\n".join(map(self._masked_line, text.split("\n"))).encode())
        allure.attach(packed, name=name, attachment_type="application/gzip", extension=f"{extension}.gz")

    def _masked_line(self, line: str) -> str:
        try:
            return self._redactor.mask_json(line)
        except ValueError:  # not JSON, so it need not stay valid JSON
            return self._redactor.mask(line)

    def attach_picture(self, name: str, png: bytes) -> None:
        allure.attach(png, name=name, attachment_type=allure.attachment_type.PNG)


def collect(cluster: Cluster, evidence: Evidence, since: float, error: BaseException | None = None) -> None:
    """Attach what can be seen of a cluster right after a scenario failed: the SQL, the views of its parts, their logs.

    `since` is when the scenario began (seconds since the epoch), `error` what ended it. Raises nothing: where something
    cannot be read, its attachment says why, and where nothing can be attached, `Evidence.missing` does.
    """
    _attach(evidence, "SQL and its plan", lambda: _statements(cluster, since, error))
    for group in cluster.groups:
        name = f"Patroni's view of worker group {group.group}" if group.group else "Patroni's view"
        _attach(evidence, name, partial(_patroni, group))
    if "citus" not in cluster.topology.lacks:
        _attach(evidence, "Citus' nodes", lambda: _nodes(cluster))
    _attach(evidence, "HAProxy's view", lambda: _haproxy(cluster))
    _attach(evidence, "Redis' view", lambda: _redis(cluster))
    if not cluster.topology.reaches_hosts:
        return  # the logs of this cluster cannot be read
    try:
        site = cluster.site
    except Exception as unreachable:
        words = f"could not be read: {describe(unreachable)}"
        _attach(evidence, "logs", lambda: words)
        return
    for name, host in site.hosts.items():
        _attach(evidence, f"log of {name}", partial(_logs, host, since))


def events_since(cluster: Cluster, since: float, until: float) -> list[tuple[float, str, str]]:
    """What the logs of all hosts tell about decisions, failures and recoveries in that time.

    Each with its moment (seconds since the epoch) and its host; nothing of a host whose logs cannot be read.
    """
    if not cluster.topology.reaches_hosts:
        return []
    hosts = cluster.site.hosts

    def read(name: LogName, log: Log) -> list[tuple[float, str]]:
        clock = hosts[name[0]].clock
        return list(notable(written_since(log, since, clock).splitlines(), since, until, clock))

    found = of_each_log(cluster.site, read, skip=(AcceptError,))
    return [(moment, host, words) for (host, _), lines in found.items() for moment, words in lines]


def _attach(evidence: Evidence, name: str, find: Callable[[], str]) -> None:
    try:
        text = find()
    except NotAvailable as lacking:
        text = f"not available: {lacking}"
    except Exception as error:
        text = f"could not be read: {type(error).__name__}: {describe(error)}"
    if not text:
        return
    try:
        evidence.attach(name, text)
    except Exception as error:  # a full disk, for one; the faults have yet to be healed
        evidence.missing = evidence.missing or describe(error)


def _logs(host: SiteHost, since: float) -> str:
    clock, logs = host.clock, sorted(host.logs().items())
    return told(clock) + "\n\n".join(f"{name}\n{written_since(log, since, clock)}" for name, log in logs)


def _patroni(cluster: Cluster) -> str:
    """The cluster as the first member that answers sees it, then each member's own status."""
    if not cluster.members:
        return ""
    with ThreadPoolExecutor(len(cluster.members)) as pool:
        statuses = pool.map(lambda name: f"{name}: {_status(cluster, name)}", cluster.members)
        return "\n".join([_cluster_view(cluster), *statuses])


def _cluster_view(cluster: Cluster) -> str:
    view = cluster.view()
    rows = [
        f"{one.name}: {one.role}, {one.state}, timeline {one.timeline}, "
        f"{'' if one.lag is None else f'lag {one.lag} bytes, '}tags {dict(one.tags)}"
        for one in view.members
    ]
    return "\n".join([f"cluster {view.scope}{', paused' if view.paused else ''}", *rows, ""])


def _status(cluster: Cluster, name: str) -> str:
    try:
        return json.dumps(cluster.patroni(name).status())
    except Exception as error:
        return f"does not answer: {describe(error)}"


def _nodes(cluster: Cluster) -> str:
    return "\n".join(map(str, citus.known_to(cluster.write)))


def _haproxy(cluster: Cluster) -> str:
    if cluster.topology.statistics is None:
        return ""
    rows = [asdict(row) for row in haproxy.servers(cluster.topology.statistics)]
    lines = [",".join(rows[0]), *(",".join(str(cell) for cell in row.values()) for row in rows)] if rows else []
    return "\n".join(lines)


def _redis(cluster: Cluster) -> str:
    """What INFO says on each server that holds data."""
    if cluster.topology.redis is None:
        return ""
    return "\n\n".join(f"{one.address}: {_info(one)}" for one in redis.servers_of(cluster.topology.redis))


def _info(server: RedisAddress) -> str:
    try:
        with redis.client_of(server) as client:
            told = client.info()
    except redis.FORBIDDEN as error:
        return f"does not show its state to this user: {describe(error)}"
    except redis.ERRORS as error:
        return f"does not answer: {describe(error)}"
    return "\n".join([str(redis.facts_in(told)), *(f"{name}: {value}" for name, value in told.items())])


def _statements(cluster: Cluster, since: float, error: BaseException | None) -> str:
    """The statement that failed, or else the last ones sent; with the plan of the last."""
    failed = next((one for one in chain(error) if isinstance(one, sql.Error)), None)
    if failed is not None and (statement := _sent_with(failed)):
        return f"{statement}\n\n{describe(failed)}\n\n{_plan(cluster, statement)}"
    recent = sent_since(since)
    if not recent:
        return ""
    last = recent[-1]
    plan = _plan(cluster, last.statement) if last.whole else "no plan: the statement is too long to keep"
    return "\n\n".join(
        ["the last statements, and the plan of the last one", *_counted(one.statement for one in recent), plan]
    )


def _counted(statements: Iterable[str]) -> Iterator[str]:
    """The statements in their order; one that was sent several times in a row is there once, with the number."""
    for statement, same in groupby(statements):
        times = len(list(same))
        yield statement if times == 1 else f"{statement}\n    ({times} times)"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, each once: a chain can lead back to itself, as where a cause is raised again."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _sent_with(failed: sql.Error) -> str:
    cursor: Any = failed.cursor
    sent = cursor.query if cursor is not None else None
    return sent.decode(errors="replace") if sent else ""


def _plan(cluster: Cluster, statement: str) -> str:
    """EXPLAIN without ANALYZE, in a read-only transaction that is rolled back."""
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


def written_since(log: Log, moment: float, clock: Clock = HERE) -> str:
    """The lines of a log written since `moment` (seconds since the epoch); its last lines if none is that recent.

    A line without a date belongs to the one above it. `clock` is the clock of the log's host.
    """
    try:
        lines = log.last(_READ).splitlines()
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    window, note = _window(lines, moment - _EARLIER, clock), ""
    if not window:
        if not lines:
            return "(it is empty)"
        window, note = lines[-_LATEST:], "(no line is dated within the scenario; these are the last lines)\n"
    elif len(window) > LONGEST:
        note = f"(the first {len(window) - LONGEST} lines are left out)\n"
    return note + "\n".join(window[-LONGEST:])


def _window(lines: Sequence[str], moment: float, clock: Clock) -> Sequence[str]:
    for number, line in enumerate(lines):
        stamp = moment_of(line, clock)
        if stamp is not None and stamp >= moment:
            return lines[number:]
    return [] if any(moment_of(line, clock) is not None for line in lines) else lines
