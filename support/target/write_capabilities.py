"""Capabilities that depend on whether writes wait for a missing standby, and on who makes them wait.

They do so in Patroni's strict synchronous mode, and if synchronous_standby_names is set in PostgreSQL directly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from support.target.patroni_configuration import PatroniConfiguration
from support.target.purposes import Purpose
from support.target.standby_names import StandbyNames
from support.vocabulary import counted

DECIDED = ("writes_without_standby", "writes_after_loss", "asynchronous_commits")


@dataclass(frozen=True)
class _Wait:
    """Why the writes of a group wait for standbys, even missing ones, and for how many."""

    why: str
    count: int
    names: StandbyNames | None = None
    """The standbys named in PostgreSQL's own setting; None if Patroni manages that setting."""

    def able(self, known: Mapping[str, Purpose]) -> list[str]:
        """The replicas for which writes may wait, given these purposes."""
        if self.names is None:
            return [name for name, one in known.items() if not one.leads and one.may_be_synchronous]
        return [name for name, one in known.items() if not one.leads and one.source and self.names.has(name)]


def lacking_writes(
    configured: Mapping[int, PatroniConfiguration],
    own: Mapping[int, StandbyNames],
    members: Mapping[int, int],
    possible: Mapping[int, Sequence[Mapping[str, Purpose]]],
) -> Iterator[tuple[str, str]]:
    """The capabilities that some group lacks, each with the reason. The arguments, by group: its configuration,
    PostgreSQL's own synchronous_standby_names, the number of members, and their purposes under each possible leader."""
    shared = StandbyNames.parse(configured[0].standby_names) if 0 in configured else None
    if shared is not None and (ours := own.get(0)) and ours != shared:
        yield (
            "asynchronous_commits",
            f"PostgreSQL's own synchronous_standby_names is {ours}, and set by the members themselves: it is not in "
            "the configuration that they share (`patronictl edit-config` puts it there)",
        )
    for group, one in sorted(configured.items()):
        wait = _wait_of(one, own.get(group))
        if wait is None or members.get(group, 0) < 2:
            continue
        where = f" in worker group {group}" if group else ""
        yield "writes_without_standby", f"{wait.why}{where}: while there is no standby, nothing can be written"
        able = min((wait.able(known) for known in possible.get(group, ())), key=len, default=None)
        count = members[group] - 1 if able is None else len(able)
        if count <= wait.count:
            yield (
                "writes_after_loss",
                f"{wait.why}{where}: after the leader is lost, too few standbys are left to write anything "
                f"({counted(count, 'replica')} can be one, and one of those becomes the leader)",
            )


def _wait_of(one: PatroniConfiguration, own: StandbyNames | None) -> _Wait | None:
    if one.synchronous:
        return _Wait("Patroni's synchronous_mode_strict is on", 1) if one.strict else None
    return _Wait(f"PostgreSQL's own synchronous_standby_names is {own}", own.count, own) if own else None
