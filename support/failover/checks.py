"""Checks of failover: who leads and could lead, what stays unchanged, and what clients and sessions experience."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from support.engine.finding import Finding, listed
from support.engine.history import History, InFlight, Outcome, WriterSample
from support.failover.leader_checks import LAST_WORD
from support.vocabulary import counted


def one_leader(seen: Mapping[str, Collection[str]], unheard: Mapping[str, str]) -> Finding:
    """Every observer saw the same single member leading.

    `seen` is observer -> the members that it saw leading. Unknown if they agree, but some observers did not see every
    member (`unheard`: observer -> why): a member that does not answer may also be leading.
    """
    named = {leader for leaders in seen.values() for leader in leaders}
    against = {
        observer: leaders
        for observer, leaders in seen.items()
        if len(named) > 1 or (not leaders and observer not in unheard)
    }
    if against:
        said = "; ".join(f"{' and '.join(sorted(who)) or 'nobody'} by {observer}" for observer, who in against.items())
        return Finding.false(f"the observers disagree on the leader: {said}")
    if unheard or not named:
        why = "; ".join(f"{observer}: {reason}" for observer, reason in unheard.items()) or "no observer was asked"
        return Finding.unknown(f"a member that does not answer may also be leading: {why}")
    return Finding.true(f"{named.pop()} leads, by {len(seen)} observers")


class Quorum(Protocol):
    """What is known about the members of a DCS."""

    @property
    def voters(self) -> int:
        """How many voting members there are."""

    @property
    def healthy(self) -> Collection[str]:
        """The members that work."""

    @property
    def unhealthy(self) -> Mapping[str, str]:
        """Member that does not work -> what is wrong."""

    @property
    def unjudged(self) -> Collection[str]:
        """The members about which nothing is known."""

    @property
    def spare(self) -> int:
        """How many of the healthy could be lost; negative when there is no quorum."""


def could_lose(now: Quorum, members: int) -> Finding:
    """The DCS would keep its quorum without any `members` of its members. Unknown if that depends on unjudged ones.

    If it could lose them with all its members healthy, that is only late: a member that gives no answer may be slow.
    """
    words = f"{len(now.healthy)} of {now.voters} members of the DCS are healthy ({', '.join(sorted(now.healthy))})"
    if now.unhealthy:
        words += f"; unhealthy: {', '.join(f'{name}: {why}' for name, why in now.unhealthy.items())}"
    if now.spare >= members:
        return Finding.true(words)
    if now.spare + len(now.unjudged) >= members:
        return Finding.unknown(f"{words}; nothing is known about {', '.join(sorted(now.unjudged))}: add to ETCD_HOSTS")
    words += f": it can lose {max(0, now.spare)}, and must be able to lose {members}"
    return Finding.too_late(words) if members <= (now.voters - 1) // 2 else Finding.false(words)


def members_known(known: Collection[str], expected: Collection[str]) -> Finding:
    """The DCS knows these members and no other. One that is missing may only be late; no load makes up another one."""
    missing, further = sorted({*expected} - {*known}), sorted({*known} - {*expected})
    if further:
        others = f"; it does not know {', '.join(missing)}" if missing else ""
        return Finding.false(f"the DCS also knows {', '.join(further)}{others}")
    if missing:
        return Finding.too_late(f"the DCS does not know {', '.join(missing)}")
    return Finding.true(f"the DCS knows {', '.join(sorted(known))}")


def a_replica_may_take_over(obstacles: Mapping[str, Collection[str]]) -> Finding:
    """At least one replica may take over; `obstacles` is replica -> what keeps it from leading."""
    fit = [name for name, found in obstacles.items() if not found]
    if fit:
        return Finding.true(f"fit to lead: {', '.join(fit)}")
    reasons = "; ".join(f"{name}: {', '.join(found)}" for name, found in obstacles.items())
    return Finding.false(f"no replica may take over: {reasons or 'there is none'}")


Look = Mapping[str, str]
"""Aspect of the cluster -> its state at one look. What gave no answer is left out."""
_BLIND = 2
"""So many looks in a row may get no answer about an aspect: a change that is undone in that time cannot be seen."""


def nothing_changed(looks: Sequence[Look]) -> Finding:
    """Each aspect was found in one and the same state by every look that got an answer about it.

    Silence is not a change. Unknown unless there were two looks or more, the first and the last of them and at least
    half of all got an answer about every aspect, and no more than _BLIND in a row got none."""
    first: dict[str, str] = {}
    for number, look in enumerate(looks, start=1):
        changed = [aspect for aspect, state in look.items() if first.setdefault(aspect, state) != state]
        if changed:
            said = "; ".join(f"{aspect} was {first[aspect]}, then {look[aspect]}" for aspect in changed)
            return Finding.false(f"in observation {number} of {len(looks)}: {said}")
    if len(looks) < 2 or not first:
        return Finding.unknown(f"there were {len(looks)} observations, with answers about {len(first)} aspects")
    if unseen := [words for aspect in first if (words := _unseen(aspect, looks))]:
        return Finding.unknown(f"of {len(looks)} observations, {'; '.join(unseen)}")
    return Finding.true(
        f"the same in {len(looks)} observations: {', '.join(f'{key} {value}' for key, value in first.items())}"
    )


def _unseen(aspect: str, looks: Sequence[Look]) -> str:
    """Why these looks do not tell that an aspect stayed unchanged; empty if they do."""
    answered = [aspect in look for look in looks]
    silent = max((len(list(group)) for got, group in groupby(answered) if not got), default=0)
    if not answered[0] or not answered[-1] or silent > _BLIND or 2 * sum(answered) < len(answered):
        return f"{sum(answered)} got an answer about {aspect} (at most {silent} in a row got none)"
    return ""


@dataclass(frozen=True)
class DataDirectory:
    """What a member's data directory shows about its origin, and the time since the fault that hit it; in seconds."""

    member: str
    age: float
    """The age of its oldest file; a directory restored from a backup may be older than the fault."""
    method: str
    """How the server last got a state to recover from: REWOUND, or the method of a copy; empty if not recorded."""
    recovered: float
    """How long ago it got that state."""
    since_the_fault: float


