"""Random sequences of faults, written as scenarios: made from a seed, shortened, and told in Gherkin.

An episode consists of sentences that scenarios use as well. So whatever breaks can be kept as a scenario as it stands.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random

HEALED = "the fault is healed"


@dataclass(frozen=True)
class Move:
    """One disturbance. Its sentence names roles, which are looked up when it happens."""

    sentence: str
    needs: frozenset[str] = frozenset()
    """The capabilities without which it cannot be done."""
    alone: bool = False
    """Only on a cluster that is whole: together with another fault it may lose what was acknowledged."""
    ends_itself: bool = False
    """Nothing is left to be healed afterwards."""


_PARTITIONS, _DCS = frozenset({"hosts", "partitions"}), frozenset({"hosts", "dcs", "spare_dcs", "dcs_hosts"})
_HOSTS, _LINKS = frozenset({"hosts"}), frozenset({"hosts", "partitions"})
MOVES = (
    Move("the host of the leader crashes", _HOSTS),
    Move("the host of a replica crashes", _HOSTS),
    Move("the host of the synchronous standby crashes", _HOSTS | {"synchronous"}),
    Move("the host of the leader freezes", _HOSTS),
    Move("the host of a replica freezes", _HOSTS),
    Move("PostgreSQL alone is killed on the leader", _HOSTS, ends_itself=True),
    Move("PostgreSQL alone is killed on a replica", _HOSTS, ends_itself=True),
    Move("the data directory of a replica is destroyed", _HOSTS, alone=True, ends_itself=True),
    Move("the leader is cut off from every other host", _PARTITIONS),
    Move("the leader is cut off from the DCS", _PARTITIONS),
    Move("the leader is cut off from all but its clients", _PARTITIONS),
    Move("every link between the hosts gets 100 ms slower", _LINKS),
    Move("every link between the hosts loses one packet in ten", _LINKS),
    Move("the leading member of the DCS crashes", _DCS),
    Move("a majority of the DCS crashes", _DCS, alone=True),
    Move("the proxy is killed and started again", _HOSTS, ends_itself=True),
    Move("a switchover to any replica is requested", alone=True, ends_itself=True),
)
_PAUSES = (1, 3, 8, 20, 35)
"""Seconds between two moves: less than any timeout of the cluster, about a ttl, and more."""
_LONGEST = 4  # moves of an episode
_AT_ONCE = 2  # moves that are not healed: with more of them, nobody may have the role that the next one names
_HEALS = 0.5  # the share of moves that are healed before the next one; the others overlap with it
_TAGS = "@schema @patroni @haproxy @members @replicas @destructive @slow @blocker"


def possible(lacks: Collection[str]) -> tuple[Move, ...]:
    """The moves of a target that lacks these capabilities."""
    return tuple(move for move in MOVES if not move.needs & set(lacks))


@dataclass(frozen=True)
class Episode:
    """What happens, a sentence each: moves, pauses, and healings of all that was done until then."""

    sentences: tuple[str, ...]
    transactions: bool = True
    """Whether transactions are judged, too: where a failover may lose acknowledged writes, they cannot be."""

    def gherkin(self, title: str) -> str:
        """A feature with this episode as its only scenario."""
        judged = ["the ledger lost no acknowledged write"]
        beside = ["2 clients reading through the read endpoint"]
        if self.transactions:
            judged.append("no transaction saw an anomaly that its level rules out")
            beside.append("4 clients running transactions at isolation level serializable")
        steps = [
            "Given a healthy cluster",
            *(f"And {one}" for one in ("4 clients appending to a ledger through the write endpoint", *beside)),
            *(f"{'And' if number else 'When'} {one}" for number, one in enumerate(self.sentences)),
            "Then at no time did two members accept writes",
            *(f"And {one}" for one in judged),
        ]
        lines = [_TAGS, "Feature: Exploration", f"  Scenario: {title}", *(f"    {step}" for step in steps)]
        return "\n".join(lines) + "\n"

    def shorter(self) -> "Iterator[Episode]":
        """Every episode with one sentence less, and then those with a shorter pause."""
        for number, sentence in enumerate(self.sentences):
            rest = (*self.sentences[:number], *self.sentences[number + 1 :])
            if sentence != HEALED and any(not _is_pause(one) and one != HEALED for one in rest):
                yield self._with(rest)
        for number, sentence in enumerate(self.sentences):
            if _is_pause(sentence):
                seconds = int(sentence.split()[0])
                for less in (one for one in _PAUSES if one < seconds):
                    yield self._with((*self.sentences[:number], _pause(less), *self.sentences[number + 1 :]))

    def _with(self, sentences: tuple[str, ...]) -> "Episode":
        return Episode(sentences, self.transactions)

    def __str__(self) -> str:
        return "; ".join(self.sentences)


def episode(chance: Random, moves: Sequence[Move], transactions: bool = True) -> Episode:
    """A random episode of one to a few moves. Raises ValueError if there are none to choose from.

    What it did is healed at its end.
    """
    if not moves:
        raise ValueError("no move is possible")
    sentences: list[str] = []
    broken = 0
    for number in range(chance.randint(1, _LONGEST)):
        if number:
            sentences.append(_pause(chance.choice(_PAUSES)))
        choice = chance.choice(moves)
        if broken and (choice.alone or broken == _AT_ONCE or chance.random() < _HEALS):
            sentences.append(HEALED)
            sentences.append(_pause(_PAUSES[-1] if choice.alone else chance.choice(_PAUSES)))
            broken = 0
        sentences.append(choice.sentence)
        broken += not choice.ends_itself
    return Episode((*sentences, _pause(chance.choice(_PAUSES)), HEALED), transactions)


def _pause(seconds: int) -> str:
    return f"{seconds} seconds pass"


def _is_pause(sentence: str) -> bool:
    return sentence.endswith(" seconds pass")
