"""Checks that the members of a group are alike: what runs on them, how they sort, and how they are set."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from support.engine.finding import Finding, listed

Told = Mapping[str, Mapping[str, str]]
"""Member -> what was asked -> its answer."""
Silent = Mapping[str, str]
"""Member -> why it gave no answer."""
ABSENT = "nothing"
"""The value of what a member does not have at all."""


def same_on_all(told: Told, silent: Silent, advice: str) -> Finding:
    """Everything that any member told of has one and the same value on all of them.

    `advice` says what to do about a difference. Unknown if fewer than two members answered, or if one that did not may
    differ from the others.
    """
    different = differences(told)
    if different:
        return Finding.false(f"{'; '.join(different)} ({advice})")
    if silent or len(told) < 2:
        return Finding.unknown(_unheard(told, silent))
    asked = {what for answers in told.values() for what in answers}
    return Finding.true(f"{len(asked)} things are the same on {', '.join(told)}")


def differences(told: Told) -> list[str]:
    """One line for everything that is not the same on all members: each value, and the members that have it."""
    found = []
    for what in dict.fromkeys(what for answers in told.values() for what in answers):
        having = defaultdict(list)
        for member, answers in told.items():
            having[answers.get(what, ABSENT)].append(member)
        if len(having) > 1:
            most_first = sorted(having.items(), key=lambda one: -len(one[1]))
            found.append(f"{what}: {', '.join(f'{value} on {_and(who)}' for value, who in most_first)}")
    return found


def _and(members: Sequence[str]) -> str:
    return " and ".join(members)


class Collated(Protocol):
    """A collation in use, as one member knows it."""

    @property
    def name(self) -> str: ...

    @property
    def provider(self) -> str:
        """The library that sorts."""

    @property
    def recorded(self) -> str | None:
        """The version by which the existing indexes were built."""

    @property
    def actual(self) -> str | None:
        """The version that the member sorts by now."""


def sorted_as_recorded(told: Mapping[str, Sequence[Collated]], silent: Silent) -> Finding:
    """On every member, each collation in use sorts by the version that was recorded when its indexes were built.

    A collation without a recorded version has none that could differ. Unknown if a member gave no answer.
    """
    found = defaultdict(list)
    for member, collations in told.items():
        for one in collations:
            if one.recorded is not None and one.recorded != one.actual:
                now = f"{one.provider} {one.actual}" if one.actual else f"{one.provider} without a version"
                found[f"{one.name} was recorded with version {one.recorded}, but is now sorted by {now}"].append(member)
    if found:
        lines = [f"{words} on {_and(members)}" for words, members in found.items()]
        return Finding.false(
            f"{listed(lines)} (its indexes may miss rows there: give all members the same packages; if they have, "
            "REINDEX what uses the collation, and then ALTER COLLATION or ALTER DATABASE with REFRESH VERSION)"
        )
    if silent or not told:
        return Finding.unknown(_unheard(told, silent))
    return Finding.true(f"every collation in use has its recorded version on {', '.join(told)}")


NEEDED_BY_A_REPLICA = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""Settings that must be no smaller on a replica than on the leader: it stops replaying otherwise.

Source: https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN
"""


@dataclass(frozen=True)
class Setting:
    """One of PostgreSQL's settings on one member."""

    value: str
    """Without what a session, a role or a database overrides."""
    source: str = ""
    """Where the member has it from, such as "configuration file" or a file's name and line."""


def settings_agree(
    told: Mapping[str, Mapping[str, Setting]],
    silent: Silent,
    leader: str,
    apart: Mapping[str, Collection[str]],
) -> Finding:
    """Every setting has one value on all members, and no replica has less of what a replica needs than the leader.

    `apart` is a setting -> the members that may have a value of their own; `leader` is the member that leads. Unknown
    if fewer than two members answered, or if one that did not may differ from the others.
    """
    wrong = []
    for name in sorted({name for settings in told.values() for name in settings}):
        compared = {member: settings for member, settings in told.items() if member not in apart.get(name, ())}
        values = {member: {name: _value(settings.get(name))} for member, settings in compared.items()}
        origins = {member: settings[name].source for member, settings in compared.items() if name in settings}
        wrong += [f"{words}{_from(origins)}" for words in differences(values)]
    wrong += _too_small(told, leader)
    if wrong:
        return Finding.false(
            f"{listed(wrong, 10)} (set it for all members in one place, such as Patroni's dynamic configuration, or "
            "name it in [expect] member_settings if each member may have its own)"
        )
    if silent or len(told) < 2:
        return Finding.unknown(_unheard(told, silent))
    count = len({name for settings in told.values() for name in settings})
    return Finding.true(f"{count} settings are the same on {', '.join(told)}")


def _value(setting: Setting | None) -> str:
    return ABSENT if setting is None else setting.value or "empty"