REWOUND = "pg_rewind"


def rewound_not_copied(found: DataDirectory) -> Finding:
    """The member, whose timeline had diverged, was rewound after the fault, and not copied.

    Unknown if its data directory shows neither.
    """
    ago = f"{found.recovered:.0f} s ago, and the fault was {found.since_the_fault:.0f} s ago"
    why = ""
    if found.age < found.since_the_fault:
        why = f"its data directory is {found.age:.0f} s old, and the fault was {found.since_the_fault:.0f} s ago"
    elif found.method and found.method != REWOUND:
        why = f"its data directory is from a backup (method: {found.method}), and not from pg_rewind"
    if why:
        return Finding.false(
            f"{found.member} was copied from another member or from a backup: {why} (its log says why pg_rewind was "
            "not used or failed: check use_pg_rewind, the privileges of its role, and how much WAL the members keep)"
        )
    if not found.method:
        return Finding.unknown(f"{found.member} has no backup_label.old, which pg_rewind and copies leave behind")
    if found.recovered >= found.since_the_fault:
        return Finding.unknown(f"{found.member} was last rewound {ago}: no sign that it was rewound since")
    return Finding.true(f"{found.member} was rewound {ago}")


NO_SPACE = ("No space left on device", "Check free disk space")
"""What PostgreSQL says when its disk is full: either of the two."""


def refused_for_lack_of_space(
    history: History, action: str, since: float, clients: int, hanging: Collection[InFlight] = ()
) -> Finding:
    """Operations that began after `since` were refused because the disk was full; none hung or failed differently.

    `hanging` are those that have not ended, although their clients should have given up. What still fitted on the disk
    may have been acknowledged. Unknown unless every client was refused.
    """
    if hanging:
        since_when: list[object] = [
            f"client {one.client}, begun {one.begun - since:.1f} s after the fault" for one in hanging
        ]
        words = f"{counted(len(hanging), 'operation')} on a full disk got no answer at all: {listed(since_when)}"
        return Finding.false(words)
    tried = [one for one in history.of(action=action) if one.begun > since]
    failed = [one for one in tried if one.outcome is not Outcome.OK]
    refused = [one for one in failed if one.outcome is Outcome.FAIL and any(words in one.error for words in NO_SPACE)]
    if others := [one for one in failed if one not in refused]:
        return Finding.false(
            f"{len(others)} of {len(tried)} operations on a full disk were not refused for lack of space, the first "
            f"({others[0].outcome}): {others[0].error}"
        )
    if left_out := clients - len({one.client for one in refused}):
        return Finding.unknown(f"{left_out} of {clients} clients had no write refused")
    return Finding.true(f"{len(refused)} of {len(tried)} operations were refused for lack of space, and none hung")


