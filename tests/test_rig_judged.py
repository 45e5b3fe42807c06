"""The suite against other people's clusters, as their users would run it: from outside, with their variables only.

A healthy cluster raises no false alarm, a broken one is reported in the right words, and nothing of ours stays in it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from rigs import Rig, rig

from support.embedded.plan import api_of
from support.hosts import Process, attach
from support.reporting.journal import read
from support.reporting.scenario import Verdict
from support.run import RUNS
from support.waiting import NotYet, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LEFT_OUT = ("PF-01", "PF-02", "PF-03", "PF-04", "PF-05", "PF-06", "PF-07", "DQ-03", "DA-05")
SPEED = f"not ({' or '.join(f'@id.{one}' for one in LEFT_OUT)})"
"""Excludes speed limits, which say more about this machine than about the cluster, and a search in 20,000 entries."""
TABLES = (
    "memory_entries patterns pattern_history trajectories graph_nodes graph_edges hyperbolic_embeddings vector_indexes "
    "sessions metadata"
).split()


@dataclass(frozen=True)
class Judged:
    """The result of a run: scenario -> its reason."""

    passed: frozenset[str]
    broken: Mapping[str, str]
    others: Mapping[str, str]
    """Errors and inconclusive scenarios."""
    summary: str

    def told(self, id: str) -> str:
        """Everything that the broken scenarios of a promise reported."""
        return "; ".join(reason for name, reason in self.broken.items() if name.startswith(id))


def variables(there: Rig) -> dict[str, str]:
    """The predecessor's variables, as `accept up` exports them."""
    return {name.upper(): str(value) for name, value in there.target.items()}


def members(there: Rig) -> dict[str, str]:
    """The addresses of the members: on arbitrary free ports, discovery cannot find them."""
    named = [one.name for one in there.topology.members if one.name in there.published]
    return {"ACCEPT_MEMBERS": ", ".join(f"{name}=localhost:{there.published[name]}" for name in named)}


def judge(there: Rig, *arguments: str, **further: str) -> Judged:
    """Run the suite with those variables and further ones."""
    ended = there.program.run("run", *arguments, timeout=500, **variables(there), **further)
    record = read(there.program.project / "allure-results" / "journal.jsonl")
    named = {one: f"{' '.join(one.scenario.ids)} {one.scenario.name}" for one in record.results}
    assert record.results, ended
    return Judged(
        frozenset(named[one] for one in record.results if one.verdict is Verdict.PASSED),
        {named[one]: one.reason_in_a_line for one in record.results if one.verdict is Verdict.BROKEN},
        {
            named[one]: one.reason_in_a_line
            for one in record.results
            if one.verdict not in (Verdict.PASSED, Verdict.BROKEN, Verdict.SKIPPED)
        },
        " ".join(ended.out.split()),
    )


def counts(there: Rig) -> dict[str, int]:
    """Table -> its rows, counted without an index, as an index may miss some."""
    port = there.target["ruvector_port"]
    return {
        table: len(there.rows(port, f"SELECT ctid FROM {table}"))
        for table in TABLES
        if there.value(port, f"SELECT to_regclass('{table}') IS NOT NULL")
    }


SHAPES: Mapping[str, Callable[[str], bool]] = {
    "swarm": lambda name: False,
    # PgBouncer asks for an MD5 hash there (auth_type md5), and its clients' role is behind it.
    "swarm-unified": lambda name: name.startswith("SE-02 Every endpoint authenticates logins by SCRAM"),
    "swarm-ha": lambda name: False,
    # The application's role is a superuser there, as the image makes it.
    "swarm-citus": lambda name: name.startswith("SE-02 The application's role"),
    "swarm-minimal": lambda name: name.startswith("SE-02 The application's role"),
}
"""Deployment -> whether a scenario is rightly broken there."""
LEAST = {"swarm": 85, "swarm-unified": 60, "swarm-ha": 65, "swarm-citus": 70, "swarm-minimal": 60}
"""Deployment -> how many scenarios must pass at least: a run that skips everything raises no alarm either."""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_healthy_cluster_of_theirs_raises_no_false_alarm(shape: str, tmp_path: Path) -> None:
    with rig(tmp_path, shape, "--vector", "pgvector", *(["--workers", "0"] if shape == "swarm-ha" else [])) as there:
        before = counts(there)
        found = judge(there, "--tags", SPEED, **(members(there) if "patroni_hosts" in there.target else {}))
        assert {name: why for name, why in found.broken.items() if not SHAPES[shape](name)} == {}
        assert found.others == {}
        assert len(found.passed) >= LEAST[shape], sorted(found.passed)
        assert counts(there) == before


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("project"), "swarm", "--vector", "pgvector") as there:
        yield there


