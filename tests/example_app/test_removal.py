"""Our rows are removed by index and in batches, also from a table that is full of others' rows."""

import dataclasses
import random
from itertools import pairwise

import pytest
from swarm_tables import INDEXES, SWARM_TABLES

from support import sql
from support.errors import NotAvailable
from support.example_app import schema
from support.example_app.known_profiles import SWARM, declared_profile
from support.example_app.profile import Profile
from support.example_app.samples import related_rows, store_rows
from support.waiting import NotYet, eventually

BARE = declared_profile({"entries": {"table": "bare"}})
NUMBERS = iter(range(1000))
TENANTS, EACH = 200, 500
FOREIGN = f"""
    INSERT INTO memory_entries (namespace, key, value)
    SELECT 'tenant-' || number % {TENANTS}, number, 'theirs' FROM generate_series(1, {TENANTS * EACH}) number
"""
OURS = "INSERT INTO {table} (namespace, key, value) SELECT %s, number, '' FROM generate_series(1, %s) number"
SCANNED = "SELECT coalesce(seq_scan, 0) FROM pg_stat_user_tables WHERE relname = %s"


@pytest.fixture
def database(postgres: sql.Endpoint) -> sql.Endpoint:
    """A database of its own with the swarm's tables, and one without any index."""
    name = f"removal_{next(NUMBERS)}"
    sql.execute(postgres, f"CREATE DATABASE {name}")
    there = dataclasses.replace(postgres, database=name)
    sql.execute(there, "CREATE EXTENSION vector")
    sql.execute(there, f"{SWARM_TABLES}{INDEXES}; CREATE TABLE bare (namespace text, key text, value text)")
    return there


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BATCH", 100)
    monkeypatch.setattr(schema, "NAMES", 3)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("profile", [SWARM, BARE], ids=["indexed", "without an index"])
def test_no_statement_deletes_more_than_a_batch(database: sql.Endpoint, profile: Profile) -> None:
    store = OURS.format(table=profile.entries.table)
    for namespace, rows in {"run": 1050, "run-1": 100, "run-2": 99, "run-3": 1, "run-5": 250, "runner": 7}.items():
        sql.execute(database, store, [namespace, rows])
    told = [0]
    names = ["run", "run-1", "run-2", "run-3", "run-4", "run-5"]
    assert schema.remove(database, profile, names, on_progress=told.append) == 1500
    assert max(after - before for before, after in pairwise(told)) == 100
    assert sql.rows(database, f"SELECT DISTINCT namespace FROM {profile.entries.table}") == [("runner",)]


@pytest.mark.usefixtures("small_batches")
def test_keys_that_are_equal_or_missing_end_no_removal(database: sql.Endpoint) -> None:
    for key in ("'same'", "NULL", "number::text"):
        sql.execute(database, f"INSERT INTO bare SELECT 'run', {key}, '' FROM generate_series(1, 350) number")
    assert schema.remove(database, BARE, ["run"]) == 1050
    assert sql.value(database, "SELECT count(*) FROM bare") == 0


def test_a_table_full_of_others_rows_is_not_read(database: sql.Endpoint) -> None:
    """The planner takes each namespace for as common as the others', and 600 of them for all that there are."""
    names = [f"accept-0123456789ab-{number}" for number in range(600)]
    sql.execute(database, FOREIGN)
    sql.execute(database, OURS.format(table="memory_entries"), [names[0], 30])
    sql.execute(database, "ANALYZE memory_entries")
    before = scanned(database, "memory_entries")
    assert schema.remove(database, SWARM, names) == 30
    assert sql.value(database, "SELECT count(*) FROM memory_entries") == TENANTS * EACH
    eventually(
        lambda: counted(database, before + 1), within=10, subject="the statistics know our own count of all rows"
    )
    assert scanned(database, "memory_entries") == before + 1


SOFT_DELETE = """
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER keep BEFORE DELETE ON bare FOR EACH ROW WHEN (OLD.key > '3') EXECUTE FUNCTION keep()
"""


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("rows", [5, 250], ids=["at once", "in batches"])
def test_rows_that_a_table_keeps_are_told(database: sql.Endpoint, rows: int) -> None:
    sql.execute(database, OURS.format(table="bare"), ["run", rows])
    sql.execute(database, SOFT_DELETE)
    kept = sql.value(database, "SELECT count(*) FROM bare WHERE key > '3'")
    with pytest.raises(NotAvailable, match=f"bare still has {kept} rows of ours after their deletion: a trigger, a"):
        schema.remove(database, BARE, ["run"])
    assert sql.value(database, "SELECT count(*) FROM bare") == kept, "what was deleted stays deleted"


def test_what_is_stored_during_a_removal_is_removed_as_well(database: sql.Endpoint) -> None:
    """By a statement that was thought to have failed: here a trigger stores one row, once."""
    sql.execute(
        database,
        "CREATE TABLE once (); INSERT INTO once DEFAULT VALUES; "
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM once) THEN "
        "DELETE FROM once; INSERT INTO bare VALUES ('run', 'late', ''); END IF; RETURN NULL; END $$; "
        "CREATE TRIGGER late AFTER DELETE ON bare FOR EACH STATEMENT EXECUTE FUNCTION late()",
    )
    sql.execute(database, OURS.format(table="bare"), ["run", 3])
    assert schema.remove(database, BARE, ["run"]) == 4
    assert sql.value(database, "SELECT count(*) FROM bare") == 0


def test_only_the_parts_that_were_used_are_looked_at(database: sql.Endpoint) -> None:
    store_rows(database, SWARM, related_rows(random.Random(1), "run", ["run-1"], 20))
    assert schema.remove(database, SWARM, ["run", "run-1"], {"entries"}) == 20
    assert sql.value(database, "SELECT count(*) FROM patterns") > 0
    assert schema.remove(database, SWARM, ["run", "run-1"]) > 0
    assert sql.value(database, "SELECT count(*) FROM patterns") == 0


def scanned(database: sql.Endpoint, table: str) -> int:
    """How often the whole table was read, as the server's statistics know it now."""
    return int(sql.value(database, SCANNED, [table]))


def counted(database: sql.Endpoint, least: int) -> None:
    """Sessions report their figures when they end, and that may be a little later than we see it."""
    if (now := scanned(database, "memory_entries")) < least:
        raise NotYet(f"{now} scans")
