"""Clients that look up one entry again and again; they must be answered whatever becomes of the writers.

What a cluster must bear: who may write meanwhile, what must not change, how long each client may wait.
"""

import time
from collections.abc import Callable
from functools import partial

import requests

from support import sql
from support.engine import markers
from support.engine.checks.answers import every_answer_is
from support.engine.checks.availability import (
    each_client_interrupted_for_less_than,
    longest_gap_of_any,
    nothing_acknowledged,
)
from support.engine.checks.durability import each_applied_once
from support.engine.checks.writers import at_most_one_writer, last_accepted, stopped_in_time
from support.engine.counter import COUNT, close_count
from support.engine.finding import Finding
from support.engine.history import History, Outcome
from support.engine.ledger import APPEND
from support.engine.workload import Script, Task, Turn, Workload
from support.engine.world import World
from support.example_app.profile import Profile
from support.failover.checks import Look, nothing_changed
from support.target import dcs
from support.target.leadership import cluster_state, routes
from support.waiting import NotYet, eventually, throughout

LOOKUP = "lookup"
ENTRY = "the entry that is looked up"
"""Its key, and its value."""
_READ = "SELECT {entries.value} FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = %s"


def lookups(profile: Profile, namespace: str) -> Script:
    """Each client reads until it is stopped. The value recorded is what it was answered."""

    def look_up(session: sql.Session) -> str:
        found = sql.rows(session, profile.sql(_READ), [namespace, ENTRY])
        return str(found[0][0]) if found else "nothing"

    def script(_: Turn) -> Task:
        return Task(LOOKUP, ENTRY, None, look_up)

    return script


_LOOK_AGAIN_AFTER = 0.5  # seconds between two looks at what must not flap
_READING_PACE = 0.02  # seconds between two questions of a reader


def require_one_writer_at_a_time(world: World) -> None:
    """By the looks at every member until now, no two accepted writes at the same time."""
    finding = at_most_one_writer(world.experiment.watch.samples, world.cluster.members)
    world.evidence.attach("writers", finding.words)
    finding.require()


def require_stopped_within(world: World, limit: float) -> None:
    """The target member stopped to accept writes in less than `limit` seconds from the fault on."""
    experiment = world.experiment
    target_member, since = experiment.target_member, experiment.injected_fault.begun

    def judged() -> Finding:
        finding = stopped_in_time(experiment.watch.samples, target_member, since, limit)
        if finding.holds is not True and time.monotonic() < since + limit + world.timing.visible:
            raise NotYet(finding.words)
        return finding

    finding = eventually(judged, within=limit + 2 * world.timing.visible, subject=f"{target_member} refuses writes")
    samples = experiment.watch.samples
    world.measure("the target member accepted writes for", last_accepted(samples, target_member, since), "s", limit)
    finding.require()


def look_on(world: World, seconds: float) -> list[Look]:
    """Look, from now on for so many seconds, at what must not flap."""
    looks: list[Look] = []
    throughout(lambda: looks.append(cluster_state(world.cluster)), seconds=seconds, pause=_LOOK_AGAIN_AFTER)
    return looks


def require_unchanged(world: World, before: Look, looks: list[Look]) -> None:
    """Every look found what was found before the fault."""
    finding = nothing_changed([before, *looks])
    world.evidence.attach("what must not flap", finding.words)
    finding.require()


def require_lock_renewed(world: World) -> None:
    """The leader writes to the DCS, as it does whenever it renews its lock: how far it is, is newer than just now."""
    first = _progress(world)

    def newer() -> None:
        if _progress(world) == first:
            raise NotYet(f"the DCS holds what it held: {first}")

    eventually(newer, within=world.timing.notice, subject="the leader renews its lock in the DCS")


def require_each_applied_once(world: World) -> None:
    """Each operation that a client repeated until it was acknowledged counts once."""
    workload = world.clients
    within = world.timing.recovery
    counted = close_count(workload, world.cluster.write, world.profile, world.namespace, within=within)
    finding = each_applied_once(workload.history, counted)
    world.measure("operations", counted, "")
    world.evidence.attach("operations", finding.words)
    finding.require()


