"""What was seen, for readers who decide: the observation first, its time last, and no lists of ids. The evidence has
the whole message."""

import re
from collections import defaultdict
from collections.abc import Iterable

from support.hosts.processors import shortened

MOST = 300
"""Characters of one observation on the page."""
_MORE = " ... (more in the evidence)"
_LATE = re.compile(
    r"(?P<subject>.+?): (?P<late>(?:still not true|not so) after [\d.]+ s \([^()]*\)); last observed: (?P<seen>.+)",
    re.DOTALL,
)
"""What `NotInTime` says. Journals of earlier versions say "not so"."""
_WRITE = r"\d+-\d+(?: after [\d.]+ s)?"
_WRITES = re.compile(
    rf": {_WRITE}(?:, {_WRITE})*(?:, and \d+ more)?(?P<explained> \(\d+-\d+: write \d+ of client \d+\))?"
)
"""A list of writes of clients; each has the number of its client and its own, as the message says or does not say."""
_OF_MEMBER = re.compile(r"(?P<member>[\w.:-]+), (?P<what>[^;]+: expected [^;]+)")
_LAST_OF_LATE = re.compile(r" \([^()]+: (?:still not true|not so) after [^()]+\)$")
_THEN = re.compile(r"\s*\nand (?:then|before that) ")
_LARGE = re.compile(r"(?<![\d.,-])\d{4,}(?![\d.,-])(?= (?:acknowledged |of )?(?:writes|entries|operations|reads))")


def observations(reasons: Iterable[str]) -> list[str]:
    """What scenarios saw, in short: an entry for each thing that went wrong, each once."""
    every = (each for reason in reasons for each in _THEN.split(reason.strip()))
    return list(dict.fromkeys(told for each in every if (told := in_short(each))))


def in_short(reason: str) -> str:
    """One observation: what was seen comes first, and how long it was waited for last."""
    words = shortened(" ".join(reason.split()))
    if late := _LATE.fullmatch(words):
        words = f"{late['seen']} ({late['subject']}: {late['late'].replace(' (', ', ').rstrip(')')})"
    words = _LARGE.sub(lambda number: f"{int(number[0]):,}", _WRITES.sub("", words))
    return cut(_alike_together(words))


def _alike_together(words: str) -> str:
    """Settings that several members have alike, told once: "pg1, pg2, fsync: expected on, observed off"."""
    clauses, last = words.split("; "), ""
    if found := _LAST_OF_LATE.search(clauses[-1]):
        clauses[-1], last = clauses[-1][: found.start()], found[0]
    told = [_OF_MEMBER.fullmatch(one) for one in clauses]
    if not all(told):
        return words
    members: dict[str, list[str]] = defaultdict(list)
    for one in told:
        if one:
            members[one["what"]].append(one["member"])
    return "; ".join(f"{', '.join(names)}, {what}" for what, names in members.items()) + last


def first_write(reason: str) -> tuple[str, str, str] | None:
    """The first write of a client that a message lists: its id, the number of the client, and its own number.

    None if the message itself explains it.
    """
    found = _WRITES.search(reason)
    if found is None or found["explained"]:
        return None
    id = found[0].removeprefix(": ").split(",")[0].split(" ")[0]
    client, _, number = id.partition("-")
    return id, client, number


def cut(words: str, most: int = MOST) -> str:
    """No more than about `most` characters, ended behind a whole clause or at least a whole word."""
    if len(words) <= most:
        return words
    kept = words[:most]
    ends = [end for mark in ("; ", ", ", " ") if (end := kept.rfind(mark)) > most // 2]
    return kept[: ends[0] if ends else most] + _MORE
