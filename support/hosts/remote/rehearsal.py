"""Rehearsing faults: what would be done on the users' hosts, and how it would be undone, without doing it.

    with Rehearsal() as rehearsal:
        HostCrash(site.hosts["pg1"]).inject()       # asks the host what it would do
    rehearsal.heard                                 # [Rehearsed("ssh://root@10.0.0.1", "down", ...)]

It holds for the whole process, whatever thread: as long as it lasts, no command that changes anything leaves it.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from support.hosts.remote.guards import Guards
from support.hosts.remote.reach import Reach

_SCRIPT = Path(__file__).with_name("rehearsal.sh")
_LOOKS = frozenset(
    "look addresses table where logged sizes tail tail_of cat date journalctl probe cutters counted cramped "
    "require_units bound_to".split()
)
"""Verbs that only look: they are carried out."""
_SAID = frozenset({"freeze", "strike", "down", "cut", "lossy", "outside", "destroy"})
"""Verbs whose every change goes through a function that rehearsal.sh replaces: the host says what it would do."""
_SILENT = frozenset({"beat", "heal", "left"})
_READS = "tr '\\0' '\\n' < /proc/"
"""The beginning of a shell command that only looks, too."""
_PREFIX = "said"


@dataclass(frozen=True)
class Rehearsed:
    """One call of the script that would change something."""

    reach: str
    """The way to the host, as the user wrote it."""
    verb: str
    does: tuple[str, ...]
    """The commands that it would run there, in order; where they cannot be told apart, the call itself."""
    undone_by: tuple[str, ...] = ()
    """The commands that are left there to undo it, before it is done."""


@dataclass
class Rehearsal:
    """A context manager."""

    heard: list[Rehearsed] = field(default_factory=list)

    def __enter__(self) -> "Rehearsal":
        Reach.rehearsal = self._instead
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        Reach.rehearsal = None

    def _instead(
        self, reach: Reach, verb: str, arguments: Sequence[str], variables: Mapping[str, str], within: float
    ) -> str:
        if verb in _LOOKS or (verb == "sh" and arguments[-1].startswith(_READS)):
            return reach.send(verb, *arguments, within=within, variables=variables)
        if verb in _SILENT:
            return ""
        if verb in _SAID:
            heard = self._asked(reach, verb, arguments, variables, within)
        elif verb == "edit":  # the text may hold passwords
            id, file, *_ = arguments
            heard = Rehearsed(reach.words, verb, (f"{file} gets other contents",), (_put_back(id, file),))
        else:
            shown = arguments[1:] if verb == "with_passwords" else [verb, *arguments]
            heard = Rehearsed(reach.words, verb, (shlex.join(shown),))
        if heard not in self.heard:  # a freeze looks again for what was forked meanwhile
            self.heard.append(heard)
        return ""

    def _asked(
        self, reach: Reach, verb: str, arguments: Sequence[str], variables: Mapping[str, str], within: float
    ) -> Rehearsed:
        """What the host says. Raises HostRefused where it would refuse the fault itself."""
        before = {**reach.variables, **variables}.get("NET", "")
        asking = _Asking(**vars(reach))
        given = {"OWNER": "rehearsal", **variables, "NET": _PREFIX}
        answer = asking.send(verb, *arguments, within=within, variables=given)
        lines = [
            (kind, _as_done(text, before)) for kind, _, text in (one.partition("\t") for one in answer.splitlines())
        ]
        return Rehearsed(
            reach.words,
            verb,
            tuple(text for kind, text in lines if kind == "do"),
            tuple(text for kind, text in lines if kind == "undo"),
        )


class Unkept(Guards):
    """For hosts on which faults are rehearsed: there is nothing to answer for."""

    def _keep(self) -> None:
        """See Guards."""


@dataclass(frozen=True)
class _Asking(Reach):
    """The way to a host, with the script that only says what it would do."""

    def text(self, verb: str, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
        """See Reach."""
        return f"{_SCRIPT.read_text(encoding='utf-8')}\n{super().text(verb, *arguments, variables=variables)}"


def _put_back(id: str, file: str) -> str:
    kept = shlex.quote(f"{file}.accept-{id}")
    return f"cat {kept} > {shlex.quote(file)}; rm {kept}; kill -HUP, for its program to read it"


def _as_done(text: str, prefix: str) -> str:
    """The line with the words that are before a command of nft or iptables there, in place of ours."""
    for tool in ("nft", "iptables", "ip6tables"):
        text = text.replace(f"{_PREFIX} {tool}", f"{prefix} {tool}".strip())
    return text


def by_host(heard: Sequence[Rehearsed], names: Mapping[str, str]) -> Iterator[tuple[str, list[Rehearsed]]]:
    """Host -> what was heard of it, in the order of `names`, which are reach -> host."""
    for reach in dict.fromkeys([*names, *(one.reach for one in heard)]):
        if own := [one for one in heard if one.reach == reach]:
            yield names.get(reach, reach), own