def await_answers_lost(world: World) -> None:
    """Wait until clients got no answer to operations that they had sent: what they will have to repeat."""
    history, since = world.clients.history, world.experiment.injected_fault.begun

    def lost() -> None:
        unknown = history.of(action=COUNT, outcome=Outcome.UNKNOWN)
        if not any(one.ended > since for one in unknown):
            raise NotYet("no client has lost an answer")

    eventually(lost, within=world.timing.notice, subject="clients lose answers")


def start_readers(world: World, clients: int, patience: float) -> Workload:
    """Readers of one entry, who work through the read endpoint until the scenario ends. Every member holds it first."""
    cluster, namespace = world.cluster, world.another_namespace("looked-up")
    markers.write(cluster.write, world.profile, namespace, ENTRY)
    members = {name: cluster.of_member(name) for name in cluster.members}
    markers.await_seen(members, world.profile, namespace, ENTRY, within=world.timing.visible)
    readers = Workload(
        cluster.read, lookups(world.profile, namespace), clients=clients, pace=_READING_PACE, patience=patience
    )
    world.cleanup.enter_context(readers)
    readers.await_acknowledged(100, within=world.timing.notice)
    return readers


def require_each_reader_served(world: World, readers: Workload, limit: float) -> None:
    """No reader is without an answer for `limit` seconds from the fault on, each answer is right, and reads go on."""
    since, history = world.experiment.injected_fault.begun, readers.history
    _await_left_out(world)
    _await_each_answered(readers, world.timing.notice)
    world.measure("a reader waited for", longest_gap_of_any(history, LOOKUP, since), "s", limit)
    each_client_interrupted_for_less_than(limit, history, LOOKUP, since).require()
    every_answer_is(ENTRY, History(history.of(action=LOOKUP, outcome=Outcome.OK)), LOOKUP).require()


def require_no_write_acknowledged(world: World) -> None:
    """From the last fault until now no write was acknowledged, though clients tried."""
    workload, fault = world.clients, world.experiment.injected_fault

    def tried() -> None:
        ended = [one for one in workload.history.of(action=APPEND) if one.begun > fault.in_effect_since]
        if not ended:
            raise NotYet("no client's write has come to an end")

    eventually(tried, within=world.timing.notice, subject="clients try to write")
    nothing_acknowledged(workload.history, APPEND, fault.in_effect_since, time.monotonic()).require()


def require_accepted_again(world: World, mend: Callable[[], None], limit: float) -> None:
    """Mend what is broken; within `limit` seconds from then on, writes are acknowledged."""
    workload, begun = world.clients, time.monotonic()
    mend()
    workload.await_acknowledged(10, within=limit)
    world.measure("writes were acknowledged after", time.monotonic() - begun, "s", limit)


def _progress(world: World) -> str | None:
    silent = (requests.RequestException,)
    ask = partial(dcs.key, world.cluster.topology, "status")
    return eventually(ask, within=world.timing.notice, subject="the DCS answers", retry_on=silent)


def _await_left_out(world: World) -> None:
    """Wait until no endpoint leads to the target member: no reader gets stuck there any more."""
    target_member = world.experiment.target_member

    def left_out() -> None:
        if ends := routes(world.cluster)[target_member]:
            raise NotYet(f"{target_member} gets sessions for {ends}")

    eventually(
        left_out,
        within=world.timing.notice,
        subject=f"no endpoint leads to {target_member}",
        retry_on=(requests.RequestException,),
    )


def _await_each_answered(readers: Workload, within: float) -> None:
    """Wait until every reader was answered to a question that it asks from now on."""
    since, clients = time.monotonic(), {one.client for one in readers.history}

    def each_answered() -> None:
        answered = {one.client for one in readers.history.of(outcome=Outcome.OK) if one.begun > since}
        if answered != clients:
            raise NotYet(f"{len(answered)} of {len(clients)} are")

    eventually(each_answered, within=within, subject="each reader is answered again")
