"""Changes of Redis' settings for a while, which are given back whatever becomes of the suite.

What was there before is noted in a key of Redis before anything is changed, and the key is removed when all of it is
given back. There is one such key, so one change at a time.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

import redis

from support.errors import Inconclusive
from support.run import Life
from support.target.changes import GivenBack, Note
from support.target.redis import ERRORS, FORBIDDEN, client_of, primaries_of
from support.target.topology import Address, RedisAddress
from support.waiting import describe

KEY = "accept-settings-before"
"""The key that has the note. Users that may not do everything may use keys that begin with accept-."""


class TemporarySettings:
    """Some settings of every server of Redis that takes writes have other values until `end`."""

    def __init__(self, server: RedisAddress, why: str, settings: Mapping[str, str]) -> None:
        """`settings` are those of CONFIG SET, in this order; `why` tells people what they are for."""
        self._server, self._why, self._settings = server, why, settings
        self._note: RedisNote | None = None

    def begin(self) -> None:
        """Raises Inconclusive if another run has changed them, and one of ERRORS if Redis does not do it."""
        if others := left(self._server):  # not by SET NX alone: it is refused while Redis is full
            raise Inconclusive(f"settings are changed already: {others[0]}")
        before: dict[str, dict[str, str]] = {}
        primaries = primaries_of(self._server)
        for one in primaries:
            with client_of(one) as client:
                before[str(one.address)] = {name: _value_of(client, name) for name in self._settings}
        note = RedisNote.of_this_process(KEY, self._why, before)
        with client_of(self._server) as client:
            if not client.set(KEY, note.text, nx=True):
                raise Inconclusive(f"Redis has a key {KEY} already: another run is changing its settings")
        self._note = note
        for one in primaries:
            with client_of(one) as client:
                _configure(client, self._settings)

    def end(self) -> None:
        """Give back what was there before. Harmless if that was done, or if nothing was changed.

        Raises one of ERRORS if a server does not take it; the others have it back by then.
        """
        if self._note is not None:
            _give_back(self._server, self._note)
            self._note = None


class RedisNote(Note):
    """`before` is server -> setting -> value."""

    @property
    def keys(self) -> str:
        return "; ".join(f"{', '.join(settings)} of Redis at {at}" for at, settings in self.before.items())


def left(server: RedisAddress) -> list[RedisNote]:
    """The change that anybody has made and not given back; nothing is changed. Raises one of ERRORS.

    A user who may not read the note has not made a change either.
    """
    try:
        with client_of(server) as client:
            text = client.get(KEY)
    except FORBIDDEN:
        return []
    try:
        return [RedisNote(KEY, **json.loads(text))] if text else []
    except (TypeError, ValueError):  # it only has that name
        return []


def give_back(server: RedisAddress, *, whoever: bool) -> GivenBack:
    """Undo the changes of runs that are over. `whoever`: also those of runs that may still be active.

    Raises one of ERRORS.
    """
    notes = left(server)
    over = [one for one in notes if whoever or one.life is Life.OVER]
    for note in over:
        _give_back(server, note)
    return GivenBack.of(over, (one for one in notes if one not in over))


def give_back_if_possible(server: RedisAddress) -> GivenBack:
    """Undo the changes of runs that are over. Never raises; what does not answer is not taken to be changed."""
    try:
        notes = left(server)
    except ERRORS:
        return GivenBack()
    try:
        return give_back(server, whoever=False)
    except ERRORS as error:
        return GivenBack(kept=tuple(f"{one}: cannot be given back: {describe(error)}" for one in notes))


def _value_of(client: redis.Redis, name: str) -> str:
    """Raises Inconclusive if what speaks Redis' protocol there has no such setting."""
    found = client.config_get(name)
    if name not in found:
        raise Inconclusive(f"Redis has no setting {name}, so it cannot be changed")
    return str(found[name])


def _give_back(server: RedisAddress, note: RedisNote) -> None:
    with ExitStack() as every:  # each, also if one of them fails
        for address, before in note.before.items():
            every.callback(_restore, server, address, before)
    with client_of(server) as client:
        client.delete(KEY)


def _restore(server: RedisAddress, address: str, before: Mapping[str, str]) -> None:
    host, _, port = address.rpartition(":")
    at = Address(host.strip("[]"), int(port))
    with client_of(replace(server, address=at, mode="standalone", further=(), sentinel_login=None)) as client:
        # In reverse: while there is a limit of nothing, a policy that evicts would evict whatever is there.
        _configure(client, dict(reversed(list(before.items()))))


def _configure(client: redis.Redis, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        client.config_set(name, value)
