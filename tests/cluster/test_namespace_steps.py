"""Searches in one of many namespaces of a table that has no HNSW index; on a real PostgreSQL with pgvector."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from steps.cluster import namespace_steps
from support import sql
from support.cluster.handover import ClusterHandover
from support.cluster.workloads import search_repeatedly
from support.engine.world import Context, World
from support.example_app import samples
from support.example_app.catalog import look_at
from support.example_app.entries import EntryStore
from support.example_app.known_profiles import declared_profile
from support.example_app.profile_fit import fit
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

SCHEMA = {"entries": {"table": "docs", "embedding": "vec"}, "tables": {"docs": {"vectors": {}}}}


@pytest.fixture
def context(postgres: sql.Endpoint, tmp_path: Path) -> Iterator[Context]:
    """Of a world whose table has an IVFFlat index, and 2,000 entries of others."""
    sql.execute(postgres, "CREATE DATABASE namespaces")
    there = replace(postgres, database="namespaces")
    sql.execute(there, "CREATE EXTENSION vector")
    sql.execute(
        there, "CREATE TABLE docs (namespace text, key text, value text, vec vector(8), UNIQUE (namespace, key))"
    )
    profile = fit(declared_profile(SCHEMA), look_at(there, ["docs"])).profile
    EntryStore(there, profile).add_many(samples.entries(random.Random(1), "others", 2000, profile))
    sql.execute(there, "CREATE INDEX ON docs USING ivfflat (vec vector_cosine_ops) WITH (lists = 50)")
    topology = Topology(
        "namespaces", Login(there.user, there.password), Address(there.host, there.port), profile=profile
    )
    run = Run("1", tmp_path, tmp_path, 1)
    world = World(run, Cluster(topology), Evidence(), namespace=f"{run.namespace}-own", random=random.Random(2))
    with world.cleanup:
        yield cast(Context, SimpleNamespace(world=world))
    sql.execute(postgres, "DROP DATABASE namespaces WITH (FORCE)")


def test_a_search_without_an_hnsw_index_compares_all_entries_of_its_namespace(context: Context) -> None:
    """IVFFlat examines one list of many: of the few entries of a namespace, hardly any are in it."""
    world = context.world
    namespace_steps.step_two_namespaces(context)
    sought = samples.embeddings(world.handover(ClusterHandover).second)
    by_index = search_repeatedly(world.cluster.write, world.profile, world.namespace, sought, 10)
    assert by_index.indexes_used[0] == {"docs_vec_idx"}
    assert min(sum(found.values()) for found in by_index.origins) < 10
    namespace_steps.step_search_for_others(context, 10)
    namespace_steps.step_found_own(context, 10)
