"""Clients that run transactions over a few items at the same time, and record what each read and wrote.

An item is one or more of the application's entries. A list is an entry whose value is "list 4 9 2", a register one with
"register 9 after 4", and the members of a set are entries of their own with the value "in set 3". Clients work on a few
items at a time, and move on to others, so that they meet often and no list becomes long.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from weakref import WeakSet

import psycopg2.errors

from support import sql
from support.engine.history import History, Outcome
from support.engine.workload import Client, Script, Task, Turn, Workload
from support.engine.world import World
from support.example_app.entries import INSERT_ENTRY, READ_VALUE
from support.example_app.profile import Profile
from support.isolation.levels import Level
from support.isolation.transactions import FINAL_READER, TRANSACTION, Access, Item, Kind
from support.timeouts import STATEMENT
from support.waiting import NotYet, eventually

CLIENTS_AT_MOST = 100
_WINDOWS = 40
"""How many groups of items there are; after the last, clients begin with the first again."""
_TURNS = 12
"""Transactions of a client before it moves on to the next group."""
_LISTS = _REGISTERS = 2  # in each group, beside one set
_STATEMENTS = (2, 5)
_WRITES = 0.5  # the share of statements that write
_ABANDONED = 0.04  # the share of transactions that are rolled back on purpose
_KINDS = (Kind.LIST, Kind.LIST, Kind.REGISTER, Kind.REGISTER, Kind.SET)

_WHERE = " WHERE {entries.namespace} = %s AND {entries.key} = %s"
_APPEND = "UPDATE {entries} SET {entries.value} = {entries.value} || ' ' || %s" + _WHERE
_SET = (
    "UPDATE {entries} SET {entries.value} = 'register ' || %s || ' after ' || split_part({entries.value}, ' ', 2)"
    + _WHERE
    + " RETURNING {entries.value}"
)
_MEMBERS = "SELECT {entries.key} FROM {entries} WHERE {entries.namespace} = ANY (%s) AND {entries.value} = %s"
_WAIT_FOR_COMMIT = "SET LOCAL statement_timeout = 0"
"""A commit whose wait for the standby is cancelled becomes visible without being safe: readers would see it, and a
failover would drop it. So no driver should cancel a commit; a client that is tired of waiting hangs up instead.

