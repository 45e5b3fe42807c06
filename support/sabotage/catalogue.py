"""All sabotages, by the part of the cluster that they break."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from support.errors import UsageError
from support.sabotage import (
    cache,
    driver,
    encryption,
    hosts,
    members,
    patroni,
    postgres,
    proxy,
    schema,
    security,
    servers,
    sharding,
    workers,
)
from support.sabotage.sabotage import Notice, Sabotage
from support.vocabulary import QUOTED, suggestion

PARTS: Mapping[str, Sequence[Sabotage]] = {
    "PostgreSQL": (*postgres.SABOTAGES, *servers.SABOTAGES, *members.SABOTAGES),
    "schema": schema.SABOTAGES,
    "application": driver.SABOTAGES,
    "Redis and cache": cache.SABOTAGES,
    "HAProxy": proxy.SABOTAGES,
    "security": (*security.SABOTAGES, *encryption.SABOTAGES),
    "hosts and network": hosts.SABOTAGES,
    "Patroni and DCS": patroni.SABOTAGES,
    "Citus": (*sharding.SABOTAGES, *workers.SABOTAGES),
}
SABOTAGES: Mapping[str, Sabotage] = {one.name: one for part in PARTS.values() for one in part}
PART_OF: Mapping[str, str] = {one.name: part for part, sabotages in PARTS.items() for one in sabotages}


def chosen(words: Collection[str], ids: Collection[str]) -> tuple[Sabotage, ...]:
    """The sabotages that names and ids of promises select; all if there are none.

    An id selects each sabotage that the promise must notice, with this notice only. Raises UsageError for a word that
    is neither a sabotage nor an id.
    """
    wanted = dict(SABOTAGES) if not words else {word: SABOTAGES[word] for word in words if word in SABOTAGES}
    for word in words:
        if word in SABOTAGES:
            continue
        noticed = [one for one in SABOTAGES.values() if word in one.ids]
        if not noticed:
            meant = suggestion(word, {*SABOTAGES, *ids}, QUOTED)
            known = f"neither a promise nor a sabotage{meant}"
            if word in ids:
                known = f"no sabotage is to be noticed by it; try one: ./accept prove SABOTAGE --also {word}"
            raise UsageError(f"{word!r}: {known}; ./accept prove --list shows all sabotages")
        for one in noticed:
            kept = [notice for notice in one.noticed_by if notice.id == word]
            before = wanted.get(one.name)
            if before is None or one.name not in words:
                more = before.noticed_by if before else ()
                wanted[one.name] = replace(one, noticed_by=(*more, *kept))
    return tuple(wanted.values())


def tried_on(sabotages: Iterable[Sabotage], ids: Collection[str], known: Collection[str]) -> tuple[Sabotage, ...]:
    """The sabotages, to be noticed by the scenarios of these promises and no others, whatever their message.

    To find out whether a new scenario notices them. Raises UsageError for an id that no scenario has.
    """
    for id in ids:
        if id not in known:
            raise UsageError(f"--also {id}: no scenario has the tag @id.{id}{suggestion(id, known)}")
    return tuple(replace(one, noticed_by=tuple(Notice(id, "") for id in ids)) for one in sabotages)
