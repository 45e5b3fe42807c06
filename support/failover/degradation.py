"""A degraded cluster: readers that must be served, operations that clients repeat, writes that must be refused."""

import time

from support import sql
from support.engine import markers
from support.engine.checks.answers import every_answer_is
from support.engine.checks.availability import (
    each_client_interrupted_for_less_than,
    longest_gap_of_any_client,
    nothing_acknowledged,
)
from support.engine.checks.exactly_once import each_applied_once
from support.engine.counter import COUNT, close_count
from support.engine.history import History, Outcome
from support.engine.ledger import APPEND
from support.engine.workload import Script, Task, Turn, Workload
from support.engine.world import World
from support.example_app.entries import READ_VALUE
from support.example_app.profile import Profile
from support.target.leadership import routes
from support.target.members import NO_ANSWER
from support.target.purposes import prompt_members
from support.target.timing import Span
from support.timeouts import CLIENT
from support.waiting import NotYet, eventually, precondition

LOOKUP = "lookup"
ENTRY = "looked-up-entry"
"""Its key, and its value."""
_READING_PACE = 0.02  # seconds between two questions of a reader


def lookups(profile: Profile, namespace: str) -> Script:
    """Each client reads one and the same entry until it is stopped. The recorded value is the answer."""

    def look_up(session: sql.Session) -> str:
        found = sql.rows(session, profile.sql(READ_VALUE), [namespace, ENTRY])
        return str(found[0][0]) if found else "nothing"

    def script(_: Turn) -> Task:
        return Task(LOOKUP, ENTRY, None, look_up)

    return script


def start_readers(world: World, clients: int) -> None:
    """Let clients look up one entry through the read endpoint until the scenario ends.

    Waits first until every member has the entry that shows at once what is committed.
    """
    cluster, namespace = world.cluster, world.another_namespace("looked-up")
    markers.write(cluster.write, world.profile, namespace, ENTRY)
    members = {name: cluster.of_member(name) for name in prompt_members(cluster)}
    markers.await_seen(members, world.profile, namespace, ENTRY, within=world.timing.visible)
    readers = Workload(
        cluster.read, lookups(world.profile, namespace), clients=clients, pace=_READING_PACE, patience=CLIENT
    )
    world.readers = readers
    world.cleanup.enter_context(readers)
    with precondition("the readers could not read before the fault"):
        readers.await_acknowledged(100, within=world.timing.notice)


def require_each_reader_served(world: World, limit: float) -> None:
    """Since the fault, no reader went `limit` seconds without an answer, every answer was right, and reads go on."""
    since, readers = world.experiment.injected_fault.begun, world.readers
    history = readers.history
    _await_left_out(world, max(limit, world.timing.notice))
    _await_each_answered(readers, limit)
    world.measure("a reader waited for", longest_gap_of_any_client(history, LOOKUP, since), "s", limit)
    each_client_interrupted_for_less_than(limit, history, LOOKUP, since).require()
    every_answer_is(ENTRY, History(history.of(action=LOOKUP, outcome=Outcome.OK)), LOOKUP).require()


def _await_left_out(world: World, within: float) -> None:
    """Wait until no endpoint leads to the affected member: then no further reader gets stuck there."""
    target_member = world.experiment.target_member

    def left_out() -> None:
        if leading := [route for route, servers in routes(world.cluster).items() if target_member in servers]:
            raise NotYet(f"{' and '.join(leading)} lead to {target_member}")

    subject = f"no endpoint leads to {target_member}"
    eventually(left_out, within=within, subject=subject, retry_on=NO_ANSWER)


def _await_each_answered(readers: Workload, within: float) -> None:
    """Wait until every reader was answered to a question that it asks from now on."""
    since, clients = time.monotonic(), {one.client for one in readers.history}

    def each_answered() -> None:
        answered = {one.client for one in readers.history.of(outcome=Outcome.OK) if one.begun > since}
        if answered != clients:
            raise NotYet(f"{len(answered)} of {len(clients)} are")

    eventually(each_answered, within=within, subject="each reader is answered again")


def await_answers_lost(world: World) -> None:
    """Wait until clients have lost answers to operations that they had sent, and so have something to repeat.

    Raises Inconclusive if they lose none: then nothing is put to the test.
    """
    history, since = world.clients.history, world.experiment.injected_fault.begun

    def lost() -> None:
        unknown = history.of(action=COUNT, outcome=Outcome.UNKNOWN)
        if not any(one.ended > since for one in unknown):
            raise NotYet("no client has lost an answer")

    with precondition():
        eventually(lost, within=world.timing.notice, subject="clients lose answers")


def require_each_applied_once(world: World) -> None:
    """Each operation that a client repeated until it was acknowledged was applied exactly once."""
    workload = world.clients
    within = world.timing.recovery
    counted = close_count(workload, world.cluster.write, world.profile, world.namespace, within=within)
    finding = each_applied_once(workload.history, counted.applied, counted.counter)
    world.measure("operations", len(counted.applied), "")
    world.evidence.attach("operations", finding.words)
    finding.require()


def require_no_write_acknowledged(world: World) -> None:
    """From the last fault on no write was acknowledged, for as long as it takes to tell strict mode from any other.

    Without strict mode, Patroni would by then have ended the wait for a standby, and writes would be acknowledged.
    """
    history, fault = world.clients.history, world.experiment.injected_fault
    other_mode = world.timing.total(Span.STANDBY_LOSS)
    told_apart = fault.in_effect_since + other_mode

    def tried() -> None:
        if not any(one.begun > told_apart for one in history.of(action=APPEND)):
            raise NotYet(f"{len(history.of(action=APPEND))} writes have ended, none that began late enough")

    with precondition():
        subject = f"clients try to write {other_mode:g} s after the fault"
        eventually(tried, within=other_mode + world.timing.notice, subject=subject, since=fault.in_effect_since)
    until = time.monotonic()
    world.measure("no write was acknowledged for", until - fault.in_effect_since, "s")
    nothing_acknowledged(history, APPEND, fault.in_effect_since, until).require()