Source: https://postgrespro.com/list/thread-id/2561608
"""
_BY_DEFAULT = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL "


class Abandoned(psycopg2.errors.TransactionRollback):
    """A client has rolled its transaction back on purpose."""


@dataclass(frozen=True)
class Items:
    """The items, and the namespaces that they are spread over."""

    profile: Profile
    namespaces: Sequence[str]

    @property
    def rows(self) -> Iterator[Item]:
        """The lists and registers."""
        for kind, count in ((Kind.LIST, _LISTS), (Kind.REGISTER, _REGISTERS)):
            yield from ((kind, str(number)) for number in range(_WINDOWS * count))

    @property
    def sets(self) -> Iterator[Item]:
        yield from ((Kind.SET, str(number)) for number in range(_WINDOWS))

    def namespace_of(self, item: Item) -> str:
        """The namespace of a list or a register."""
        return self.namespaces[int(item[1]) % len(self.namespaces)]

    def homes(self, groups: Mapping[str, int]) -> dict[Item, tuple[int, ...]]:
        """Item -> the groups that hold it; `groups` is namespace -> group."""
        spread = tuple(sorted(set(groups.values())))
        rows = {item: (groups[self.namespace_of(item)],) for item in self.rows}
        return rows | dict.fromkeys(self.sets, spread)

    def create(self, where: sql.Endpoint) -> None:
        """Store all lists and registers, empty."""
        with sql.session(where, autocommit=False) as session:
            for item in self.rows:
                values = [self.namespace_of(item), _key(item), str(item[0])]
                sql.execute(session, self.profile.sql(INSERT_ENTRY), values)
            session.commit()

    def perform(self, session: sql.Session, access: Access) -> Access:
        """Execute one statement; returns it with its answer."""
        item, written = access.item, access.wrote
        if item[0] is Kind.SET:
            return self._set(session, access)
        place = [self.namespace_of(item), _key(item)]
        if written is None:
            return Access(*item, saw=_numbers(item[0], sql.rows(session, self.profile.sql(READ_VALUE), place)))
        if item[0] is Kind.LIST:
            sql.execute(session, self.profile.sql(_APPEND), [str(written), *place])
            return access
        found = _numbers(item[0], sql.rows(session, self.profile.sql(_SET), [str(written), *place]))
        return Access(*item, wrote=written, replaced=found[0] if len(found) > 1 else 0)

    def _set(self, session: sql.Session, access: Access) -> Access:
        member = f"in set {access.name}"
        if access.wrote is None:
            found = sql.rows(session, self.profile.sql(_MEMBERS), [list(self.namespaces), member])
            return Access(*access.item, saw=tuple(sorted(int(key.rpartition("-")[2]) for (key,) in found)))
        namespace = self.namespaces[access.wrote % len(self.namespaces)]
        sql.execute(session, self.profile.sql(INSERT_ENTRY), [namespace, f"{_key(access.item)}-{access.wrote}", member])
        return access


def _key(item: Item) -> str:
    return f"{item[0]}-{item[1]}"


def _numbers(kind: Kind, found: Sequence[sql.Row]) -> tuple[int, ...]:
    """The values in an entry: those of a list, or the value of a register after the one that it replaced.

    Where the entry is gone there are none, and the checks say whose writes are missing.
    """
    words = str(found[0][0]).split()[1:] if found else []
    if kind is Kind.LIST:
        return tuple(map(int, words))
    if not words:
        return ()
    after = int(words[2]) if len(words) > 2 else 0
    return (after, int(words[0])) if after else (int(words[0]),)


def transactions(
    items: Items, level: Level, times: int | None = None, by_default: bool = False, patient: bool = False
) -> Script:
    """Each client runs transactions at that level, `times` of them or until it is stopped.

    The level is asked for at the beginning of each transaction or, `by_default`, once for the session. Some
    transactions are rolled back on purpose. `patient` clients never cancel a commit.
    """
    asked: WeakSet[sql.Session] = WeakSet()

    def begin(session: sql.Session) -> None:
        if not by_default:
            session.isolation_level = level.upper()
        elif session not in asked:
            sql.execute(session, f"{_BY_DEFAULT}{level}")
            session.commit()
            asked.add(session)

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        planned = plan(turn)
        abandoned = turn.random.random() < _ABANDONED
        name = f"{turn.client}-{turn.number}"
        return Task(
            TRANSACTION, name, planned, _performing(items, planned, begin, abandoned, patient), transaction=True
        )

    return script


def _performing(
    items: Items, planned: Sequence[Access], begin: Callable[[sql.Session], None], abandoned: bool, patient: bool
) -> Callable[[sql.Session], tuple[Access, ...]]:
    def perform(session: sql.Session) -> tuple[Access, ...]:
        begin(session)
        done = tuple(items.perform(session, one) for one in planned)
        if patient:
            sql.execute(session, _WAIT_FOR_COMMIT)
        if abandoned:
            session.rollback()
            raise Abandoned("rolled back on purpose")
        return done

    return perform


def plan(turn: Turn) -> tuple[Access, ...]:
    """What one transaction does. Writes are in the same order in all transactions, so that there are few deadlocks."""
    chance, window = turn.random, turn.number // _TURNS % _WINDOWS
    count = chance.randint(*_STATEMENTS)
    writes = [chance.random() < _WRITES for _ in range(count)]
    items = [_item(chance, window) for _ in range(count)]
    targets = sorted(item for item, write in zip(items, writes, strict=True) if write)
    planned = []
    for number, (item, write) in enumerate(zip(items, writes, strict=True)):
        value = (turn.number * _STATEMENTS[1] + number) * CLIENTS_AT_MOST + turn.client + 1
        planned.append(Access(*targets.pop(0), wrote=value) if write else Access(*item))
    return tuple(planned)


def _item(chance: Random, window: int) -> Item:
    kind = chance.choice(_KINDS)
    if kind is Kind.SET:
        return kind, str(window)
    return kind, str(window * _LISTS + chance.randrange(_LISTS))


def read_at_the_end(where: sql.Endpoint, items: Items, history: History, within: float) -> None:
    """Read every item that was used, once all clients have ended, and record it as one transaction.

    It also writes, so that a former leader cannot answer. It is repeated until it is acknowledged; each attempt is in
    the history. Raises NotInTime if that is not possible in time.
    """
    used = sorted({access.item for one in history.of(action=TRANSACTION) for access in one.value})
    reader = Client(FINAL_READER, where, history, STATEMENT)

    def read() -> None:
        mark = (len(history) + 1) * CLIENTS_AT_MOST * 1000  # no other value is a multiple of CLIENTS_AT_MOST
        wanted = (Access(*next(items.rows), wrote=mark), *(Access(*item) for item in used))

        def perform(session: sql.Session) -> tuple[Access, ...]:
            session.isolation_level = Level.READ_COMMITTED.upper()
            return tuple(items.perform(session, one) for one in wanted)

        done = reader.perform(Task(TRANSACTION, "final", wanted, perform, transaction=True))
        if done.outcome is not Outcome.OK:
            raise NotYet(done.error)

    try:
        eventually(read, within=within, subject="every item can be read")
    finally:
        reader.close()


def start_transactions(world: World, workload: Workload) -> Workload:
    """Start the clients, until the scenario ends, beside other clients that it may have; returns after 200 commits.

    Where each takes long, several of each client are enough. Raises Inconclusive if they do not get to work.
    """
    world.cleanup.enter_context(workload)
    workload.await_at_work(200, within=world.timing.wait(STATEMENT))
    return workload


def close_transactions(workload: Workload, where: sql.Endpoint, items: Items, within: float) -> History:
    """Wait until clients get through again, stop them, and read everything.

    Raises NotInTime if none gets through, or nothing can be read, in that time.
    """
    if workload.running:
        workload.await_acknowledged(50, within)
    workload.stop()
    read_at_the_end(where, items, workload.history, within)
    return workload.history
