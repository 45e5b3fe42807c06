"""Boots an embedded cluster in a sandbox, from an empty one to a cluster that is ready to be tested."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from support import sql
from support.embedded import readiness
from support.embedded.certificates import Authority
from support.embedded.database import MAINTENANCE, prepare
from support.embedded.plan import PUBLISHED, Credentials, Layout, Plan, PlannedHost, Role
from support.embedded.programs import Programs
from support.embedded.progress import Progress, Stalled
from support.embedded.services import BOOT, declare
from support.errors import ClusterDidNotStart, ConnectFailed, NotInTime, ProcessFailed
from support.example_app.vectors import PGVECTOR, VectorDialect
from support.hosts import LOOPBACK, Process, Sandbox
from support.hosts.processors import of_sandbox
from support.target import citus, health, http
from support.target.cluster import Cluster
from support.target.topology import Topology
from support.timeouts import REST
from support.vocabulary import counted
from support.waiting import NotYet, describe, eventually

__all__ = ["PUBLISHED", "boot"]

T = TypeVar("T")
TAIL = 12  # lines of a log in the message of a failed boot
OFTEN = 0.1  # seconds between two looks at something that is about to happen


def boot(
    sandbox: Sandbox,
    layout: Layout,
    programs: Programs,
    on_progress: Callable[[str], None],
    dialect: VectorDialect = PGVECTOR,
    credentials: Credentials | None = None,
) -> Topology:
    """Boot a cluster and publish it; returns when it is ready (`health` and `readiness` say what that means).

    `on_progress` gets a short line for each step. `credentials` are fresh ones unless given. Raises ClusterDidNotStart,
    which says what did not become true and shows the end of the log that should tell why.
    """
    planned = layout.hosts()
    on_progress(f"making {counted(len(planned), 'host')}")
    hosts = {host.name: sandbox.add_host(host.name, host.number) for host in planned}
    addresses = {name: host.address for name, host in hosts.items()}
    encrypts, secured = layout.shape.tls and not programs.missing.openssl, layout.shape.secured
    authority = Authority.create(sandbox.directory) if encrypts or secured else None
    if authority and secured:
        authority.issue_client()
    credentials = credentials or Credentials.fresh(layout.shape)
    plan = Plan(
        layout,
        programs,
        addresses,
        credentials,
        sandbox.kind == LOOPBACK,
        dialect,
        authority=authority if encrypts else None,
        services=authority if secured else None,
    )
    processes = {host: declare(plan, host, hosts[host.name]) for host in planned}
    topology = plan.topology(sandbox.directory, sandbox.kind)
    try:
        _Boot(plan, Cluster(topology), processes, on_progress, sandbox.directory).run()
    except (sql.Error, ConnectFailed, ProcessFailed) as error:
        raise ClusterDidNotStart(f"the embedded cluster did not start: {describe(error)}") from error
    if not layout.shape.annex:
        sandbox.publish(plan.targets())
    return topology


class _Boot:
    """One boot in progress. Each of its waits lasts as long as there is progress, see `progress`."""

    def __init__(
        self,
        plan: Plan,
        cluster: Cluster,
        processes: Mapping[PlannedHost, Process],
        on_progress: Callable[[str], None],
        sandbox: Path,
    ) -> None:
        self._plan, self._cluster, self._processes, self._on_progress = plan, cluster, processes, on_progress
        self._started: list[PlannedHost] = []
        self._progress = Progress(of_sandbox(sandbox))

    def run(self) -> None:
        """Start everything as early as it is of use, and wait until all of it works."""
        shape = self._plan.layout.shape
        starts_last = bool(shape.proxy and shape.proxy.starts_last)
        self._start(Role.ETCD, Role.MEMBER, Role.REDIS, *(() if starts_last else (Role.HAPROXY,)))
        if shape.patroni and self._cluster.topology.dcs:  # Patroni waits for it, see `patroni_start`
            self._await("etcd has a quorum", Role.ETCD, partial(health.require_quorum, self._cluster))
            self._tell("etcd has a quorum")
        leaders = {group: self._await_leader(group) for group in self._cluster.groups}
        leader = leaders[self._cluster]
        if self._plan.layout.workers and shape.patroni:
            self._await(
                "the coordinator knows every worker", Role.MEMBER, partial(citus.require_all, self._cluster, leader)
            )
            self._tell("the coordinator knows every worker")
        prepare(self._cluster, leader, self._plan)
        self._tell("the schema is in place")
        for group, leads in leaders.items():
            self._await_replicas(group, leads)
        if starts_last:
            self._start(Role.HAPROXY)
        self._start(Role.POOLER)
        if shape.patroni:
            self._set_timing(leaders)
        if shape.proxy:
            self._await("HAProxy routes", Role.HAPROXY, partial(health.require_routing, self._cluster, leader))
            self._tell("haproxy routes")
        if shape.pooler:
            behind = self._plan.address("pgbouncer", shape.pooler.port)
            self._await(
                "PgBouncer lets clients in", Role.POOLER, partial(readiness.require_pool, self._cluster, behind)
            )
            self._tell("pgbouncer lets clients in")
        if shape.cache:
            self._await("Redis answers", Role.REDIS, partial(health.require_cache, self._cluster))
            self._tell("redis answers")

    def _set_timing(self, leaders: Mapping[Cluster, str]) -> None:
        """Set Patroni's timing to that of the shape, if it booted with another one."""
        timing = self._plan.layout.shape.timing
        if timing == BOOT:
            return
        for leader in leaders.values():
            self._configure(leader, asdict(timing))
        for group in leaders if self._plan.layout.shape.dcs == "etcd3" else ():  # only that has leases
            adopted = partial(readiness.require_leases, group, timing.ttl)
            self._await(f"every member of group {group.group} has leases of {timing.ttl} s", Role.MEMBER, adopted)
        self._tell(f"leases are of {timing.ttl} s, and looked after every {timing.loop_wait} s")

    def _tell(self, step: str) -> None:
        """Report a step that the boot has reached."""
        self._progress.reached(step)
        self._on_progress(step)

    def _start(self, *roles: Role) -> None:
        for host, process in self._processes.items():
            if host.role in roles:
                self._tell(f"starting {host.name}")
                process.start()
                self._started.append(host)

    def _await_leader(self, group: Cluster) -> str:
        if not self._plan.layout.shape.patroni:
            name = self._await(f"group {group.group} answers", Role.MEMBER, partial(_require_login, group))
            self._tell(f"{name} answers")
            return name
        leader = self._await(f"a member of group {group.group} leads", Role.MEMBER, group.leader)
        self._tell(f"{leader} leads")
        self._hurry(leader)  # it makes the replication slots that the replicas need
        return leader

    def _await_replicas(self, group: Cluster, leader: str) -> None:
        replicas = [name for name in group.members if name != leader]
        for replica in replicas:
            streams = partial(health.require_replicating, group, replica)
            self._await(f"{replica} streams", Role.MEMBER, streams)
            self._tell(f"{replica} streams")
        if self._plan.layout.shape.synchronous and replicas:
            self._await_standby(group, leader, replicas[0])

    def _await_standby(self, group: Cluster, leader: str, replica: str) -> None:
        """Wait until a synchronous standby has been chosen.

        Patroni names one to PostgreSQL, sleeps for 2 s, and looks whether PostgreSQL took it. If PostgreSQL has one
        already, there is nothing to sleep for. So it gets one here, for as long as Patroni needs to choose it.
        """
        administration = group.administration_of(leader)
        name = f'FIRST 1 ("{replica}")'  # Patroni itself writes no such words
        with sql.session(administration) as session:
            sql.execute(session, "ALTER SYSTEM SET synchronous_standby_names = %s", [name])
            sql.rows(session, "SELECT pg_reload_conf()")
            synchronous = partial(readiness.require_synchronous, session, replica)
            self._await(f"PostgreSQL of {leader} waits for {replica}", Role.MEMBER, synchronous)
            self._hurry(leader)
            chosen = partial(health.require_synchronous_standby, group)
            standby = self._await("commits wait for a replica", Role.MEMBER, chosen)
            sql.execute(session, "ALTER SYSTEM RESET synchronous_standby_names")
            sql.rows(session, "SELECT pg_reload_conf()")
            own = partial(readiness.require_setting, session, "synchronous_standby_names", but=name)
            self._await(f"PostgreSQL of {leader} waits for {standby}, as Patroni wants", Role.MEMBER, own)
        self._tell(f"commits wait for {standby}")

    def _hurry(self, leader: str) -> None:
        """Make the leader's Patroni act now, instead of in a second: it does on any PATCH, even without a change."""
        self._configure(leader, {"loop_wait": BOOT.loop_wait})

    def _configure(self, member: str, settings: Mapping[str, object]) -> None:
        patroni, login = self._cluster.patroni(member), self._plan.credentials.patroni_api
        auth = (login.user, login.password) if login else None

        def patch() -> None:
            url, options = f"{patroni.url}/config", patroni.access.options
            http.send("PATCH", url, json=settings, auth=auth, timeout=REST, **options).raise_for_status()

        self._await(f"Patroni of {member} accepts a change of its configuration", Role.MEMBER, patch)

    def _await(self, subject: str, role: Role, probe: Callable[[], T]) -> T:
        """Wait until `probe` succeeds. Raises ClusterDidNotStart, with the logs of the role's hosts, if it will not."""

        def look() -> T:
            self._require_alive()
            try:
                return probe()
            except (NotYet, AssertionError, *health.SILENT) as not_yet:
                self._progress.require(subject, describe(not_yet))
                raise

        within = round(self._progress.left, 1)
        try:
            return eventually(look, within=within, subject=subject, retry_on=health.SILENT, pause=OFTEN)
        except (NotInTime, Stalled) as late:
            logs = [process.log for host, process in self._processes.items() if host.role == role]
            raise ClusterDidNotStart("\n".join([str(late), *map(_tail, logs)])) from late

    def _require_alive(self) -> None:
        """Raise ClusterDidNotStart if a program that was started has ended."""
        for host in self._started:
            process = self._processes[host]
            if process.pid is None:
                raise ClusterDidNotStart(f"{process.name} on {host.name} has ended\n{_tail(process.log)}")


def _require_login(group: Cluster) -> str:
    """Without Patroni: the one server of a group lets its superuser in; returns its name. Raises NotYet before."""
    (name,) = group.members
    try:
        sql.value(replace(group.administration_of(name), database=MAINTENANCE), "SELECT 1")
    except ConnectFailed as error:
        raise NotYet(describe(error)) from None
    return name


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"the end of {log}:", *(f"  {line}" for line in lines[-TAIL:])])
