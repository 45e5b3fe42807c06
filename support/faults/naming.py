"""What the words of a fault call the members and hosts that it hits: by their names, or by what they are."""

import re
from collections import Counter
from collections.abc import Collection, Iterable

from support.vocabulary import joined

_ETCD, _ONE_OF_ETCD = "etcd", "one member of etcd"
_HOST_OF_ETCD = re.compile(r"etcd\d+\b")
_SEVERAL = {
    "a replica": "replicas",
    "the leader of a worker group": "leaders of worker groups",
    "a replica of a worker group": "replicas of worker groups",
}


class Names:
    """By their names: "the host pg1 crashes"."""

    def member(self, name: str) -> str:
        return name

    def host(self, name: str) -> str:
        return f"host {name}"

    def hosts(self, names: Iterable[str]) -> str:
        return f"hosts {self.each(names)}"

    def each(self, names: Iterable[str]) -> str:
        """All of them in their order."""
        return joined(names)

    def program(self, program: str, host: str) -> str:
        return f"{program} on {host}"

    def ends(self, ones: Iterable[str], others: Iterable[str]) -> tuple[str, str]:
        """The two ends of what is cut."""
        return ", ".join(ones), ", ".join(others)


BY_NAME = Names()


class Roles(Names):
    """By what they are: "the host of the leader crashes". What is neither a member nor etcd, such as a proxy, keeps its
    name."""

    def __init__(self, groups: Iterable[tuple[Collection[str], str]]) -> None:
        """`groups`: the members of each group, the coordinator's first, and which of them leads; empty if none does."""
        self._of: dict[str, str] = {}
        for number, (members, leader) in enumerate(groups):
            of = " of a worker group" if number else ""
            self._of |= {one: f"{'the leader' if one == leader else 'a replica'}{of}" for one in members}

    def member(self, name: str) -> str:
        return self._of.get(name) or (_ETCD if _HOST_OF_ETCD.match(name) else name)

    def host(self, name: str) -> str:
        role = self.member(name)
        return super().host(name) if role == name else f"host of {_ONE_OF_ETCD if role == _ETCD else role}"

    def hosts(self, names: Iterable[str]) -> str:
        return f"hosts of {self.each(names)}"

    def each(self, names: Iterable[str]) -> str:
        """Each role once: for etcd, the number of members; for others, whether there are several."""
        counts = Counter(map(self.member, names))
        return joined(
            f"{count} members of etcd" if role == _ETCD and count > 1 else _one_or_several(role, count)
            for role, count in counts.items()
        )

    def program(self, program: str, host: str) -> str:
        """A program on a host of its own is named like it."""
        role = self.member(host)
        return program if role == program else super().program(program, role)

    def ends(self, ones: Iterable[str], others: Iterable[str]) -> tuple[str, str]:
        """Each role once, in a fixed order."""
        one, other = self._once(ones), self._once(others)
        return (_ONE_OF_ETCD, "another") if one == other == _ETCD else (one, other)

    def _once(self, names: Iterable[str]) -> str:
        counts = Counter(map(self.member, names))
        return ", ".join(sorted(_one_or_several(role, count) for role, count in counts.items()))


def _one_or_several(role: str, count: int) -> str:
    return _SEVERAL.get(role, role) if count > 1 else role