def leader_of(there: Rig) -> str:
    members = there.get(api_of("patroni-1"), "/cluster")["members"]
    return next(str(one["name"]) for one in members if one["role"] == "leader")


def replica_of(there: Rig) -> str:
    """A replica other than patroni-1, whose REST API tells who leads."""
    return next(name for name in ("patroni-3", "patroni-2") if name != leader_of(there))


@contextmanager
def damaged(there: Rig, damage: str, repair: str) -> Iterator[None]:
    """Damage done by the superuser on the leader, and undone at the end."""
    port = there.published[leader_of(there)]
    as_owner = "SET ROLE dpg_cluster; "
    there.rows(port, as_owner + damage, superuser=True)
    try:
        yield
    finally:
        there.rows(port, as_owner + repair, superuser=True)


INDEX = "CREATE INDEX {table}_embedding_idx ON {table} USING hnsw (embedding vector_{metric}_ops)"
SCHEMA_DAMAGES = {
    "HNSW dropped": (
        "DROP INDEX memory_entries_embedding_idx",
        INDEX.format(table="memory_entries", metric="cosine"),
        "DA-03",
        "memory_entries.embedding has no HNSW index for cosine distance .* it has no index",
    ),
    "HNSW for another metric": (
        "DROP INDEX patterns_embedding_idx; " + INDEX.format(table="patterns", metric="l2"),
        "DROP INDEX patterns_embedding_idx; " + INDEX.format(table="patterns", metric="cosine"),
        "DA-03",
        r"patterns.embedding has no HNSW index for cosine distance .* \(hnsw, vector_l2_ops\)",
    ),
    "the unique constraint is a plain index": (
        "ALTER TABLE memory_entries DROP CONSTRAINT memory_entries_namespace_key_key; "
        "CREATE INDEX plain ON memory_entries (namespace, key)",
        "DROP INDEX plain; ALTER TABLE memory_entries ADD CONSTRAINT memory_entries_namespace_key_key "
        "UNIQUE (namespace, key)",
        "ER-02",
        "two rows of memory_entries can share namespace, key",
    ),
    "a table is missing": (
        "ALTER TABLE graph_edges RENAME TO away",
        "ALTER TABLE away RENAME TO graph_edges",
        "CL-01",
        "table graph_edges is missing",
    ),
}


@pytest.mark.parametrize("name", SCHEMA_DAMAGES)
def test_damage_to_their_schema_is_reported(swarm: Rig, name: str) -> None:
    damage, repair, id, words = SCHEMA_DAMAGES[name]
    with damaged(swarm, damage, repair):
        found = judge(swarm, "--tags", f"@id.{id}")
    assert re.search(words, found.told(id)), found
    assert found.others == {}


def test_asynchronous_replication_where_synchronous_is_declared(swarm: Rig) -> None:
    found = judge(swarm, "--tags", "@id.PH-06", ACCEPT_EXPECT='{"synchronous": true}')
    assert "synchronous replication was declared ([expect] synchronous = true)" in found.told("PH-06")
    undeclared = judge(swarm, "--tags", "@id.PH-06")
    assert undeclared.broken == {}
    assert "acknowledged writes of up to 1,048,576 bytes" in undeclared.summary


def test_a_declared_member_that_is_dead(swarm: Rig) -> None:
    victim = replica_of(swarm)
    process = attach(swarm.folder / "sandbox").hosts[victim].processes["patroni"]
    process.kill()
    try:
        found = judge(swarm, "--tags", "@id.PH-03 or @id.PH-04 or @id.CL-01 or @id.RW-01", **members(swarm))
        assert victim in found.told("PH-04"), found
        assert victim in found.told("PH-03"), found
        assert found.others == {}
        assert any(name.startswith("RW-01") for name in found.passed), found
    finally:
        process.start()
        _await_streaming(swarm)