def _from(origins: Mapping[str, str]) -> str:
    """Where different values come from."""
    told = [f"{source} on {member}" for member, source in origins.items() if source]
    return f" (from {', '.join(told)})" if told else ""


def _too_small(told: Mapping[str, Mapping[str, Setting]], leader: str) -> list[str]:
    """Replicas that have less than the leader of what a replica needs."""
    needed = told.get(leader, {})
    return [
        f"{name} is {settings[name].value} on {member}, less than {needed[name].value} on the leader {leader}: "
        "with that, a replica stops replaying or does not start"
        for member, settings in told.items()
        for name in NEEDED_BY_A_REPLICA
        if name in needed and name in settings and int(settings[name].value) < int(needed[name].value)
    ]


def none_waits_for_a_restart(waiting: Mapping[str, Collection[str]], silent: Silent) -> Finding:
    """No member has a setting that takes effect only when its PostgreSQL is restarted.

    `waiting` is member -> the settings, each with what is known of its values. Unknown if a member gave no answer.
    """
    found = [f"{member}: {', '.join(sorted(settings))}" for member, settings in waiting.items() if settings]
    if found:
        return Finding.false(f"waiting for a restart of PostgreSQL: {'; '.join(found)} (`patronictl restart` does it)")
    if silent or not waiting:
        return Finding.unknown(_unheard(waiting, silent))
    return Finding.true(f"nothing waits for a restart on {', '.join(waiting)}")


def each_through_a_slot(streaming: Sequence[str], without: Sequence[str]) -> Finding:
    """Each replica of `streaming` streams through a slot; `without` are those that do not, each with what there is
    instead. Unknown if no replica is meant to stream.
    """
    if without:
        return Finding.false(f"replicas that do not stream through a slot: {listed(without)}")
    if not streaming:
        return Finding.unknown("no replica is meant to stream")
    return Finding.true(f"each streams through a slot: {', '.join(streaming)}")


@dataclass(frozen=True)
class StreamedAgain:
    """What became of a replica whose stream was ended."""

    replica: str
    source: str
    """The member from which it streams."""
    seconds: float | None
    """From the end of its stream until it streamed again; None if it did not as long as it was watched."""
    ended: float
    """When that was over; monotonic clock."""
    instead: str = ""
    """What the source had then."""
    let_in: bool = False
    """Whether it had logged in again by then: the source had a new session of it, which did not stream yet."""
    begun: float = 0.0
    """When its stream was ended; monotonic clock."""


def all_streamed_again(found: Sequence[StreamedAgain], limit: float) -> Finding:
    """Each replica has logged in again and streams within `limit` seconds. Unknown if no stream was ended."""
    if not found:
        return Finding.unknown("no stream was ended")
    out = [f"{one.replica} ({one.source} has {one.instead})" for one in found if one.seconds is None and not one.let_in]
    if out:
        return Finding.false(
            f"not let in again, so it no longer streams: {listed(out)}; the replica's log has the reason: look for "
            "another password of the replication role, a rule of pg_hba.conf, and a certificate that has expired"
        )
    if catching_up := [one for one in found if one.seconds is None]:
        told = [
            f"{one.replica} for {one.ended - one.begun:.1f} s ({one.source} has {one.instead})" for one in catching_up
        ]
        words = f"let in again, but did not stream: {listed(told)} (limit: {limit:g} s)"
        return Finding.too_late(words, *((one.begun, one.ended) for one in catching_up), limit=limit)
    took = {one.replica: one.seconds for one in found if one.seconds is not None}
    late = [(one.ended - one.seconds, one.ended) for one in found if one.seconds is not None and one.seconds > limit]
    words = ", ".join(f"{replica} after {seconds:.1f} s" for replica, seconds in took.items())
    return Finding.within_limit(not late, f"streams again: {words} (limit: {limit:g} s)", *late, limit=limit)


class Login(Protocol):
    """A login from the host of one member to another."""

    @property
    def purpose(self) -> str: ...

    @property
    def origin(self) -> str: ...

    @property
    def to(self) -> str: ...

    @property
    def refusal(self) -> str:
        """Why it was refused; empty if it was accepted."""


def all_logged_in(attempts: Sequence[Login]) -> Finding:
    """Every login was accepted. Unknown if none was tried."""
    if not attempts:
        return Finding.unknown("no login was tried")
    refused = [
        f"{one.origin} cannot log in to {one.to} {one.purpose}: {one.refusal}" for one in attempts if one.refusal
    ]
    if refused:
        return Finding.false(
            f"{listed(refused)} (make the credentials in the member's Patroni configuration, the roles in the database "
            "and pg_hba.conf agree)"
        )
    return Finding.true(f"{len(attempts)} logins from member to member were accepted")


def _unheard(told: Collection[str], silent: Silent) -> str:
    why = "; ".join(f"{member}: {reason}" for member, reason in silent.items())
    return f"nothing is known about {why}" if silent else f"only {', '.join(told) or 'nobody'} was asked"
