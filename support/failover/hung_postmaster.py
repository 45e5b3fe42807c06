"""A leader whose postmaster hangs: open sessions, including Patroni's own, continue, but nobody can log in any more.

Sources: https://github.com/patroni/patroni/issues/1371 (nobody took over, because Patroni's session worked),
https://github.com/patroni/patroni/issues/2380 (the same with a disk that hangs)
"""

import time
from collections.abc import Callable
from contextlib import suppress

from support import sql
from support.engine.finding import Finding
from support.engine.ledger import APPEND
from support.engine.world import World
from support.errors import ConnectFailed, NotInTime
from support.failover.leader_checks import KeyLook, NewSession, kept_the_key, new_sessions_again, open_sessions_went_on
from support.target.members import NO_ANSWER
from support.timeouts import REST
from support.waiting import NotYet, describe, eventually

_PRIMARY = "SELECT NOT pg_is_in_recovery()"


def require_new_sessions_again(world: World, limit: float) -> None:
    """From the fault on, a new session at the write endpoint reaches a leader within `limit` seconds.

    If none does, that is a known limit where the former leader keeps the leader key and acknowledges writes all the
    time, unless [expect] login_failover declares that such a leader is replaced.
    """
    since, before = world.experiment.injected_fault.begun, world.clients.acknowledged
    target_member, looks = world.experiment.target_member, list[KeyLook]()
    group = world.cluster.group_with(target_member)

    def look() -> None:
        with suppress(*NO_ANSWER):
            leading = group.view().leader
            looks.append(KeyLook(time.monotonic(), leading.name if leading else ""))

    tried = _try_until_reached(world.cluster.write, since, limit, look)
    look()
    finding = new_sessions_again(tried, since, limit)
    meanwhile = world.clients.acknowledged - before
    world.evidence.attach("new sessions", f"{finding.words}; meanwhile {meanwhile} writes were acknowledged")
    if finding.holds:
        world.measure("a new session reached a leader after", tried[-1].ended - since, "s", limit)
    if world.cluster.topology.expectations.login_failover:
        finding.require()
    cause = kept_the_key(looks, target_member, since, since + limit, world.timing.notice)
    went_on = open_sessions_went_on(world.clients.history, APPEND, since, time.monotonic())
    if cause.holds and not went_on.holds:
        cause = Finding.false(f"{cause.words}, and {went_on.words}")
    world.evidence.attach("who led meanwhile", cause.words)
    world.require_or_known_limit(
        finding,
        cause,
        "nobody takes over from a leader whose postmaster hangs, because Patroni's own session still works: for "
        f"{time.monotonic() - since:.0f} s no new session reached a leader, while {meanwhile} writes were "
        "acknowledged on open sessions ([expect] login_failover)",
    )


def require_new_sessions_once_healed(world: World, limit: float) -> None:
    """Heal the fault; a new session at the write endpoint reaches a leader within `limit` seconds from then on."""
    world.experiment.heal()
    since = time.monotonic()
    tried = _try_until_reached(world.cluster.write, since, limit)
    finding = new_sessions_again(tried, since, limit, "the fault was healed")
    world.measure("once healed, a new session reached a leader after", tried[-1].ended - since, "s", limit)
    finding.require()


def _try_until_reached(
    endpoint: sql.Endpoint, since: float, limit: float, meanwhile: Callable[[], None] = lambda: None
) -> list[NewSession]:
    """What was tried, one after the other, until a new session reached a leader or the time was over.

    `meanwhile` is called before each.
    """
    tried: list[NewSession] = []

    def reached() -> None:
        meanwhile()
        tried.append(_try_session(endpoint))
        if tried[-1].refusal:
            raise NotYet(tried[-1].refusal)

    with suppress(NotInTime):  # whoever asked judges it
        eventually(reached, within=limit, subject="a new session reaches a leader", since=since)
    return tried


def _try_session(endpoint: sql.Endpoint) -> NewSession:
    begun, refusal = time.monotonic(), ""
    try:
        with sql.session(endpoint, connect_timeout=REST, statement_timeout=REST) as session:
            if not sql.value(session, _PRIMARY):
                refusal = "it reached a replica"
    except (ConnectFailed, sql.Error) as error:
        refusal = describe(error)
    return NewSession(begun, time.monotonic(), refusal)