def sessions_closed_in_time(sessions: int, ended: Sequence[float], limit: float) -> Finding:
    """Each of this many idle sessions was closed within `limit` seconds of the fault.

    `ended`: seconds from the fault until each closed session ended. Unknown if any was closed before the fault.
    """
    if not sessions:
        return Finding.unknown("no session was held")
    if early := [when for when in ended if when < 0]:
        return Finding.unknown(
            f"{len(early)} of {sessions} sessions were closed before the fault, up to {-min(early):.1f} s, so it could "
            "not cut them (does anything close idle sessions?)"
        )
    if late := [when for when in ended if when > limit]:
        return Finding.too_late(
            f"{len(late)} of {sessions} sessions were cut after {max(late):.1f} s (limit: {limit:g} s)", limit=limit
        )
    if len(ended) < sessions:
        hanging = sessions - len(ended)
        words = f"{hanging} of {sessions} sessions were left hanging (limit: {limit:g} s)"
        return Finding.too_late(words, limit=limit)
    return Finding.true(f"{sessions} sessions were cut, the last after {max(ended):.1f} s (limit: {limit:g} s)")


def all_among(found: Sequence[str], allowed: Collection[str]) -> Finding:
    """Everything that was found is allowed. Unknown if nothing was found."""
    if not found:
        return Finding.unknown("nothing was found to judge")
    astray = Counter(one for one in found if one not in allowed)
    if astray:
        observed = "; ".join(f"{count} times {one}" for one, count in astray.items())
        return Finding.false(f"of {len(found)}: {observed}; allowed: {'; '.join(allowed) or 'nothing'}")
    return Finding.true(f"{len(found)} times {' or '.join(sorted(set(found)))}")


NO_SERVER = "no server"
"""The position of a member that the proxy does not list."""
_RESERVE = "backup"  # the position of a backup server that is up while another server gets the sessions


def with_unlisted(
    observed: Mapping[str, Mapping[str, str]], expected: Mapping[str, Mapping[str, str]], may_lead: Collection[str]
) -> dict[str, dict[str, str]]:
    """What the proxy shows for each member, including members and endpoints for which it lists no server.

    An unlisted server gets no sessions. Where no reads are expected, that counts as "down". For a member that never
    leads, it counts as whatever is expected: it was left out of the proxy on purpose. For a member that may lead it is
    NO_SERVER, because writes could not reach it. A backup server for reads, which gets no sessions while others are up,
    also counts as whatever is expected.
    """
    found = {name: dict(row) for name, row in observed.items()}
    for name, row in expected.items():
        shown = found.setdefault(name, {})
        for end, wanted in row.items():
            if end != "write" and shown.get(end) == _RESERVE:
                shown[end] = wanted.split(" or ")[0]
            fine = name not in may_lead or (end != "write" and "down" in wanted.split(" or "))
            shown.setdefault(end, wanted.split(" or ")[0] if fine else NO_SERVER)
    return found


class InProxy(Protocol):
    """What the proxy reports about one server."""

    @property
    def position(self) -> str:
        """Whether the proxy sends new sessions there: "up", "down", or another word."""

    @property
    def served(self) -> int:
        """Sessions since the proxy started."""

    @property
    def algorithm(self) -> str:
        """How sessions are balanced; empty if the proxy does not report it."""


