"""The cluster for the scenarios about TLS, beside an embedded one: booted once, and observed inside its sandbox."""

import json
import os
import signal
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sandboxes import await_death, begin

from support import sql
from support.embedded.encrypted import FILE, encrypted, encrypted_cluster
from support.embedded.plan import Credentials, Layout, Plan
from support.embedded.programs import find
from support.hosts import Sandbox, attach, probe
from support.sabotage.catalogue import SABOTAGES
from support.security import logins
from support.security.checks import all_over_tls, all_refused
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.topology import Topology
from support.timeouts import START
from support.waiting import eventually

MEMBERS = {"tls1", "tls2"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sandbox with nothing in it but that cluster."""
    directory = tmp_path_factory.mktemp("encrypted") / "sandbox"
    runner = begin(probe(), directory, boot_and_look, ())
    try:
        eventually(lambda: require_seen(directory), within=START + 20, subject="it was observed")
        yield directory
    finally:
        os.kill(runner, signal.SIGKILL)
        os.waitpid(runner, 0)
        await_death(directory)


@pytest.fixture(scope="module")
def seen(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "seen.json").read_text())
    if "failed" in found:
        pytest.fail(found["failed"])
    return found


def require_seen(directory: Path) -> None:
    assert (directory / "seen.json").exists()


# In the worker, inside the sandbox


def boot_and_look(sandbox: Sandbox) -> None:
    try:
        seen = look(embedded(sandbox))
    except BaseException:
        seen = {"failed": traceback.format_exc()}
    (sandbox.directory / "seen.new").write_text(json.dumps(seen))
    (sandbox.directory / "seen.new").rename(sandbox.directory / "seen.json")
    signal.pause()


def embedded(sandbox: Sandbox) -> Topology:
    """The topology of an embedded cluster whose PostgreSQL has no OpenSSL. It is not booted: nothing asks it."""
    programs, layout = find(None, lambda line: None), Layout()
    addresses = {host.name: f"127.0.0.{host.number}" for host in layout.hosts()}
    plan = Plan(layout, programs, addresses, Credentials.fresh(layout.shape))
    return replace(plan.topology(sandbox.directory, sandbox.kind), tls_bindir=programs.tls_bindir)


def look(main: Topology) -> dict[str, Any]:
    cluster = encrypted_cluster(Cluster(main))
    leader = cluster.administration_of(cluster.leader())
    return {
        "members": sorted(cluster.members),
        "hosts": {"annex": sorted(cluster.sandbox.hosts), "others": sorted(attach(main.sandbox or Path()).hosts)},
        "again": encrypted(main) == cluster.topology,
        "replication": sql.rows(
            leader, "SELECT usename, ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) ORDER BY 1"
        ),
        "with TLS": [repr(all_over_tls(logins.tls_logins(cluster, where)).holds) for where in ("endpoint", "member")],
        "verified": [
            repr(all_over_tls(logins.verified_logins(cluster, where)).holds) for where in ("endpoint", "member")
        ],
        "without": [repr(all_refused(logins.plain_logins(cluster, where)).holds) for where in ("endpoint", "member")],
        "secrets": sorted(set(cluster.topology.secrets) - set(main.secrets)),
        "tables": sql.value(cluster.write, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "without TLS on a replica": look_at_member_without_tls(main, cluster.topology),
    }


def look_at_member_without_tls(main: Topology, topology: Topology) -> dict[str, Any]:
    """As somebody whose own cluster it is, and who requires TLS, while one replica has lost it."""
    damage = SABOTAGES["tls-off-on-one-member"].damage(Cluster(main))
    damage.inject()
    eventually(damage.require_in_effect, within=30, subject="a replica offers no TLS")
    rests = [f"{one.rest}" for one in topology.members]
    users = user_cluster.discover(
        Settings(
            ruvector_host=topology.write.host,
            ruvector_port=topology.write.port,
            ruvector_db=topology.database,
            ruvector_user=topology.application.user,
            ruvector_password=SecretStr(topology.application.password),
            ruvector_sslmode="verify-full",
            ruvector_sslrootcert=topology.options["sslrootcert"],
            patroni_hosts=tuple(rests),
        )
    )
    finding = all_over_tls(logins.tls_logins(Cluster(users), "member"))
    damage.heal()
    return {
        "lacks": [name for name in ("tls", "verified_tls", "members") if name in users.lacks],
        "holds": repr(finding.holds),
        "words": finding.words,
    }


# What was seen


def test_it_has_members_of_its_own_that_replicate_with_tls(seen: dict[str, Any]) -> None:
    assert set(seen["members"]) == MEMBERS
    assert seen["replication"] == [["replicator", True]]


def test_every_way_in_needs_tls(seen: dict[str, Any]) -> None:
    assert seen["with TLS"] == seen["verified"] == seen["without"] == ["True", "True"]


def test_a_member_without_tls_is_evidence_on_a_users_cluster_and_no_missing_capability(seen: dict[str, Any]) -> None:
    found = seen["without TLS on a replica"]
    assert (found["lacks"], found["holds"]) == ([], "False")
    assert found["words"].startswith("1 of 2 cannot be used with TLS: member tls")


def test_it_is_booted_once(seen: dict[str, Any], directory: Path) -> None:
    assert seen["again"] is True
    assert Topology.load(directory / FILE).annex


def test_what_looks_at_the_embedded_cluster_does_not_see_its_hosts(seen: dict[str, Any]) -> None:
    assert seen["hosts"] == {"annex": sorted([*MEMBERS, "tls-etcd1", "tls-haproxy"]), "others": []}


def test_it_has_no_secret_that_a_report_would_not_mask(seen: dict[str, Any]) -> None:
    assert seen["secrets"] == []


def test_it_has_no_tables(seen: dict[str, Any]) -> None:
    assert seen["tables"] == 0