def _await_streaming(there: Rig) -> None:
    def streaming() -> None:
        states = [one["state"] for one in there.get(api_of("patroni-1"), "/cluster")["members"]]
        if sorted(states) != ["running", "streaming", "streaming"]:
            raise NotYet(str(states))

    eventually(streaming, within=90, subject="all members stream", retry_on=(OSError, KeyError))


def test_a_member_that_refuses_the_application(swarm: Rig) -> None:
    victim = replica_of(swarm)
    rules = swarm.folder / "sandbox/hosts" / victim / "data/pg_hba.conf"
    right = rules.read_text()
    reload = "SELECT pg_reload_conf()"
    rules.write_text(f"host all dpg_cluster 0.0.0.0/0 reject\n{right}")
    try:
        swarm.rows(swarm.published[victim], reload, superuser=True)
        found = judge(swarm, "--tags", "@id.CL-01 or @id.PH-01 or @id.PH-04", **members(swarm))
        assert victim in found.told("PH-04"), found
        assert re.search("pg_hba.conf rejects|no pg_hba.conf entry", found.told("PH-04")), found
    finally:
        rules.write_text(right)
        swarm.rows(swarm.published[victim], reload, superuser=True)


def test_reads_routed_to_the_leader(swarm: Rig) -> None:
    proxy = attach(swarm.folder / "sandbox").hosts["haproxy"]
    configuration = proxy.directory / "haproxy.cfg"
    right = configuration.read_text()
    assert "/replica" in right
    _restart(proxy.processes["haproxy"], configuration, re.sub(r"/replica\S*", "/health", right))
    try:
        found = judge(swarm, "--tags", "@id.RW-02 or @id.HP-01")
        assert f"{leader_of(swarm)}, primary" in found.told("RW-02"), found
        assert leader_of(swarm) in found.told("HP-01"), found
    finally:
        _restart(proxy.processes["haproxy"], configuration, right)
        eventually(lambda: counts(swarm), within=30, subject="writes are routed again", retry_on=(psycopg2.Error,))


def _restart(process: Process, configuration: Path, text: str) -> None:
    process.kill()
    configuration.write_text(text)
    process.start()


def test_the_next_run_removes_what_a_killed_run_left(swarm: Rig) -> None:
    before, port = counts(swarm), swarm.target["ruvector_port"]
    with swarm.program.started("run", "--tags", "@id.PF-07", **variables(swarm), **members(swarm)) as running:

        def stored() -> None:
            if running.poll() is not None:
                raise AssertionError("the run was over before it was killed")
            if not swarm.rows(port, "SELECT 1 FROM memory_entries WHERE namespace LIKE 'accept-%' LIMIT 1"):
                raise NotYet("nothing is stored")

        eventually(stored, within=60, subject="rows of the run are there", pause=0.05, retry_on=(psycopg2.Error,))
        running.kill()
    assert counts(swarm) != before
    found = judge(swarm, "--tags", "@id.CL-03")
    assert found.broken == found.others == {}
    assert counts(swarm) == before
    facts = (swarm.program.project / "allure-results/environment.properties").read_text()
    assert re.search(r"the leftovers of run [0-9a-f]{12}, which began .* ago, were removed \(\d+ rows\)", facts)
    assert not list((swarm.program.project / RUNS).glob("*/topology.json")), "the killed run's folder holds passwords"


def test_a_declared_worker_that_is_dead(tmp_path: Path) -> None:
    with rig(tmp_path, "swarm-citus", "--vector", "pgvector") as there:
        worker = attach(there.folder / "sandbox").hosts["citus-worker-2"].processes["postgres"]
        worker.kill()
        found = judge(there, "--tags", "@id.CS-02 or @id.DA-01 or @id.CL-05")
        assert "worker group 2, worker group 2: expected reached, observed not reached" in found.told("CS-02"), found
        assert "connection to the remote node dpg_cluster@citus-worker-2:5432 failed" in found.told("DA-01"), found
        assert found.others == {}
        assert any(name.startswith("CL-05") for name in found.passed)
        worker.start()
        port = there.target["ruvector_port"]
        eventually(
            lambda: there.rows(port, "SELECT count(*) FROM memory_entries WHERE namespace <> ''"),
            within=30,
            subject="the worker answers again",
            retry_on=(psycopg2.Error,),
        )
        assert judge(there, "--tags", "@id.CL-05").others == {}
        assert set(counts(there).values()) <= {0, 1}, "the next run removed what could not be removed before"
