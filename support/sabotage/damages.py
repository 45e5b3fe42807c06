"""Means of sabotage: SQL, settings of PostgreSQL and Patroni, Redis's configuration. Each undoes itself."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import redis
import requests

from support import sql
from support.errors import ConnectFailed, NotAvailable
from support.faults.nemesis import Fault
from support.faults.roles import member_by_role
from support.target.cluster import Cluster
from support.target.patroni_commands import configure
from support.timeouts import RECOVERY
from support.waiting import NotYet, eventually

Act = Callable[[], object]
Making = Callable[[Cluster], Fault]
"""Makes the damage, for one cluster."""
SILENCE = (ConnectFailed, sql.Error, OSError, NotAvailable, requests.RequestException, redis.RedisError)


@dataclass(frozen=True)
class Damage:
    """What is done, how one sees that it is so (NotYet while it is not), how it is undone."""

    words: str
    do: Act
    seen: Act
    undo: Act
    leaves_its_sign: bool = False
    """Whether `seen` goes on to say so when it is undone: of what is not done to the cluster itself."""

    def __str__(self) -> str:
        return self.words

    def inject(self) -> None:
        self.do()

    def require_in_effect(self) -> None:
        self.seen()

    def heal(self) -> None:
        """A cluster that was hurt may need a moment before it takes an order."""
        eventually(self.undo, within=RECOVERY, subject=f"undone: {self}", retry_on=SILENCE)


def by_sql(do: str, undo: str, sign: str) -> Making:
    """Statements of a superuser on the leader; `sign` is a question that is answered with true then.

    $app stands for the application's role.
    """

    def making(cluster: Cluster) -> Damage:
        return _statements(cluster, cluster.leader, do, undo, sign)

    return making


def on_member(role: str, do: str, undo: str, sign: str) -> Making:
    """Statements of a superuser on the member that has the role now, and on no other."""

    def making(cluster: Cluster) -> Damage:
        member = member_by_role(cluster, role)
        return _statements(cluster, lambda: member, do, undo, sign)

    return making


def _statements(cluster: Cluster, member: Callable[[], str], do: str, undo: str, sign: str) -> Damage:
    def execute(statements: str) -> None:
        with sql.session(cluster.administration_of(member())) as session:
            for statement in statements.replace("$app", cluster.topology.application.user).split(";;"):
                sql.execute(session, statement)

    def seen() -> None:
        question = sign.replace("$app", cluster.topology.application.user)
        if sql.value(cluster.administration_of(member()), question) is not True:
            raise NotYet(f"not true: {question}")

    return Damage(do, lambda: execute(do), seen, lambda: execute(undo))


def by_parameters(**values: str) -> Making:
    """Parameters of every member's PostgreSQL, by Patroni's shared configuration; values as SHOW tells them."""
    return _parameters(values, lambda cluster: cluster.members)


def by_replica_parameters(**values: str) -> Making:
    """The same of parameters that PostgreSQL knows of in recovery only."""
    return _parameters(values, Cluster.followers)


def _parameters(values: Mapping[str, str], having: Callable[[Cluster], Sequence[str]]) -> Making:
    def making(cluster: Cluster) -> Damage:
        def of_patroni() -> dict[str, Any]:
            shared = cluster.patroni(cluster.leader()).configuration()
            return dict(shared.get("postgresql", {}).get("parameters", {}))

        before = {name: of_patroni().get(name) for name in values}

        def give(parameters: Mapping[str, Any]) -> None:
            configure(cluster, {"postgresql": {"parameters": dict(parameters)}})

        def seen() -> None:
            for member in having(cluster):
                with sql.session(cluster.administration_of(member)) as session:
                    found = {name: sql.value(session, "SELECT current_setting(%s)", [name]) for name in values}
                if found != values:
                    raise NotYet(f"{member} has {found}")

        return Damage(f"parameters {values}", lambda: give(values), seen, lambda: give(before))

    return making


def by_shared_configuration(values: Mapping[str, Any], pause: float = 3.0) -> Making:
    """Keys of Patroni's shared configuration; {"postgresql": {...}} reaches below.

    Every member looks at it once a second; after `pause` seconds each has.
    """

    def making(cluster: Cluster) -> Damage:
        before = _values_of(cluster.patroni(cluster.leader()).configuration(), values)
        done_at = time.monotonic()

        def seen() -> None:
            for member in cluster.members:
                found = _values_of(cluster.patroni(member).configuration(), values)
                if found != values or time.monotonic() < done_at + pause:
                    raise NotYet(f"{member} knows of {found}")

        return Damage(
            f"configuration {values}",
            lambda: configure(cluster, values),
            seen,
            lambda: configure(cluster, before),
        )

    return making


def by_redis(**values: str) -> Making:
    """Settings of the running Redis."""

    def making(cluster: Cluster) -> Damage:
        named = {name.replace("_", "-"): value for name, value in values.items()}

        def configuration() -> dict[str, str]:
            with cluster.redis() as client:
                return {name: client.config_get(name)[name] for name in named}

        before = configuration()

        def give(settings: Mapping[str, str]) -> None:
            with cluster.redis() as client:
                for name, value in settings.items():
                    client.config_set(name, value)

        def seen() -> None:
            if (found := configuration()) != named:
                raise NotYet(f"Redis has {found}")

        return Damage(f"Redis has {named}", lambda: give(named), seen, lambda: give(before))

    return making


def together(*makings: Making) -> Making:
    """Several damages at once; undone in the opposite order."""
    return lambda cluster: combined([make(cluster) for make in makings])


def combined(parts: Sequence[Fault]) -> Damage:
    """Several damages as one."""

    def do() -> None:
        for part in parts:
            part.inject()

    def seen() -> None:
        for part in parts:
            part.require_in_effect()

    def undo() -> None:
        with ExitStack() as heals:
            for part in parts:
                heals.callback(part.heal)

    return Damage(" and ".join(map(str, parts)), do, seen, undo)


def signed(make: Making, question: str) -> Making:
    """A damage that has taken effect when every member answers the question with true as well."""

    def making(cluster: Cluster) -> Damage:
        part = make(cluster)

        def answers() -> dict[str, bool]:
            return {name: sql.value(cluster.administration_of(name), question) is True for name in cluster.members}

        def seen() -> None:
            part.require_in_effect()
            if not all((found := answers()).values()):
                raise NotYet(f"{question}: {found}")

        def undo() -> None:
            part.heal()
            if any((found := answers()).values()):
                raise NotYet(f"{question}: {found}")

        return Damage(str(part), part.inject, seen, undo)

    return making


def in_group(group: int, make: Making) -> Making:
    """The same damage to one Citus group; without this, damages are to the coordinator's, or the only one."""
    return lambda cluster: make(cluster.of_group(group))


def nothing(cluster: Cluster) -> Damage:
    """No damage to the cluster: what is broken is the application."""
    return Damage("the cluster is left alone", lambda: None, lambda: None, lambda: None, leaves_its_sign=True)


def _values_of(configuration: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the same keys, to the same depth; None where there is none."""
    return {
        key: _values_of(configuration.get(key) or {}, below) if isinstance(below, Mapping) else configuration.get(key)
        for key, below in keys.items()
    }
