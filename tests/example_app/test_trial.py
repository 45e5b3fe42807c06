"""Tables that have the right columns, and refuse or keep the rows of scenarios all the same."""

import dataclasses

import pytest
from swarm_tables import INDEXES, SWARM_TABLES

from support import sql
from support.example_app import trial
from support.example_app.catalog import look_at
from support.example_app.entries import Entry, EntryStore
from support.example_app.known_profiles import SWARM, declared_profile
from support.example_app.profile import Profile
from support.example_app.profile_fit import Fit, fit
from support.example_app.trial import tried

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


def trying(there: sql.Endpoint, profile: Profile) -> Fit:
    """What the trial says of tables that fit by their columns."""
    facts = look_at(there, profile.tables)
    fitted = fit(profile, facts)
    assert "schema" not in fitted.lacks
    return tried(there, fitted, facts, "accept-trial")


def with_role(empty: sql.Endpoint) -> sql.Endpoint:
    """A login of its own, which may do anything with the table and its sequence."""
    there = empty.as_user(f"{empty.database}_role", "x")
    sql.execute(empty, f"CREATE ROLE {there.user} LOGIN PASSWORD 'x'; GRANT ALL ON docs, docs_id_seq TO {there.user}")
    return there


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
    sql.execute(empty, TABLE)
    there = with_role(empty)
    sql.execute(empty, f"REVOKE ALL ON SEQUENCE docs_id_seq FROM {there.user}")
    assert "docs refuses a row: permission denied for sequence docs_id_seq" in trying(there, DOCS).lacks["schema"]
    sql.execute(empty, f"GRANT USAGE ON SEQUENCE docs_id_seq TO {there.user}")
    assert "schema" not in trying(there, DOCS).lacks


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "ALTER TABLE docs ALTER status SET NOT NULL, ADD CONSTRAINT known CHECK (status IN ('draft', 'live'))",
            'docs refuses a row: new row for relation "docs" violates check constraint "known"',
        ),
        (
            "CREATE DOMAIN author AS text NOT NULL; ALTER TABLE docs ADD author author",
            "docs refuses a row: domain author does not allow null values",
        ),
        ("ALTER TABLE docs ADD CHECK (value <> 'changed')", "docs refuses a change: "),
    ],
)
def test_a_constraint_may_be_satisfied_by_fill(empty: sql.Endpoint, change: str, why: str) -> None:
    sql.execute(empty, f"{TABLE}; {change}")
    assert trying(empty, DOCS).lacks["schema"].startswith(why)
    fill = {"status": "'draft'"} | ({"author": "'nobody'"} if "author" in change else {})
    filled = declared_profile({"entries": {"table": "docs", "fill": fill}})
    assert ("schema" in trying(empty, filled).lacks) is ("value" in change)


POLICY = """
    ALTER TABLE docs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenants ON docs USING (status = current_setting('app.tenant', true))
"""


def test_row_security_may_be_satisfied_by_fill_and_a_setting(empty: sql.Endpoint) -> None:
    sql.execute(empty, f"{TABLE}; {POLICY}")
    role = with_role(empty)
    refused = trying(role, DOCS).lacks["schema"]
    assert refused.startswith("docs refuses a row: new row violates row-level security policy")
    assert 'options = "-c app.tenant=..." in [ruvector_options]' in refused
    filled = declared_profile({"entries": {"table": "docs", "fill": {"status": "'acme'"}}})
    assert "schema" in trying(role, filled).lacks
    acme = dataclasses.replace(role, options={"options": "-c app.tenant=acme"})
    assert "schema" not in trying(acme, filled).lacks


@pytest.mark.parametrize(
    ("allowed", "why"),
    [
        (["INSERT WITH CHECK (true)"], "docs does not have the rows that were stored in it; row security is on"),
        (["INSERT WITH CHECK (true)", "SELECT USING (true)"], "docs.value does not have the value to which it was"),
        (
            ["INSERT WITH CHECK (true)", "SELECT USING (true)", "UPDATE USING (true)"],
            "docs still has rows that were deleted: a trigger, a rule or row security keeps rows that are deleted; row",
        ),
    ],
)
def test_row_security_that_allows_a_part_says_so(empty: sql.Endpoint, allowed: list[str], why: str) -> None:
    """What no policy allows happens to no row, without an error."""
    policies = "; ".join(f"CREATE POLICY p{number} ON docs FOR {one}" for number, one in enumerate(allowed))
    sql.execute(empty, f"{TABLE}; ALTER TABLE docs ENABLE ROW LEVEL SECURITY; {policies}")
    assert trying(with_role(empty), DOCS).lacks["schema"].startswith(why)
    assert "schema" not in trying(empty, DOCS).lacks, "the owner"


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