def each_serves(
    found: Sequence[str], among: Collection[str], held: Mapping[str, InProxy], strange: Collection[str] = ()
) -> Finding:
    """Each replica of `among` serves some of the sessions, or the proxy has sent others there and would send more.

    `found` is the member of each session; `held` is member -> what the proxy reports about it, empty if not known.
    `strange` are the proxy's servers that are not known to be a member: each may be one that is not in `held`. Unknown
    without sessions, and if a proxy that sends all sessions of one client to one server would look the same.
    """
    if not found or not among:
        return Finding.unknown(f"{len(found)} sessions over {len(among)} replicas are too few to show each one's share")
    counts = Counter(found)
    words = f"of {len(found)}: {'; '.join(f'{counts[one]} on {one}' for one in among)}"
    unserved = [one for one in among if not counts[one]]
    for one in unserved:
        server = held.get(one)
        if not server and strange:
            return Finding.unknown(
                f"{words}; it is not known which members the proxy's servers {', '.join(sorted(strange))} are, so "
                f"{one} may be any of them (say it in HAPROXY_SERVERS; `stats show-legends` in HAProxy shows addresses)"
            )
        if held and not server:
            return Finding.false(f"{words}; {one} is not in the read backend (tag it noloadbalance if that is meant)")
        if server and server.position != "up":
            return Finding.false(f"{words}; HAProxy reports {one} as {server.position}")
        if server and server.algorithm == "first":
            return Finding.false(f"{words}; {one} serves none as long as another takes them (balance first)")
        if server and not server.served and (server.algorithm or len(counts) > 1):
            return Finding.false(f"{words}; {one} serves none, and has served none since the proxy started")
        if not server or not server.served:
            return Finding.unknown(
                f"{words}; whether {one} serves others cannot be told: the proxy does not say how it balances "
                "(`stats show-legends` in HAProxy makes its statistics say it, or say it in HAPROXY_BALANCE)"
            )
        words += f"; {one} is up, and the proxy has sent it {server.served} sessions"
    return Finding.true(words)


ROUNDS = 2
"""A replica in the read endpoint is met when each of the others was met so many times."""


def out_of_reads(target: str, others: Collection[str], sessions: Mapping[str, int] | None, position: str) -> Finding:
    """No session through the read endpoint lands on the target, and it is proved that some would have.

    `others` are the other replicas that serve reads; `sessions` is member -> the sessions that landed on it, None if
    the endpoint refuses sessions, as it must where the target was the only replica. `position` is what the proxy says
    of the target ("up", "down", ...), which proves it; empty if it says nothing: then the sessions must have met each
    of the others in ROUNDS.
    """
    counts = sessions or {}
    words = f"of {sum(counts.values())} sessions: {'; '.join(f'{counts[one]} on {one}' for one in sorted(counts))}"
    if counts.get(target):
        return Finding.false(words)
    if position:
        return Finding(position != "up", f"{words}; HAProxy reports {target} as {position}")
    if sessions is None:
        return Finding.true(f"the read endpoint serves nobody, because {target} was the only replica")
    unmet = [one for one in others if counts.get(one, 0) < ROUNDS]
    if unmet or sum(counts.values()) < 2 * ROUNDS:
        return Finding.unknown(
            f"{words}; no session reached {target}, but that proves nothing: {', '.join(unmet) or 'its peers'} were "
            f"not reached {ROUNDS} times either, and there is no statistics page to ask (HAPROXY_STATS_URL)"
        )
    return Finding.true(words)


def caught_up(member: str, replayed: int | None, needed: int | None, *, streams: bool) -> Finding:
    """A replica that serves reads again has caught up: it has replayed the WAL up to `needed`, and it streams.

    Both are positions in bytes, None where they are not known. A replica that catches up from the archive streams, too,
    for this purpose: a proxy need not keep it out.
    """
    if needed is not None and replayed is not None and replayed < needed:
        return Finding.false(
            f"{member} serves reads again, although it is still {needed - replayed:,} bytes of WAL further behind than "
            "is allowed"
        )
    if not streams:
        return Finding.false(f"{member} serves reads again, although it does not stream")
    return Finding.true(f"{member} has caught up")


def refused_until(samples: Iterable[WriterSample], member: str, since: float, until: float) -> Finding:
    """From its first refusal after `since` (the fault) the member accepted no write until `until` (the healing).

    Unknown unless it was seen to refuse one, and if the last answer before `until` is older than LAST_WORD seconds:
    silence is not a refusal.
    """
    own = [one for one in samples if one.member == member and one.begun > since and one.ended <= until]
    refusals = [one for one in own if one.refused]
    if not refusals:
        return Finding.unknown(f"{member} was not seen to refuse a write before the fault was healed")
    first = min(one.begun for one in refusals)
    again = [one for one in own if one.writable and one.begun > first]
    words = f"{member} refused writes from {first - since:.1f} s until {until - since:.1f} s after the fault"
    if again:
        return Finding.false(
            f"{member} first refused a write {first - since:.2f} s after the fault, and accepted {len(again)} later, "
            f"the last {again[-1].ended - since:.2f} s after the fault"
        )
    if (silent := until - max(one.ended for one in refusals)) > LAST_WORD:
        return Finding.unknown(f"{words}, but gave no answer in the last {silent:.1f} s")
    return Finding.true(words)
