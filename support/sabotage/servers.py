"""Sabotages by another PostgreSQL: a server that is not part of the cluster, or one without an extension."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import yaml

from support import sql
from support.embedded.certificates import Authority
from support.errors import ProcessFailed
from support.faults.nemesis import Fault
from support.faults.process import PostgresKilled
from support.files import write_private
from support.hosts import Host
from support.sabotage.damage import Damage, MakeDamage, together
from support.sabotage.own_hosts import host_of, proxy_host
from support.sabotage.programs import process_of, rewritten
from support.sabotage.sabotage import Sabotage, notices
from support.target.cluster import Cluster
from support.target.member_files import DATA
from support.target.members import replica_states
from support.target.patroni_commands import configure
from support.waiting import NotYet

_PORT = 6000
_ACCESS = "host all postgres 0.0.0.0/0 trust\nhost all all 0.0.0.0/0 scram-sha-256\n"
_VERIFIER = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
_BINDIR = "SELECT setting FROM pg_config WHERE name = 'BINDIR'"
_SYSTEM = "SELECT system_identifier FROM pg_control_system()"


class Foreign:
    """A PostgreSQL outside the cluster, with the same database name, role and password."""

    def __init__(self, cluster: Cluster, host: Host, port: int) -> None:
        self._cluster, self._host = cluster, host
        self._data, self._programs = host.directory / "foreign", _programs(cluster)
        self.address = f"{host.address}:{port}"
        self._there = sql.Endpoint("the foreign server", host.address, port, "postgres", "postgres", "")

    def start(self) -> None:
        """Create and start it."""
        self._host.run([str(self._programs / "initdb"), "-D", str(self._data), "-U", "postgres", "-A", "trust", "-N"])
        (self._data / "pg_hba.conf").write_text(_ACCESS)
        settings = {"listen_addresses": self._there.host, "port": self._there.port, "unix_socket_directories": ""}
        if self._cluster.topology.options:  # clients verify the certificate of whatever answers
            settings["ssl"] = "on"
            issued = Authority(self._host.sandbox).issue([self._host.address, proxy_host(self._cluster).address])
            for name, text in (("server.crt", issued.certificate), ("server.key", issued.key)):
                write_private(self._data / name, text)
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._host.add("foreign", [str(self._programs / "postgres"), "-D", str(self._data), *given]).start()

    def check(self) -> None:
        """The server accepts the application's login, and its system identifier is not the cluster's."""
        topology, leader = self._cluster.topology, self._cluster.administration_of(self._cluster.leader())
        user = topology.application.user
        if not sql.value(self._there, "SELECT count(*) FROM pg_roles WHERE rolname = %s", [user]):
            password = sql.value(leader, _VERIFIER, [user])
            sql.execute(self._there, f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
            sql.execute(self._there, f"CREATE DATABASE {topology.database} OWNER {user}")
        if sql.value(self._there, _SYSTEM) == sql.value(leader, _SYSTEM):
            raise NotYet("it has the cluster's system identifier")

    def end(self) -> None:
        """End it, and remove its data."""
        if (program := self._host.processes.get("foreign")) is not None:
            program.kill()
        shutil.rmtree(self._data, ignore_errors=True)


def _behind_the_write_endpoint(cluster: Cluster) -> Fault:
    proxy = proxy_host(cluster)
    foreign = Foreign(cluster, proxy, _PORT)
    line = f"    use-server foreign if TRUE\n    server foreign {foreign.address} no-check\n    option httpchk\n"
    rerouted = rewritten(
        proxy_host, "haproxy.cfg", {"    option httpchk\n    http-check send": f"{line}    http-check send"}
    )
    return together(lambda cluster: Damage("a foreign server", foreign.start, foreign.check, foreign.end), rerouted)(
        cluster
    )


def _in_place_of_a_replica(cluster: Cluster) -> Damage:
    host = host_of(cluster, "a replica")
    patroni = process_of(host.processes["patroni"])
    foreign = Foreign(cluster, host, cluster.address_of(host.name).postgres.port)

    def take_the_place() -> None:
        patroni.suspend()
        PostgresKilled(host).inject()
        foreign.start()

    def give_it_back() -> None:
        foreign.end()
        patroni.resume()

    return Damage(f"a foreign server in place of {host.name}", take_the_place, foreign.check, give_it_back)


def other_programs(words: str, change: Callable[[Path], None]) -> MakeDamage:
    """One replica runs on a copy of PostgreSQL's programs that `change` was applied to, the directory of the copy."""

    def make(cluster: Cluster) -> Damage:
        host = host_of(cluster, "a replica")
        copy, file = host.directory / "programs", host.directory / "patroni.yml"
        ours = copy / "postgresql" / "programs"
        before = file.read_text()
        there = cluster.administration_of(host.name)

        def run(contents: str) -> None:
            file.write_text(contents)
            host.processes["patroni"].kill()
            host.processes["patroni"].start()

        def exchange() -> None:
            theirs = _programs(cluster).parent
            shutil.copytree(theirs, ours, symlinks=True)
            for libraries in theirs.parent.parent.glob("*.libs"):  # the programs look for them relative to themselves
                (copy / libraries.name).symlink_to(libraries)
            change(copy)
            contents = yaml.safe_load(before)
            contents["postgresql"]["bin_dir"] = str(ours / "bin")
            run(yaml.safe_dump(contents, sort_keys=False))

        def check() -> None:
            if sql.value(there, _BINDIR) != str(ours / "bin"):
                raise NotYet(f"{host.name} runs on the usual programs")
            if replica_states(cluster).get(host.name) != "streaming":
                raise NotYet(f"{host.name} does not stream")

        def give_back() -> None:
            run(before)
            shutil.rmtree(copy, ignore_errors=True)

        return Damage(f"{host.name} {words}", exchange, check, give_back)

    return make


