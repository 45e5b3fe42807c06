"""A healthy Citus is found to answer correctly even if the application's columns differ from the suite's. A real Citus.

Its text has a natural-language collation, and its numbers are not integers.
"""

import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port
from servers import PASSWORD, citus_bindir
from servers import postgres as throw_away_postgres

from steps.sharding import placement_steps
from support import sql
from support.engine.world import Context
from support.example_app import samples
from support.example_app.entries import EntryStore
from support.example_app.profile import Edges, Entries, Expected, Nodes, Profile, Reference, Related
from support.sharding import shards
from support.sharding.checks import Compared, all_agree
from support.sharding.queries import TOTALS_BY_TOPIC, ask_both, totals_by_topic
from support.sharding.random_queries import RandomQueries
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

LOCALE = "en_US.UTF-8"
PROFILE = Profile(
    "columns of other types",
    Entries("entries", metadata="metadata"),
    Related("patterns"),
    Nodes("nodes"),
    Edges("edges"),
    Reference("topics"),
)
_TABLES = """
    CREATE TABLE {schema}.entries (namespace {text}, key {text}, value {text}, metadata jsonb);
    CREATE TABLE {schema}.patterns (namespace {text}, name {text}, number {number});
    CREATE TABLE {schema}.nodes (namespace {text}, name {text}, kind {text});
    CREATE TABLE {schema}.edges (
        namespace {text}, source {text}, target {text}, kind {text}, weight {number}
    );
    CREATE TABLE {schema}.topics (key {text}, number {number}, note {text});
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """A database with Citus whose collation is not C."""
    bindir, folder = citus_bindir(), tmp_path_factory.mktemp("people")
    compiled = ["localedef", "-i", "en_US", "-f", "UTF-8", str(folder / LOCALE)]
    if shutil.which("localedef") is None or subprocess.run(compiled, capture_output=True, check=False).returncode:
        pytest.skip("this machine cannot make a locale (Debian's package locales)")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCPATH", str(folder))
        environment.setenv("PGPASSWORD", PASSWORD)  # the node logs in to itself
        settings = ("shared_preload_libraries=citus", "citus.node_conninfo=sslmode=prefer")
        with throw_away_postgres(folder, free_port(), bindir, *settings) as endpoint:
            sql.execute(endpoint, f"CREATE DATABASE people TEMPLATE template0 LOCALE '{LOCALE}'")
            there = replace(endpoint, database="people")
            sql.execute(there, "CREATE EXTENSION citus")
            yield there


def tables(where: sql.Endpoint, schema: str, text: str, number: str, *, sharded: bool) -> Cluster:
    """The tables in a schema of their own; the cluster's logins find them."""
    sql.execute(where, f"CREATE SCHEMA {schema}; {_TABLES.format(schema=schema, text=text, number=number)}")
    if sharded:
        for table in ("entries", "patterns", "nodes", "edges"):
            statement = "SELECT create_distributed_table(%s, 'namespace', shard_count => 4)"
            sql.rows(where, statement, [f"{schema}.{table}"])
        sql.rows(where, "SELECT create_reference_table(%s)", [f"{schema}.topics"])
    options = {"options": f"-c search_path={schema},public"}
    login, at = Login(where.user, where.password), Address(where.host, where.port)
    return Cluster(Topology(where.database, login, at, options=options, profile=PROFILE))


def test_the_first_and_the_last_are_those_by_code_point(people: sql.Endpoint) -> None:
    cluster = tables(people, "totals", "text", "bigint", sharded=True)
    entries = samples.entries(random.Random(1), "run", 400, PROFILE)
    EntryStore(cluster.write, PROFILE).add_many(entries)
    given = sql.rows(cluster.write, PROFILE.sql(TOTALS_BY_TOPIC), ["run"])
    assert all_agree([Compared("totals", totals_by_topic(entries), given)]).holds
    sorted_otherwise = 'SELECT max(value) <> max(value COLLATE "C") FROM totals.entries'
    assert sql.value(people, sorted_otherwise), "else this would show nothing"


def test_random_queries_are_answered_alike(people: sql.Endpoint) -> None:
    sharded = tables(people, "sharded", "text", "double precision", sharded=True)
    plain = tables(people, "plain", 'text COLLATE "C"', "bigint", sharded=False)
    names = [f"run-{number}" for number in range(12)]
    rows = samples.related_rows(random.Random(2), "run", names, 120)
    for cluster in (sharded, plain):
        samples.store_rows(cluster.write, PROFILE, rows)
    answers = ask_both(RandomQueries(random.Random(3), names).some(150), sharded, plain)
    finding = all_agree(answers)
    assert finding.holds, finding.words


def test_a_shard_without_a_row_has_a_size_that_is_known(people: sql.Endpoint) -> None:
    """None, if it has no index and no column of any length."""
    sql.execute(people, "CREATE TABLE public.numbers (namespace int, number int)")
    sql.rows(people, "SELECT create_distributed_table('public.numbers', 'namespace', shard_count => 4)")
    profile = replace(PROFILE, tables={"numbers": Expected(distributed_by="namespace")})
    login, at = Login(people.user, people.password), Address(people.host, people.port)
    sharded = Cluster(Topology(people.database, login, at, profile=profile))
    assert set(shards.sizes(people, ["numbers"]).values()) == {0}
    placement_steps.step_sizes_known(cast(Context, SimpleNamespace(world=SimpleNamespace(cluster=sharded))))
