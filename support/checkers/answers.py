"""Whether each client got the answers to its own questions, and no other's."""

from collections.abc import Callable

from support.checkers.finding import Finding
from support.history import History, Outcome


def each_answer_is_its_askers(history: History, right: Callable[[str], str]) -> Finding:
    """Every answer (the value of an operation "ask") is the right one to its question (the operation's key).

    Unknown when nothing was answered.
    """
    answered = history.of(action="ask", outcome=Outcome.OK)
    if not answered:
        return Finding.unknown("no question was answered")
    wrong = [operation for operation in answered if operation.value != right(operation.key)]
    if not wrong:
        return Finding.true(f"{len(answered)} answers, each its asker's own")
    first = wrong[0]
    return Finding.false(
        f"{len(wrong)} of {len(answered)} answers are not the asker's own: client {first.client} asked {first.key!r} "
        f"and was answered {first.value!r}, not {right(first.key)!r}"
    )


def every_answer_is(expected: object, history: History, action: str) -> Finding:
    """Every operation of that kind was answered, with just that. Unknown when there was none."""
    asked = history.of(action=action)
    if not asked:
        return Finding.unknown(f"there was no operation ({action})")
    other = [one for one in asked if one.outcome is not Outcome.OK or one.value != expected]
    if other:
        said = other[0].error or repr(other[0].value)
        return Finding.false(
            f"{len(other)} of {len(asked)} operations ({action}) were not answered {expected!r}: {said}"
        )
    return Finding.true(f"{len(asked)} operations ({action}), each answered {expected!r}")
