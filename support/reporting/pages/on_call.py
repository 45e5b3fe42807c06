"""The page for the on-call engineer: each promise with what it means when broken, and what to do about it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from support.reporting.on_call import Guide, guide_for
from support.reporting.pages.grid import WORDS, PromiseState
from support.reporting.past import KEY
from support.reporting.scenario import SEVERITIES, Verdict

SAFE: Mapping[str, frozenset[str]] = {
    "fsync": frozenset({"on"}),
    "full_page_writes": frozenset({"on"}),
    "synchronous_commit": frozenset({"on", "remote_write", "remote_apply"}),
}
"""The values of settings with which an acknowledged write can survive a crash: those that PH-06 asks for."""
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class TargetFact:
    """What a run found out about the target."""

    name: str
    value: str

    @property
    def safe_values(self) -> str:
        """The values that would be safe, if this one is not; otherwise empty."""
        safe = SAFE.get(self.name, frozenset({self.value}))
        return "" if self.value in safe else " or ".join(sorted(safe))


@dataclass(frozen=True)
class Entry:
    """One promise, its guide, and the ways in which the suite breaks it on purpose."""

    state: PromiseState
    guide: Guide
    sabotages: Sequence[str]
    """Descriptions of the sabotages that its scenarios must notice: causes that are known to look like this."""
    causes: Sequence[str] = ()
    """Ids of other promises that this run found broken, and that may be the cause."""
    unjudged: Sequence[tuple[str, str]] = ()
    """Ids of promises that may be the cause and that this run did not judge, each with the command that does; empty if
    the target lacks what its scenarios need."""
    facts: Sequence[TargetFact] = ()
    """What matters here of what this run found out about the target, what is not safe first."""

    @property
    def failing(self) -> bool:
        return self.state.word in ("broken", "inconclusive", "error")

    @property
    def evidence(self) -> str:
        """The anchor of its evidence in the page of scenarios; empty if nothing failed."""
        return self.state.results[0].scenario.key[:KEY] if self.failing and self.state.results else ""


def entries(
    states: Sequence[PromiseState],
    guides: Mapping[str, Guide],
    sabotages: Mapping[str, Sequence[str]],
    facts: Mapping[str, str],
    options: str = "",
) -> list[Entry]:
    """One for each promise, those that failed in this run first. `facts` and `options`: see RunRecord."""
    known, unknown = causes(states, guides), _unjudged(states, guides)
    found = []
    for one in states:
        guide, id = guide_for(one.promise, guides), one.promise.id
        matter = [
            TargetFact(name, value) for wanted in guide.facts for name, value in facts.items() if _is(name, wanted)
        ]
        matter.sort(key=lambda fact: not fact.safe_values)
        left = [(each.promise.id, _command(each, options)) for each in unknown.get(id, ())]
        found.append(Entry(one, guide, sabotages.get(id, ()), known.get(id, ()), left, matter))
    return sorted(found, key=lambda one: place(one.state, known) if one.failing else (9,))


def causes(states: Sequence[PromiseState], guides: Mapping[str, Guide]) -> dict[str, list[str]]:
    """For each promise with a wrong result: the ids of those broken ones that its guide names as possible causes.

    An exceeded limit of time is no wrong result, and has other causes.
    """
    found = _named_first(states, guides)
    broken = {id: [one.promise.id for one in those if one.word == "broken"] for id, those in found.items()}
    return {id: those for id, those in broken.items() if those}


def _unjudged(states: Sequence[PromiseState], guides: Mapping[str, Guide]) -> dict[str, list[PromiseState]]:
    """For each promise with a wrong result: the possible causes that this run did not judge."""
    return {id: [one for one in those if not one.judged] for id, those in _named_first(states, guides).items()}


def _named_first(states: Sequence[PromiseState], guides: Mapping[str, Guide]) -> dict[str, list[PromiseState]]:
    """For each promise with a wrong result: what its guide names as possible causes."""
    by_id = {one.promise.id: one for one in states}
    wrong = [one for one in states if one.word == "broken" and any(result.final for result in one.results)]
    return {one.promise.id: [by_id[id] for id in guide_for(one.promise, guides).first if id in by_id] for one in wrong}


def _command(state: PromiseState, options: str) -> str:
    """The line that judges a promise; empty if the target lacks what that takes."""
    if state.word == WORDS[Verdict.SKIPPED]:
        return ""
    return " ".join(["./accept run", *filter(None, [options]), f"--tags @id.{state.promise.id}"])


def place(state: PromiseState, known: Mapping[str, Sequence[str]]) -> tuple[int, ...]:
    """Where a promise that is not kept stands among the others: broken ones first, the most severe first among
    them, and causes before effects. `known`: see `causes`."""
    severity = SEVERITIES.index(state.promise.severity)
    return (0 if state.word == "broken" else 1, severity, 0 if state.promise.id not in known else 1)


def _is(name: str, wanted: str) -> bool:
    """Whether that is the fact, or the same fact of a worker group."""
    return name == wanted or name.startswith(f"{wanted} of ")


def with_code(text: str) -> Markup:
    """A text of a guide as HTML; what stands in backquotes is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
