"""How many acknowledged writes a failover may lose: as declared, or else as Patroni is configured."""

from collections.abc import Iterable, Mapping

from support.expectations import AcceptedLoss, Expectations
from support.target.patroni_configuration import PatroniConfiguration


def accepted_losses(
    groups: Iterable[int], configured: Mapping[int, PatroniConfiguration], expected: Expectations
) -> dict[int, AcceptedLoss]:
    """Group -> how many acknowledged writes its failover may lose; only groups that may lose any.

    Each group is judged by its own configuration: asynchronous replication in one group excuses no loss in another.
    """
    losses = (_accepted_loss(group, configured.get(group), expected) for group in groups)
    return {loss.group: loss for loss in losses if loss}


def _accepted_loss(group: int, configured: PatroniConfiguration | None, expected: Expectations) -> AcceptedLoss:
    """The loss that is declared as accepted, or else the loss that the group is configured for.

    None if the group is configured or declared to be synchronous. If its configuration is not known, only what is
    declared.
    """
    if expected.wants_synchronous or (configured is not None and configured.synchronous):
        return AcceptedLoss(group=group)
    if expected.accepted_loss is not None:
        why = f"[expect] accepted_loss accepts {expected.accepted_loss:,} bytes"
        return AcceptedLoss(expected.accepted_loss, 0.0, why, group)
    if configured is None:
        return AcceptedLoss(group=group)
    lag, recent = configured.maximum_lag, configured.loop_wait
    whose = f" of worker group {group}" if group else ""
    return AcceptedLoss(
        lag, recent, f"known limit: {loss_in_words(lag, recent)}{whose} (asynchronous replication)", group
    )


def loss_in_words(lag: int, recent: float) -> str:
    """For a report; `recent` is in seconds."""
    return f"acknowledged writes of up to {lag:,} bytes, and those of the last {recent:g} s, can be lost in a failover"
