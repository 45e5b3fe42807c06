"""Tables that have the right columns, and refuse or keep the rows of scenarios all the same."""

import dataclasses
from itertools import count

import pytest
from swarm_tables import INDEXES, SWARM_TABLES

from support import sql
from support.example_app import trial
from support.example_app.catalog import look_at
from support.example_app.known_profiles import SWARM, declared_profile
from support.example_app.profile import Profile
from support.example_app.profile_fit import Fit, fit
from support.example_app.trial import tried

NUMBERS = count()
DOCS = declared_profile({"entries": {"table": "docs"}})
TABLE = "CREATE TABLE docs (id serial, namespace text, key text, value text, status text, UNIQUE (namespace, key))"
SOFT_DELETE = """
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER keep BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep()
"""
ON_INSERT = """
    CREATE FUNCTION altered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
    CREATE TRIGGER altered BEFORE INSERT OR UPDATE ON docs FOR EACH ROW EXECUTE FUNCTION altered()
"""
LATE = """
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no drafts'; END $$;
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON docs DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION late()
"""


@pytest.fixture
def empty(postgres: sql.Endpoint) -> sql.Endpoint:
    """A database of its own, with the vector extension and nothing else."""
    name = f"trial_{next(NUMBERS)}"
    sql.execute(postgres, f"CREATE DATABASE {name}")
    there = dataclasses.replace(postgres, database=name)
    sql.execute(there, "CREATE EXTENSION vector")
    return there


def trying(there: sql.Endpoint, profile: Profile) -> Fit:
    """What the trial says of tables that fit by their columns."""
    fitted = fit(profile, look_at(there, profile.tables))
    assert "schema" not in fitted.lacks
    return tried(there, fitted, "accept-trial")


def test_tables_that_can_be_used_lack_nothing_and_are_as_before(empty: sql.Endpoint) -> None:
    sql.execute(empty, f"{SWARM_TABLES}{INDEXES}")
    sql.execute(empty, "INSERT INTO memory_entries (namespace, key, value) VALUES ('theirs', 'entry-1', '')")
    assert trying(empty, SWARM).lacks == {}
    for _, part in SWARM.parts():
        assert sql.value(empty, f"SELECT count(*) FROM {part.table}") == (part.table == "memory_entries")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (SOFT_DELETE.format(table="docs"), "docs still has rows that were deleted: a trigger, a rule or row security"),
        ("CREATE RULE keep AS ON DELETE TO docs DO INSTEAD NOTHING", "docs still has rows that were deleted"),
        ("CREATE RULE keep AS ON UPDATE TO docs DO INSTEAD NOTHING", "docs.value does not have the value to which it"),
        (ON_INSERT.format(body="RETURN NULL;"), "docs does not have the rows that were stored in it"),
        (
            ON_INSERT.format(body="IF TG_OP = 'UPDATE' THEN NEW.value := OLD.value; END IF; RETURN NEW;"),
            "docs.value does not have the value to which it was changed",
        ),
        (ON_INSERT.format(body="RAISE 'no drafts';"), "docs refuses a row: no drafts"),
        (LATE, "docs refuses a row: no drafts"),
        ("CREATE UNIQUE INDEX ON docs (key) WHERE status IS NULL", "docs refuses a row: duplicate key value violates"),
    ],
)
def test_a_table_that_refuses_or_keeps_rows_says_so(empty: sql.Endpoint, change: str, why: str) -> None:
    sql.execute(empty, f"{TABLE}; {change}")
    assert trying(empty, DOCS).lacks["schema"].startswith(why)
    assert sql.value(empty, "SELECT count(*) FROM docs") == 0


def test_a_right_that_no_table_shows_is_missed(empty: sql.Endpoint) -> None:
    """A serial column's sequence has privileges of its own."""
    role = f"{empty.database}_role"
    sql.execute(empty, f"{TABLE}; CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON docs TO {role}")
    there = empty.as_user(role, "x")
    assert "docs refuses a row: permission denied for sequence docs_id_seq" in trying(there, DOCS).lacks["schema"]
    sql.execute(empty, f"GRANT USAGE ON SEQUENCE docs_id_seq TO {role}")
    assert "schema" not in trying(there, DOCS).lacks


@pytest.mark.parametrize(
    ("table", "part", "lacking"),
    [
        ("patterns", "related", {"related"}),
        ("graph_edges", "edges", {"graph"}),
        ("vector_indexes", "reference", {"reference", "computed_reference"}),
    ],
)
def test_the_other_tables_are_used_all_the_same(empty: sql.Endpoint, table: str, part: str, lacking: set[str]) -> None:
    sql.execute(empty, f"{SWARM_TABLES}{INDEXES}; {SOFT_DELETE.format(table=table)}")
    found = trying(empty, SWARM)
    assert found.lacks.keys() == lacking
    assert all(one.startswith(f"{table} still has rows that were deleted") for one in found.lacks.values())
    assert getattr(found.profile, part) is None
    assert found.profile.entries == SWARM.entries


def test_rows_may_refer_to_those_of_another_part(empty: sql.Endpoint) -> None:
    sql.execute(empty, f"{SWARM_TABLES}{INDEXES}")
    for column in ("from_node", "to_node"):
        sql.execute(
            empty,
            f"ALTER TABLE graph_edges ADD FOREIGN KEY (namespace, {column}) REFERENCES graph_nodes "
            "(namespace, node_id) DEFERRABLE INITIALLY DEFERRED",
        )
    assert trying(empty, SWARM).lacks == {}


def test_what_is_not_the_tables_fault_proves_nothing(empty: sql.Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SEARCH", 0.3)
    sql.execute(empty, f"{TABLE}; {SOFT_DELETE.format(table='docs')}")
    fitted = fit(DOCS, look_at(empty, ["docs"]))
    with sql.session(empty, autocommit=False) as migration:
        sql.execute(migration, "LOCK TABLE docs")
        assert tried(empty, fitted, "accept-trial") == fitted
    assert "schema" in tried(empty, fitted, "accept-trial").lacks
