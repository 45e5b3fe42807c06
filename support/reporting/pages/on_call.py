"""The page for the on-call engineer: each promise with what it means when broken, and what to do about it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from support.reporting.on_call import Guide, guide_for
from support.reporting.pages.grid import PromiseState
from support.reporting.past import KEY

_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Entry:
    """One promise, its guide, and the ways in which the suite breaks it on purpose."""

    state: PromiseState
    guide: Guide
    sabotages: Sequence[str]
    """Descriptions of the sabotages that its scenarios must notice: causes that are known to look like this."""

    @property
    def failing(self) -> bool:
        return self.state.word in ("broken", "inconclusive", "error")

    @property
    def evidence(self) -> str:
        """The anchor of its evidence in the page of scenarios; empty if nothing failed."""
        return self.state.results[0].scenario.key[:KEY] if self.failing and self.state.results else ""


def entries(
    states: Sequence[PromiseState], guides: Mapping[str, Guide], sabotages: Mapping[str, Sequence[str]]
) -> list[Entry]:
    """One for each promise, those that failed in this run first."""
    found = [Entry(one, guide_for(one.promise, guides), sabotages.get(one.promise.id, ())) for one in states]
    return sorted(found, key=lambda one: (one.state.word != "broken", not one.failing))


def with_code(text: str) -> Markup:
    """A text of a guide as HTML; what stands in backquotes is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
