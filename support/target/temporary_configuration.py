"""Temporary changes of Patroni's dynamic configuration, which are undone even if the suite is killed.

The request that makes a change also notes the previous values in the dynamic configuration itself, under a name that
Patroni ignores; the request that restores them removes the note. So there is never one without the other, and
`accept heal` or the next run finds the note from any machine.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from support.errors import NotAvailable
from support.run import Life
from support.target.changes import GivenBack, Note
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.patroni import PatroniApi
from support.target.patroni_commands import configure, configure_by
from support.target.topology import Login
from support.timeouts import RECOVERY
from support.waiting import describe, eventually

PREFIX = "accept_before_"
"""How the names of the notes begin."""
_NO_CHANGE = {f"{PREFIX}nothing": None}


class TemporaryConfiguration:
    """Some keys of the configuration that all members of a group share have other values until `end`."""

    def __init__(self, cluster: Cluster, why: str, changes: Mapping[str, Any]) -> None:
        """`changes` are those of Patroni's PATCH /config; `why` tells people what they are for."""
        self._cluster, self._why, self._changes = cluster, why, changes
        self._name = f"{PREFIX}{secrets.token_hex(4)}"
        self._before: Mapping[str, Any] | None = None

    def begin(self) -> None:
        """Raises NotYet if no member answers, NotAvailable if the command is refused."""
        now = configuration_now(self._cluster)
        self._before = _before(now, self._changes)
        note = Note.of_this_process(self._name, self._why, self._before)
        configure(self._cluster, {**self._changes, self._name: note.text})

    def end(self) -> None:
        """Give back what was there before. Harmless if that was done, or if nothing was changed.

        Raises NotInTime if no member accepts the command in time: a DCS that has just come back needs a moment.
        """
        if self._before is None:
            return
        before = {**self._before, self._name: None}
        eventually(
            lambda: configure(self._cluster, _giving_back(configuration_now(self._cluster), before)),
            within=RECOVERY,
            subject=f"it is over that {self._why}",
            retry_on=(NotAvailable, *NO_ANSWER),
        )
        self._before = None


def configuration_now(cluster: Cluster) -> Mapping[str, Any]:
    """The configuration that all members share, as the DCS has it: a command that changes nothing tells it.

    What GET /config says may be as old as a member's last loop. Raises NotYet if no member answers, NotAvailable if the
    command is refused.
    """
    return configure(cluster, _NO_CHANGE)


def left(cluster: Cluster) -> list[Note]:
    """The changes that anybody has made and not given back, according to the members that answer; nothing is changed.

    What a member says may be some seconds old.
    """
    found: dict[str, Note] = {}
    for group in cluster.groups:
        for name in group.members:
            try:
                found |= {one.name: one for one in notes_in(group.patroni(name).configuration())}
            except (NotAvailable, *NO_ANSWER):
                continue
    return sorted(found.values(), key=lambda one: one.since)


def give_back(cluster: Cluster) -> GivenBack:
    """Give back what runs that are over have changed. Never raises.

    A cluster that may not be disturbed is sent a command only if there is a note.
    """
    noted = left(cluster)
    if not noted and "destructive" in cluster.topology.lacks:
        return GivenBack()
    done, kept = list[str](), list[str]()
    for group in cluster.groups:
        failed = ""
        for name in group.members:
            try:
                found = give_back_by(group.patroni(name), cluster.topology.patroni_login, whoever=False)
            except (NotAvailable, *NO_ANSWER) as error:
                failed = describe(error)
                continue
            done += found.done
            kept += found.kept
            failed = ""
            break
        if failed:
            kept += [f"{one}: cannot be given back: {failed}" for one in noted]
    return GivenBack(tuple(done), tuple(kept))


def give_back_by(patroni: PatroniApi, login: Login | None, *, whoever: bool) -> GivenBack:
    """Give back what runs that are over have changed in the group of one member, through its REST API.

    `whoever`: also undo changes of runs that may be active. Raises NotAvailable, or one of NO_ANSWER, if the member
    cannot be asked, or does not accept the command.
    """
    now = configure_by(patroni, login, _NO_CHANGE)
    notes = sorted(notes_in(now), key=lambda one: one.since, reverse=True)
    over = [one for one in notes if whoever or one.life is Life.OVER]
    for note in over:
        now = configure_by(patroni, login, _giving_back(now, {**note.before, note.name: None}))
    return GivenBack.of(over, (one for one in notes if one not in over))


def notes_in(configuration: Mapping[str, Any]) -> list[Note]:
    """The notes in a dynamic configuration. What only has such a name is left out."""
    found = []
    for name, text in configuration.items():
        if name.startswith(PREFIX):
            try:
                found.append(Note(name, **json.loads(text)))
            except (TypeError, ValueError):
                continue
    return found


def _before(now: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The command that gives back what `changes` replace; a key that is not there is to be removed again."""
    found: dict[str, Any] = {}
    for name, value in changes.items():
        there = now.get(name)
        if isinstance(value, Mapping) and (there is None or isinstance(there, Mapping)):
            # Others may add to a section that did not exist before: only what is changed now is removed again.
            found[name] = _before(there or {}, value)
        else:
            found[name] = there
    return found


def _giving_back(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The request that restores the values noted in `before`, and removes sections that are otherwise empty now."""
    found: dict[str, Any] = {}
    for name, value in before.items():
        found[name] = value
        if isinstance(value, Mapping):
            there = now.get(name)
            there = there if isinstance(there, Mapping) else {}
            inside = _giving_back(there, value)
            stays = there.keys() - inside.keys() or any(one is not None for one in inside.values())
            found[name] = inside if stays else None
    return found
