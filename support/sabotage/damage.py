"""Changes that break a cluster, and can be undone: by SQL, by settings of PostgreSQL, Patroni and Redis."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from support import sql
from support.errors import NotAvailable
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.roles import member_by_role
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.patroni_commands import configure, reload_configuration
from support.target.redis import ERRORS
from support.timeouts import RECOVERY
from support.waiting import NotYet, eventually

MakeDamage = Callable[[Cluster], Fault]
"""Prepares a damage for one cluster. Nothing is changed before the damage is injected."""
_RESET_VALUE = "SELECT reset_val FROM pg_settings WHERE name = %s"
_READ_BY_ALL = 3.0  # seconds until every member has read the shared configuration
SILENCE = (*NO_ANSWER, NotAvailable, *ERRORS)


@dataclass(frozen=True)
class Damage(Fault):
    """A change to the cluster: how it is made, how it is checked, how it is undone."""

    description: str
    do: Callable[[], object]
    check: Callable[[], object]
    """Raises NotYet while the change is not in effect."""
    undo: Callable[[], object]
    passes_when_undone: bool = False
    """Whether `check` passes after `undo`, too, because the cluster itself is not changed."""

    def told(self, names: Names) -> str:
        return self.description

    def inject(self) -> None:
        self.do()

    def require_in_effect(self) -> None:
        self.check()

    def heal(self) -> None:
        """Undo it. A damaged cluster may need a moment before it accepts changes, so this is retried."""
        eventually(self.undo, within=RECOVERY, subject=f"undone: {self}", retry_on=SILENCE)


def by_sql(do: str, undo: str, in_effect: str) -> MakeDamage:
    """Run SQL on the leader as a superuser; `in_effect` is a query that returns true while the damage is in effect.

    Statements are separated by ";;"; $app stands for the application's role.
    """

    def make(cluster: Cluster) -> Damage:
        return _statements(cluster, cluster.leader, do, undo, in_effect)

    return make


def on_member(role: str, do: str, undo: str, in_effect: str) -> MakeDamage:
    """Run SQL as a superuser on the member that has that role now, and on no other."""

    def make(cluster: Cluster) -> Damage:
        member = member_by_role(cluster, role)
        return _statements(cluster, lambda: member, do, undo, in_effect)

    return make


def on_every_member(do: str, undo: str, in_effect: str) -> MakeDamage:
    """Run SQL as a superuser on each member that there is now."""

    def make(cluster: Cluster) -> Damage:
        return combined([_statements(cluster, partial(str, one), do, undo, in_effect) for one in cluster.members])

    return make


def _statements(cluster: Cluster, member: Callable[[], str], do: str, undo: str, in_effect: str) -> Damage:
    def execute(statements: str) -> None:
        with sql.session(cluster.administration_of(member())) as session:
            for statement in statements.replace("$app", cluster.topology.application.user).split(";;"):
                sql.execute(session, statement)

    def check() -> None:
        query = in_effect.replace("$app", cluster.topology.application.user)
        if sql.value(cluster.administration_of(member()), query) is not True:
            raise NotYet(f"not true: {query}")

    return Damage(do, lambda: execute(do), check, lambda: execute(undo))


def by_parameters(**values: str) -> MakeDamage:
    """Set parameters of every member's PostgreSQL through Patroni; values are written as SHOW prints them."""
    return _parameters(values, lambda cluster: cluster.members)


def by_replica_parameters(**values: str) -> MakeDamage:
    """Set parameters that have an effect only on replicas, and check them there."""
    return _parameters(values, Cluster.followers)


def _parameters(values: Mapping[str, str], having: Callable[[Cluster], Sequence[str]]) -> MakeDamage:
    def make(cluster: Cluster) -> Damage:
        def of_patroni() -> dict[str, Any]:
            shared = cluster.patroni(cluster.leader()).configuration()
            return dict(shared.get("postgresql", {}).get("parameters", {}))

        before = {name: of_patroni().get(name) for name in values}

        def give(parameters: Mapping[str, Any]) -> None:
            configure(cluster, {"postgresql": {"parameters": dict(parameters)}})

        def check() -> None:
            for member in having(cluster):
                with sql.session(cluster.administration_of(member)) as session:
                    found = {name: sql.value(session, "SELECT current_setting(%s)", [name]) for name in values}
                if found != values:
                    raise NotYet(f"{member} has {found}")

        return Damage(f"parameters {values}", lambda: give(values), check, lambda: give(before))

    return make


