"""Copies of reference tables that take long to be read; on a real Citus, whose other node is a plain PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from support import sql
from support.sharding import reference_copies
from support.sharding.copy_checks import ENOUGH, Reading, copies_agree
from support.sql import sessions
from support.target.citus import known_to
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology
from support.waiting import pause

_FILLED = "SELECT number, repeat(md5(number::text), 10) AS note FROM generate_series(1, 100000) number"


def test_a_table_in_a_closed_schema_is_not_read(citus: sql.Endpoint) -> None:
    sql.execute(citus, "CREATE DATABASE closed_copies")
    there = replace(citus, database="closed_copies")
    try:
        for statement in (
            "CREATE EXTENSION citus",
            "CREATE ROLE no_usage LOGIN PASSWORD 'x'",
            "CREATE SCHEMA closed",
            "CREATE TABLE closed.small (id int PRIMARY KEY)",
            "SELECT create_reference_table('closed.small')",
            "GRANT ALL ON closed.small TO no_usage",
        ):
            sql.execute(there, statement)
        theirs = Cluster(Topology(there.database, Login("no_usage", "x"), Address(there.host, there.port)))
        assert reference_copies.tables(theirs) == {}
        sql.execute(there, "GRANT USAGE ON SCHEMA closed TO no_usage")
        assert list(reference_copies.tables(theirs)) == ["closed.small"]
    finally:
        sql.execute(citus, "DROP DATABASE closed_copies WITH (FORCE)")
        sql.execute(citus, "DROP ROLE IF EXISTS no_usage")


@pytest.fixture(scope="module")
def cluster(citus: sql.Endpoint, postgres: sql.Endpoint) -> Iterator[Cluster]:
    """A large reference table, with a copy on each of two nodes."""
    sql.execute(citus, f"CREATE TABLE large_copied AS {_FILLED}")
    sql.execute(citus, "SELECT create_reference_table('large_copied')")
    own = Address(citus.host, citus.port)
    login, nodes = Login(citus.user, citus.password), {str(known_to(citus)[0].address): own}
    found = Cluster(Topology(citus.database, login, own, nodes=nodes))
    copy = reference_copies.tables(found)["large_copied"]
    sql.execute(postgres, f"CREATE TABLE {copy} AS {_FILLED}")
    node = "INSERT INTO pg_dist_node (groupid, nodename, nodeport) VALUES (7, %s, %s)"
    sql.execute(citus, node, [postgres.host, postgres.port])
    yield found
    sql.execute(citus, "DELETE FROM pg_dist_node WHERE groupid = 7")
    sql.execute(citus, "DROP TABLE large_copied")
    sql.execute(postgres, f"DROP TABLE {copy}")


def of_large(readings: list[Reading]) -> list[Reading]:
    """The readings of that table alone: other tests may have left reference tables."""
    return [
        Reading(
            {"large_copied": one.copies["large_copied"]},
            {what: why for what, why in one.silent.items() if "large" in what},
            missing=frozenset(gone for gone in one.missing if "large_copied" in gone),
        )
        for one in readings
    ]


def test_a_copy_may_take_longer_than_a_statement_usually_may(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = sessions.session.__wrapped__.__kwdefaults__  # type: ignore[attr-defined]
    monkeypatch.setitem(usual, "statement_timeout", 0.2)
    readings = of_large(reference_copies.settled(cluster, within=0.1))
    assert copies_agree(readings).holds, copies_agree(readings).words
    assert "100000 rows" in copies_agree(readings).words


_PLACE = """
    INSERT INTO pg_dist_placement (shardid, shardstate, shardlength, groupid)
    SELECT shardid, 1, 0, 7 FROM pg_dist_shard WHERE logicalrelid = 'large_copied'::regclass
"""


def test_a_copy_that_is_not_where_citus_lists_it_is_told(cluster: Cluster, postgres: sql.Endpoint) -> None:
    shards = {"large_copied": reference_copies.tables(cluster)["large_copied"]}
    name = shards["large_copied"].rpartition(".")[2]
    sql.execute(postgres, f"ALTER TABLE public.{name} RENAME TO renamed")
    try:
        unlisted = [reference_copies.read(cluster, shards) for _ in range(ENOUGH)]
        assert copies_agree(unlisted).holds is None, "a new node may have none yet"
        sql.execute(cluster.write, _PLACE)
        found = copies_agree([reference_copies.read(cluster, shards) for _ in range(ENOUGH)])
        assert (found.holds, "worker group 7 has no copy of large_copied" in found.words) == (False, True), found.words
        dropped = {"large_copied": f"{shards['large_copied']}1"}
        assert not reference_copies.read(cluster, dropped).missing, "it was dropped and created again meanwhile"
    finally:
        sql.execute(cluster.write, "DELETE FROM pg_dist_placement WHERE groupid = 7")
        sql.execute(postgres, f"ALTER TABLE public.renamed RENAME TO {name}")


def test_a_difference_is_told_however_long_a_reading_takes(
    cluster: Cluster, postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reference_copies.read

    def slowly(*given: object) -> Reading:
        pause(0.5)
        return read(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(reference_copies, "read", slowly)
    sql.execute(postgres, f"UPDATE {reference_copies.tables(cluster)['large_copied']} SET note = '' WHERE number = 7")
    readings = of_large(reference_copies.settled(cluster, within=0.1))
    assert copies_agree(readings).holds is False, copies_agree(readings).words
