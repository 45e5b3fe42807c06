"""Searches for words, in the step catalogue and in the list of promises: which hits come first, and what if none does.

A word is looked for as a part of words: "interrupt" finds "interrupted".
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from support.vocabulary import similar

T = TypeVar("T")
_WORD = re.compile(r"[^\W_]+")


def best_first(words: str, among: Iterable[T], said: Callable[[T], str], rest: Callable[[T], str]) -> tuple[T, ...]:
    """The items that contain all of the words, in any order.

    Where a word counts most is first: as a whole in what `said` gives, then as a whole in the `rest`; then as a part of
    other words in either.
    """
    wanted = words.lower().split()
    ranked = [(one, [_rank(word, said(one).lower(), rest(one).lower()) for word in wanted]) for one in among]
    found = [(sum(ranks), one) for one, ranks in ranked if _NOWHERE not in ranks]
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def nothing_found(noun: str, words: str, texts: Sequence[str]) -> str:
    """What to say where no text has all of the words: which word is in none, and the words that are like it."""
    lower = [text.lower() for text in texts]
    for word in words.lower().split():
        if not any(word in text for text in lower):
            near = similar(word, {known for text in lower for known in _WORD.findall(text)})
            return f"no {noun} contains {word!r}" + (f"; similar words: {', '.join(near)}" if near else "")
    return f"no {noun} contains all of {', '.join(map(repr, words.lower().split()))}; each is in some"


_NOWHERE = 4


def _rank(word: str, said: str, rest: str) -> int:
    """Smaller is better."""
    whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    places = (whole.search(said), whole.search(rest), word in said, word in rest)
    return next((rank for rank, is_there in enumerate(places) if is_there), _NOWHERE)