def _without_control_file(programs: Path) -> None:
    for control in programs.rglob("vector.control"):
        control.unlink()


def _without_hints(cluster: Cluster) -> Damage:
    """One replica has neither data checksums nor wal_log_hints, which change only while its PostgreSQL is down."""
    host = host_of(cluster, "a replica")
    there, patroni = cluster.administration_of(host.name), host.processes["patroni"]
    checksums = [str(_programs(cluster) / "pg_checksums"), "-D", str(host.directory / DATA)]

    def run(hints: str | None, switch: str) -> None:
        configure(cluster, {"postgresql": {"parameters": {"wal_log_hints": hints}}})
        if patroni.pid is not None:
            patroni.stop(within=60.0)
        with suppress(ProcessFailed):  # they may be so already
            host.run([*checksums, switch])
        patroni.start()

    def check() -> None:
        if "on" in (found := [sql.value(there, f"SHOW {name}") for name in ("wal_log_hints", "data_checksums")]):
            raise NotYet(f"{host.name} has {found}")
        if replica_states(cluster).get(host.name) != "streaming":
            raise NotYet(f"{host.name} does not stream")

    return Damage(
        f"{host.name} without hint bits in its WAL",
        lambda: run("off", "--disable"),
        check,
        lambda: run(None, "--enable"),
    )


def _programs(cluster: Cluster) -> Path:
    """The directory of PostgreSQL's programs."""
    settings = (cluster.sandbox.hosts[cluster.leader()].directory / "patroni.yml").read_text()
    return Path(yaml.safe_load(settings)["postgresql"]["bin_dir"])


SABOTAGES = (
    Sabotage(
        "another-server-answers",
        "the write endpoint leads to a PostgreSQL that is not part of the cluster",
        notices(
            {
                "CL-01 database system": "the database system of each member",
                "RW-01": "a server that is not a member",
                "PH-02 every observer": "a server that is not a member by the write endpoint",
            }
        ),
        _behind_the_write_endpoint,
    ),
    Sabotage(
        "another-server-in-the-place-of-a-replica",
        "a PostgreSQL that is not part of the cluster runs in place of a replica",
        notices({"CL-01 database system": "the database system of each member", "PH-04": "no answer|heartbeat"}),
        _in_place_of_a_replica,
    ),
    Sabotage(
        "hints-missing-on-one-member",
        "one replica writes WAL from which it could not be rewound",
        notices(
            {
                "PH-06 The WAL": "members that could not be rewound",
                "PH-06 damaged page": "data_checksums: expected on",
            }
        ),
        _without_hints,
    ),
    Sabotage(
        "extension-missing-on-one-member",
        "one replica lacks the files of the vector extension",
        notices(
            {
                "CL-02 same version": "extension",
                "ME-01 same PostgreSQL": "in the server's files.*not there",
            }
        ),
        other_programs("without the vector extension", _without_control_file),
    ),
)
