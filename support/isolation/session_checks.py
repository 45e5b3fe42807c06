"""What a session may rely on: its own writes, reads that never go back in time, and how far one endpoint is behind."""

from collections import defaultdict

from support.engine.finding import Finding, listed
from support.engine.history import History, Outcome

WRITE_AND_READ = "write and read"
"""The action of writing a version and reading it back in the same session; the value is (written, read)."""
READ = "read"
"""The action of reading the version; the value is what was seen."""
FOLLOW = "follow"
"""The action of finding at one endpoint what the other has; the key names the endpoint that follows, the value is the
seconds that it took, and how often it was asked until then."""
LEAST_VERSIONS = 10
"""Versions that the readers must have seen pass by: of an entry that hardly changes, all reads are alike."""


def own_writes_seen(history: History) -> Finding:
    """Each session read what it had written itself just before. Unknown if none did so."""
    done = history.of(action=WRITE_AND_READ, outcome=Outcome.OK)
    if not done:
        return Finding.unknown("no session wrote and read")
    wrong: list[object] = [
        f"client {one.client} wrote version {one.value[0]} and read {_shown(one.value[1])}"
        for one in done
        if one.value[1] != one.value[0]
    ]
    if wrong:
        return Finding.false(
            f"{len(wrong)} of {len(done)} times a session did not see its own write: {listed(wrong, most=3)}"
        )
    return Finding.true(f"{len(done)} times a session saw its own write at once")


def reads_never_go_back(history: History) -> Finding:
    """No client saw an older version than before. Unknown if hardly any version passed by while they read.

    A client whose read failed logs in anew; from then on its reads are those of another session.
    """
    last: dict[int, int] = defaultdict(lambda: -1)
    versions: set[int] = set()
    back: list[object] = []
    count = 0
    for one in history.of(action=READ):
        if one.outcome is not Outcome.OK:
            last.pop(one.client, None)
            continue
        count += 1
        versions.add(one.value)
        if one.value < last[one.client]:
            back.append(f"client {one.client} read {_shown(one.value)} after version {last[one.client]}")
        last[one.client] = one.value
    if back:
        return Finding.false(f"{len(back)} of {count} reads went back in time: {listed(back, most=3)}")
    if len(versions) < LEAST_VERSIONS:
        return Finding.unknown(f"only {len(versions)} versions were seen in {count} reads")
    return Finding.true(f"{count} reads, none of an older version than before; {len(versions)} versions were seen")


def endpoints_follow(history: History, limit: float) -> Finding:
    """Each endpoint showed within `limit` seconds what the other one had. Unknown if one of them was never asked."""
    asked = history.of(action=FOLLOW)
    names = {one.key for one in asked}
    if late := [one for one in asked if one.outcome is not Outcome.OK or one.value[0] > limit]:
        told = listed([f"{one.key} after {one.value[0]:.1f} s" for one in late], most=3)
        return Finding.too_late(
            f"{len(late)} of {len(asked)} times an endpoint did not show within {limit:g} s what the other one had: "
            f"{told}",
            *((one.begun, one.ended) for one in late),
            limit=limit,
        )
    if len(names) < 2:
        return Finding.unknown(f"only {listed(sorted(names)) or 'no endpoint'} was asked")
    most = max(one.value[0] for one in asked)
    return Finding.true(f"{len(asked)} times an endpoint showed what the other one had, after {most:.2f} s at most")


def slowest(history: History, endpoint: str) -> float:
    """The longest time in seconds that this endpoint took to show what the other one had; 0 if it was never asked."""
    return max((one.value[0] for one in history.of(action=FOLLOW) if one.key == endpoint), default=0.0)


def shown_early(history: History) -> str:
    """How often a replica showed a commit before its leader did; empty if it never did.

    The leader shows a commit only when its wait for the standby is over, and the standby may have replayed it before.
    Source: https://jepsen.io/analyses/amazon-rds-for-postgresql-17.4
    """
    asked = [one for one in history.of(action=FOLLOW) if one.key == "the write endpoint"]
    early = [one for one in asked if one.value[1] > 1]
    if not early:
        return ""
    longest = max(one.value[0] for one in early)
    return (
        f"a replica can show a commit before its leader does: {len(early)} of {len(asked)} times what the read "
        f"endpoint had shown was not yet at the write endpoint, for {longest:.3f} s at most"
    )


def _shown(version: int) -> str:
    return f"version {version}" if version >= 0 else "nothing"
