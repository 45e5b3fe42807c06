"""Safety is judged even in a scenario that has failed for another reason.

behave ends a scenario with its first failing step. If that step found something late, or could not be judged, a rerun
may pass, and then a lost write that nobody looked for is never known. So the remaining steps that judge *safety* (that
nothing was lost, doubled or answered wrongly) are carried out in any case, and a wrong result that they find counts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from support.engine.world import Context
from support.reporting.scenario import is_final

Step = TypeVar("Step", bound=Callable[..., None])
_MARK = "judges_safety"


def safety(step: Step) -> Step:
    """A decorator below `@then`: the step judges whether anything was lost, doubled or answered wrongly.

    It is carried out even if an earlier step failed, once all faults are healed. Steps in between may then be missing,
    and so may what the failed one waited for: the step must not take for a wrong result what is only not settled yet,
    or what is right as long as that has not happened. It has no table and no text.
    """
    setattr(step, _MARK, True)
    return step


def judges_safety(step: Callable[..., None]) -> bool:
    """Whether a step function is marked with `safety`."""
    return getattr(step, _MARK, False)


def wrong_results(context: Context, scenario: Any, registry: Any) -> Iterator[Exception]:
    """Carry out the steps that judge safety and that behave left out, and yield the wrong results that they find.

    `scenario` is behave's, which has failed, and `registry` behave's registry of steps. The faults are healed first.
    Nothing is done if the scenario got no further than its preconditions, or has found a wrong result itself.
    """
    steps = list(scenario.all_steps)
    failed = next((number for number, one in enumerate(steps) if one.exception is not None), None)
    if failed is None or steps[failed].step_type == "given" or is_final(steps[failed].exception):
        return
    matches = [match for step in steps[failed + 1 :] if (match := registry.find_match(step)) is not None]
    left_out = [match for match in matches if judges_safety(match.func)]
    if left_out and (experiment := context.world.experiment_or_none) is not None:
        with suppress(Exception):  # it is tried again, and told, when the scenario is closed
            experiment.heal()
    for match in left_out:
        yield from _wrong_result(partial(match.run, context))


@contextmanager
def safety_judged(judge: Callable[[], None]) -> Iterator[None]:
    """Call `judge` after a `with` block. If the block fails, only a wrong result that `judge` finds counts instead."""
    try:
        yield
    except Exception as error:
        if not is_final(error):
            for wrong in _wrong_result(judge):
                raise wrong from error
        raise
    judge()


def _wrong_result(judge: Callable[[], None]) -> Iterator[Exception]:
    """The wrong result that it raises, if any: what is late, or not known, adds nothing to a scenario that failed."""
    try:
        judge()
    except Exception as error:
        if is_final(error):
            yield error
