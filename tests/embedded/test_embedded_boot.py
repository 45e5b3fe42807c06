"""The embedded cluster for real: booted once, and observed from inside its sandbox and from outside."""

import json
import os
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from sandboxes import await_death, begin, in_a_sandbox, require

from support import sql
from support.embedded.boot import PUBLISHED, boot
from support.embedded.plan import Layout
from support.embedded.programs import find
from support.embedded.progress import LONGEST
from support.errors import ClusterDidNotStart, ConnectFailed
from support.example_app.catalog import look_at
from support.example_app.known_profiles import EXAMPLE
from support.example_app.profile_fit import missing
from support.hosts import Sandbox, attach, probe
from support.target.cluster import Cluster
from support.target.redis import client_of
from support.target.topology import Address, RedisAddress, Topology
from support.waiting import describe, eventually

MEMORY_LIMIT = 700_000_000  # bytes
MEMBERS = {"pg1", "pg2", "pg3"}


@dataclass(frozen=True)
class Booted:
    """A living cluster, and what was observed from inside its sandbox."""

    sandbox: Sandbox
    topology: Topology
    seen: dict[str, Any]

    def outside(self, name: str) -> Address:
        """Where a published name is reached from outside the sandbox."""
        return Address(*self.sandbox.published[name])


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A cluster in the best sandbox that works here. It must leave nothing behind when its runner is killed."""
    directory = tmp_path_factory.mktemp("embedded") / "sandbox"
    runner = begin(probe(), directory, boot_and_look, PUBLISHED)
    try:
        seen = eventually(lambda: read(directory / "seen.json"), within=LONGEST + 20, subject="it was observed")
        yield Booted(attach(directory), Topology.load(directory / "topology.json"), seen)
    finally:
        os.kill(runner, signal.SIGKILL)
        os.waitpid(runner, 0)
        await_death(directory)
    eventually(lambda: require_none_left(directory), within=1, subject="no process is left of it")


def require_none_left(directory: Path) -> None:
    assert [process.pid for process in psutil.process_iter() if str(directory) in command_line(process)] == []


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def read(file: Path) -> dict[str, Any]:
    assert file.exists()
    seen: dict[str, Any] = json.loads(file.read_text())
    if "failed" in seen:
        pytest.fail(seen["failed"])
    return seen


# In the worker, inside the sandbox


def boot_and_look(sandbox: Sandbox) -> None:
    try:
        topology = boot(sandbox, Layout(), find(None, lambda line: None), lambda line: None)
        topology.save(sandbox.directory / "topology.json")
        seen = look(sandbox, Cluster(topology))
    except BaseException:
        seen = {"failed": traceback.format_exc()}
    (sandbox.directory / "seen.new").write_text(json.dumps(seen))
    (sandbox.directory / "seen.new").rename(sandbox.directory / "seen.json")
    signal.pause()


def look(sandbox: Sandbox, cluster: Cluster) -> dict[str, Any]:
    everywhere = [cluster.write, cluster.read, *map(cluster.of_member, cluster.members)]
    return {
        "members": {member.name: [member.role, member.state] for member in cluster.view().members},
        "write": [server(cluster.write) for _ in range(4)],
        "read": [server(cluster.read) for _ in range(4)],
        "address of": {name: cluster.address_of(name).postgres.host for name in cluster.members},
        "rules": {name: rules(cluster.administration_of(name)) for name in cluster.members},
        "refusals": {str(one): refusal(one.as_user(one.user, "wrong")) for one in everywhere},
        "settings": {name: settings(cluster.administration_of(name)) for name in cluster.members},
        "missing tables": missing(EXAMPLE, look_at(cluster.read, EXAMPLE.tables)),
        "role": sql.rows(
            cluster.write, "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        )[0],
        "owners": sql.rows(cluster.write, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"),
        "REST API": {name: unauthenticated_change(cluster, name) for name in cluster.members},
        "memory": sum(host.memory for host in sandbox.hosts.values()),
    }


def server(where: sql.Endpoint) -> list[Any]:
    return list(sql.rows(where, "SELECT host(inet_server_addr()), pg_is_in_recovery()")[0])


def rules(where: sql.Endpoint) -> list[sql.Row]:
    return sql.rows(where, "SELECT type, auth_method FROM pg_hba_file_rules")


def settings(where: sql.Endpoint) -> dict[str, str]:
    names = ["fsync", "full_page_writes", "data_checksums", "wal_log_hints", "password_encryption", "max_connections"]
    return dict(sql.rows(where, "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names]))


def refusal(where: sql.Endpoint) -> str:
    try:
        sql.value(where, "SELECT 1")
    except ConnectFailed as refused:
        return describe(refused)
    return "let in"


def unauthenticated_change(cluster: Cluster, name: str) -> int:
    rest = cluster.address_of(name).rest
    return requests.patch(f"http://{rest}/config", json={"synchronous_mode": False}, timeout=5).status_code


# What must be true of it


def test_one_member_leads_the_others_stream_and_one_is_synchronous(booted: Booted) -> None:
    members = booted.seen["members"]
    assert set(members) == MEMBERS
    assert sorted(members.values()) == [["leader", "running"], ["replica", "streaming"], ["sync_standby", "streaming"]]


def test_the_endpoints_route_to_the_right_roles(booted: Booted) -> None:
    address = booted.seen["address of"]
    leader = next(name for name, (role, _) in booted.seen["members"].items() if role == "leader")
    replicas = sorted([address[name], True] for name in MEMBERS - {leader})
    assert booted.seen["write"] == [[address[leader], False]] * 4
    assert sorted(booted.seen["read"]) == sorted(replicas * 2)


def test_every_login_needs_its_password(booted: Booted) -> None:
    for member in MEMBERS:
        assert booted.seen["rules"][member] == [["host", "scram-sha-256"]] * 2
    assert len(booted.seen["refusals"]) == len(MEMBERS) + 2
    assert all("password authentication failed" in refusal for refusal in booted.seen["refusals"].values())
    assert booted.seen["REST API"] == dict.fromkeys(MEMBERS, requests.codes.unauthorized)


def test_every_member_is_durable(booted: Booted) -> None:
    wanted = dict.fromkeys(["fsync", "full_page_writes", "data_checksums", "wal_log_hints"], "on")
    wanted |= {"password_encryption": "scram-sha-256", "max_connections": "150"}
    assert booted.seen["settings"] == dict.fromkeys(MEMBERS, wanted)


def test_the_schema_exists_and_belongs_to_an_ordinary_role(booted: Booted) -> None:
    assert booted.seen["missing tables"] == []
    assert booted.seen["owners"] == [["accept_app"]]
    assert booted.seen["role"] == [False, False, False]


def test_it_uses_little_memory(booted: Booted) -> None:
    assert 50_000_000 < booted.seen["memory"] < MEMORY_LIMIT


def test_it_can_be_reached_from_outside(booted: Booted) -> None:
    reached = replace(booted.topology, write=booted.outside("write"), read=booted.outside("read"))
    assert sql.value(Cluster(reached).write, "SELECT pg_is_in_recovery()") is False
    assert sql.value(Cluster(reached).read, "SELECT pg_is_in_recovery()") is True
    redis = booted.topology.redis
    assert redis is not None
    with client_of(RedisAddress(booted.outside("redis"), redis.password)) as client:
        assert client.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
        assert int(client.info("memory")["maxmemory"]) == 64 * 1024 * 1024
    page = booted.topology.statistics
    assert page is not None
    assert page.login is not None
    url = f"http://{booted.outside('statistics')}/"
    assert requests.get(url, timeout=5).status_code == requests.codes.unauthorized
    served = requests.get(url, auth=(page.login.user, page.login.password), timeout=5)
    assert "Statistics Report" in served.text


def test_only_the_owner_can_read_files_with_passwords(booted: Booted) -> None:
    secrets = [booted.topology.application.password, *booted.topology.further_secrets]
    hosts = booted.sandbox.hosts.values()
    files = [file for host in hosts for file in host.directory.iterdir() if file.is_file()]
    telling = [file for file in files if any(secret in file.read_text(errors="replace") for secret in secrets)]
    assert {file.name for file in telling} >= {"patroni.yml"}
    assert [file for file in telling if file.stat().st_mode & 0o077] == []


def test_a_program_that_exits_at_once_is_named_with_its_last_output(tmp_path: Path) -> None:
    require(probe())
    said = tmp_path / "said"

    def boot_and_fail(sandbox: Sandbox) -> None:
        programs = replace(find(None, lambda line: None), etcd=Path("/bin/uname"))
        try:
            boot(sandbox, Layout(), programs, lambda line: None)
        except ClusterDidNotStart as error:
            said.write_text(str(error))

    assert in_a_sandbox(probe(), tmp_path / "sandbox", boot_and_fail) == 0
    assert "etcd on etcd1 has ended" in said.read_text()
    assert "uname: unrecognized option" in said.read_text()