RICH = declared_profile({"entries": {"table": "docs", "metadata": "extra", "embedding": "vec"}})
OF_ENTRIES = [
    ("value <> ''", {"empty_values": "docs refuses an empty value: new row for relation"}),
    ("length(value) <= 100000", {"long_values": "docs refuses a value of a megabyte: new row for relation"}),
    ("value = btrim(value)", {"any_text": "docs refuses a value with spaces at both ends"}),
    ("key ~ '^[a-z0-9-]+$'", {"any_key": "docs refuses a key or a namespace of any text"}),
    ("namespace ~ '^[a-z0-9-]+$'", {"any_key": "docs refuses a key or a namespace of any text"}),
    ("extra IS NULL OR extra ? 'kind'", {"json": "docs refuses JSON: new row for relation"}),
    ("vector_norm(vec) < 0.001", dict.fromkeys(("vector", "indexed_embedding"), "docs refuses an embedding: new row")),
    ("length(value) > 5", {"schema": "docs refuses a row"}),
]


@pytest.mark.parametrize(("constraint", "why"), OF_ENTRIES)
def test_what_few_scenarios_store_is_tried_by_itself(empty: sql.Endpoint, constraint: str, why: dict[str, str]) -> None:
    sql.execute(empty, f"{TABLE}; ALTER TABLE docs ADD extra jsonb, ADD vec vector(3)")
    usual = trying(empty, RICH)
    assert not usual.lacks.keys() & {"schema", "json", "vector", "empty_values", "any_text", "any_key", "long_values"}
    sql.execute(empty, f"ALTER TABLE docs ADD CHECK ({constraint})")
    found = trying(empty, RICH)
    assert found.lacks.keys() - usual.lacks.keys() == why.keys()
    assert all(found.lacks[capability].startswith(words) for capability, words in why.items())
    entries = found.profile.entries
    assert (entries.metadata, entries.embedding) == (
        None if "json" in why else "extra",
        None if "vector" in why else "vec",
    )
    assert sql.value(empty, "SELECT count(*) FROM docs") == 0


def test_an_index_may_have_no_room_for_a_long_value(empty: sql.Endpoint) -> None:
    sql.execute(empty, f"{TABLE}; CREATE INDEX ON docs (value)")
    why = trying(empty, DOCS).lacks["long_values"]
    assert why.startswith("docs refuses a value of a megabyte: index row")


def test_a_required_column_that_scenarios_do_without_is_filled(empty: sql.Endpoint) -> None:
    sql.execute(empty, f"{TABLE}; ALTER TABLE docs ADD extra jsonb NOT NULL CHECK (extra = '{{}}'), ADD vec vector(3)")
    found = trying(empty, RICH)
    assert found.lacks["json"].startswith("docs refuses JSON")
    EntryStore(empty, found.profile).add(Entry("n", "k", "v", embedding=(1.0, 2.0, 3.0)))
    assert sql.rows(empty, "SELECT extra, vec::text FROM docs") == [({}, "[1,2,3]")]


@pytest.mark.parametrize(
    ("table", "column", "lacking"),
    [("patterns", "pattern_type", "related"), ("vector_indexes", "index_name", "reference")],
)
def test_names_in_other_scripts_are_tried(empty: sql.Endpoint, table: str, column: str, lacking: str) -> None:
    """Patterns and rows of a reference table are named after topics, some of which are."""
    sql.execute(empty, f"{SWARM_TABLES}{INDEXES}; ALTER TABLE {table} ADD CHECK ({column} ~ '^[a-z0-9/-]+$')")
    assert trying(empty, SWARM).lacks[lacking].startswith(f"{table} refuses a row")


def test_what_is_not_the_tables_fault_proves_nothing(empty: sql.Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SEARCH", 0.3)
    sql.execute(empty, f"{TABLE}; {SOFT_DELETE.format(table='docs')}")
    facts = look_at(empty, ["docs"])
    fitted = fit(DOCS, facts)
    with sql.session(empty, autocommit=False) as migration:
        sql.execute(migration, "LOCK TABLE docs")
        assert tried(empty, fitted, facts, "accept-trial") == fitted
    assert "schema" in tried(empty, fitted, facts, "accept-trial").lacks