def in_own_file(name: str, value: str, shown: str) -> MakeDamage:
    """Set a parameter in the configuration file of one replica's Patroni, which overrides what all share.

    Patroni takes a recovery parameter that was set by ALTER SYSTEM out again. `shown`: the value as pg_settings has it.
    """

    def make(cluster: Cluster) -> Damage:
        member = member_by_role(cluster, "a replica")
        file: Path = cluster.sandbox.hosts[member].directory / "patroni.yml"
        before = file.read_text()

        def write(contents: str) -> None:
            file.write_text(contents)
            reload_configuration(cluster, member)

        def change() -> None:
            contents = yaml.safe_load(before)
            contents["postgresql"]["parameters"][name] = value
            write(yaml.safe_dump(contents))

        def check() -> None:
            found = sql.value(cluster.administration_of(member), _RESET_VALUE, [name])
            if found != shown:
                raise NotYet(f"{member} has {found}")

        return Damage(f"{member} has a {name} of its own", change, check, lambda: write(before))

    return make


def by_shared_configuration(values: Mapping[str, Any]) -> MakeDamage:
    """Set keys of Patroni's shared configuration; nested ones as {"postgresql": {...}}.

    Every member reads it once a second.
    """

    def make(cluster: Cluster) -> Damage:
        before = _values_of(cluster.patroni(cluster.leader()).configuration(), values)
        done_at = time.monotonic()

        def check() -> None:
            for member in cluster.members:
                found = _values_of(cluster.patroni(member).configuration(), values)
                if found != values or time.monotonic() < done_at + _READ_BY_ALL:
                    raise NotYet(f"{member} has {found}")

        return Damage(
            f"configuration {values}",
            lambda: configure(cluster, values),
            check,
            lambda: configure(cluster, before),
        )

    return make


def by_redis(**values: str) -> MakeDamage:
    """Set parameters of the running Redis."""

    def make(cluster: Cluster) -> Damage:
        named = {name.replace("_", "-"): value for name, value in values.items()}

        def configuration() -> dict[str, str]:
            with cluster.redis() as client:
                return {name: client.config_get(name)[name] for name in named}

        before = configuration()

        def give(settings: Mapping[str, str]) -> None:
            with cluster.redis() as client:
                for name, value in settings.items():
                    client.config_set(name, value)

        def check() -> None:
            if (found := configuration()) != named:
                raise NotYet(f"Redis has {found}")

        return Damage(f"Redis has {named}", lambda: give(named), check, lambda: give(before))

    return make


def together(*parts: MakeDamage) -> MakeDamage:
    """Several damages at once, undone in reverse order."""
    return lambda cluster: combined([part(cluster) for part in parts])


def combined(parts: Sequence[Fault]) -> Damage:
    """Several damages as one."""

    def do() -> None:
        for part in parts:
            part.inject()

    def check() -> None:
        for part in parts:
            part.require_in_effect()

    def undo() -> None:
        with ExitStack() as heals:
            for part in parts:
                heals.callback(part.heal)

    return Damage(" and ".join(map(str, parts)), do, check, undo)


def confirmed_by_every_member(damage: MakeDamage, query: str) -> MakeDamage:
    """A damage that is in effect only once the query returns true on every member, and undone once it does on none."""

    def make(cluster: Cluster) -> Damage:
        part = damage(cluster)

        def answers() -> dict[str, bool]:
            return {name: sql.value(cluster.administration_of(name), query) is True for name in cluster.members}

        def check() -> None:
            part.require_in_effect()
            if not all((found := answers()).values()):
                raise NotYet(f"{query}: {found}")

        def undo() -> None:
            part.heal()
            if any((found := answers()).values()):
                raise NotYet(f"{query}: {found}")

        return Damage(str(part), part.inject, check, undo)

    return make


def in_group(group: int, damage: MakeDamage) -> MakeDamage:
    """The damage, done to one Citus group in place of the coordinator's or the only one."""
    return lambda cluster: damage(cluster.of_group(group))


def nothing(cluster: Cluster) -> Damage:
    """No damage to the cluster: the application is broken, or the expectations are wrong."""
    return Damage("the cluster is left alone", lambda: None, lambda: None, lambda: None, passes_when_undone=True)


def _values_of(configuration: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """The present values of the same keys, to the same depth; None where there is none."""
    return {
        key: _values_of(configuration.get(key) or {}, below) if isinstance(below, Mapping) else configuration.get(key)
        for key, below in keys.items()
    }
