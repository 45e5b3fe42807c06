"""What a scenario may lose: the terms of the Citus group that held a lost write, and of no other group."""

from collections.abc import Callable, Collection, Mapping

from support import sql
from support.engine.history import Operation
from support.engine.world import World
from support.errors import ConnectFailed
from support.expectations import AcceptedLoss
from support.target import citus
from support.target.leadership import leaderships
from support.target.members import NO_ANSWER
from support.waiting import eventually

Terms = Callable[[Operation], AcceptedLoss | None]
"""Gives for a lost write what the group that held it may lose; None where it is not known which group that was."""


def losses_accepted_now(world: World) -> dict[int, AcceptedLoss]:
    """Group -> what it may lose in this scenario.

    A group is left out if it must not lose anything, or if its leader was not replaced unplanned while clients wrote.
    """
    cluster, accepted = world.cluster, world.cluster.topology.accepted_loss
    if not accepted or world.experiment.planned:
        return {}
    within = world.timing.notice
    now = eventually(lambda: leaderships(cluster), within=within, subject="each group has a leader", retry_on=NO_ANSWER)
    before = world.leaderships
    return {group: loss for group, loss in accepted.items() if before[group].followed_by_another(now[group])}


def terms_of_ledger(
    world: World, namespace: str, lost: Collection[object], accepted: Mapping[int, AcceptedLoss]
) -> Terms:
    """The terms of each lost entry of a ledger; `accepted` is what the groups may lose."""
    if not lost or not accepted:
        return lambda one: AcceptedLoss()
    homes = _homes(world, namespace, [str(value) for value in lost])
    return lambda one: terms(homes[str(one.value)], accepted)


def terms(groups: Collection[int], accepted: Mapping[int, AcceptedLoss]) -> AcceptedLoss | None:
    """What may be lost of a row that one of these groups held.

    Nothing if none of them may lose any; None if only some may, as nobody knows which one held it.
    """
    found = [accepted.get(group, AcceptedLoss()) for group in groups]
    if len(found) == 1:
        return found[0]
    return None if any(found) else AcceptedLoss()


def _homes(world: World, namespace: str, values: Collection[str]) -> dict[str, frozenset[int]]:
    """Entry of the ledger -> the groups that may have held it."""
    if "citus" in world.cluster.topology.lacks:
        return dict.fromkeys(values, frozenset({world.cluster.group}))
    entries = world.profile.entries
    rows = [{entries.namespace: namespace, entries.key: value, entries.value: value} for value in values]
    homes = eventually(
        lambda: citus.homes(world.cluster.write, entries.table, rows),
        within=world.timing.recovery,
        subject="the coordinator says which groups held the lost writes",
        retry_on=(sql.Error, ConnectFailed),
    )
    return dict(zip(values, homes, strict=True))
