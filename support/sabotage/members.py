"""Sabotages of one member among others: other software, other settings, and what is left open or left behind there."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from support import sql
from support.faults.nemesis import Fault
from support.faults.roles import member_by_role
from support.sabotage.damage import (
    Damage,
    MakeDamage,
    by_parameters,
    by_shared_configuration,
    by_sql,
    confirmed_by_every_member,
    in_own_file,
    on_member,
    together,
)
from support.sabotage.sabotage import Notice, Sabotage, expecting, notices
from support.sabotage.servers import other_programs
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.patroni_commands import configure, restart
from support.timeouts import RECOVERY
from support.waiting import NotYet, eventually

_WAL = "SELECT pg_logical_emit_message(false, 'accept', repeat('x', 1048576)) FROM generate_series(1, 40)"
_TRANSACTIONS = "DO $$ BEGIN FOR i IN 1..500 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
_OLDEST = "SELECT max(age(xmin)) FROM pg_replication_slots"
_UNARCHIVED = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}[.]ready$'"
_ENOUGH_UNARCHIVED = 3  # segments of 16 MB
# Nobody vacuums template0 before its rows are due, so nothing changes this before it is undone.
_FROZEN = "SELECT datfrozenxid::text FROM pg_database WHERE datname = 'template0'"
_GIVE_FROZEN = "UPDATE pg_database SET datfrozenxid = %s::xid WHERE datname = 'template0'"
_LONG_AGO = "SELECT ((pg_current_xact_id()::text::bigint + 4294967296 - 100000000) % 4294967296)::text"
_AGE = "SELECT age(datfrozenxid) FROM pg_database WHERE datname = 'template0'"


_READ_FILE = "pg_read_binary_file(text, bigint, bigint, boolean)"


def _another_password(role: str) -> MakeDamage:
    """Running streams continue, but nobody can log in with that role again."""

    def make(cluster: Cluster) -> Damage:
        def verifier() -> str:
            return str(sql.value(cluster.administration_of(cluster.leader()), _VERIFIER, [role]))

        before = verifier()

        def give(password: str) -> None:
            sql.execute(cluster.administration_of(cluster.leader()), f"ALTER ROLE {role} PASSWORD %s", [password])

        def check() -> None:
            if verifier() == before:
                raise NotYet(f"{role} has the password that it had")

        return Damage(f"{role} has another password", lambda: give("another"), check, lambda: give(before))

    return make


_VERIFIER = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"


def _without_file_access(cluster: Cluster) -> Damage:
    """In the database to which pg_rewind logs in: each database has its own privileges on functions."""

    def where() -> sql.Endpoint:
        return replace(cluster.administration_of(cluster.leader()), database="postgres")

    def check() -> None:
        if sql.value(where(), f"SELECT has_function_privilege('rewinder', '{_READ_FILE}', 'EXECUTE')"):
            raise NotYet("it may read files")

    return Damage(
        "pg_rewind's role may not read files",
        lambda: sql.execute(where(), f"REVOKE EXECUTE ON FUNCTION {_READ_FILE} FROM rewinder"),
        check,
        lambda: sql.execute(where(), f"GRANT EXECUTE ON FUNCTION {_READ_FILE} TO rewinder"),
    )


def _without_replication_rule(cluster: Cluster) -> Fault:
    shared = cluster.patroni(cluster.leader()).configuration()["postgresql"]["pg_hba"]
    rules = [rule for rule in shared if "replication" not in rule]
    return confirmed_by_every_member(by_shared_configuration({"postgresql": {"pg_hba": rules}}), _NO_RULE)(cluster)


_NO_RULE = "SELECT count(*) = 0 FROM pg_hba_file_rules WHERE 'replication' = ANY (database)"


def _limits(**limits: float) -> Mapping[str, str]:
    """Limits that can be exceeded within seconds: "WL_01_wal" is that of WL-01.wal."""
    named = {f"{name[:2]}-{name[3:5]}.{name[6:]}": value for name, value in limits.items()}
    return {"LIMITS": json.dumps(named)}


def _one_restarted(cluster: Cluster) -> Damage:
    """max_connections is raised for all members, and only one replica is restarted."""
    member, there = member_by_role(cluster, "a replica"), "SHOW max_connections"
    leader = cluster.administration_of(cluster.leader())
    before = int(sql.value(leader, there))

    def give(value: int) -> None:
        configure(cluster, {"postgresql": {"parameters": {"max_connections": value}}})
        # Restarted before its Patroni has read that, it would keep the old value.
        if sql.value(cluster.administration_of(member), there) != str(value):
            waits = f"{member} waits for a restart"
            eventually(heard_of_it, within=RECOVERY, subject=waits, retry_on=NO_ANSWER)
        restart(cluster, member)

    def heard_of_it() -> None:
        if not cluster.patroni(member).status().get("pending_restart"):
            raise NotYet(f"{member} has no pending restart")

    def check() -> None:
        if (now := sql.value(cluster.administration_of(member), there)) != str(before + 10):
            raise NotYet(f"{member} has {now}")

    return Damage(f"only {member} was restarted", lambda: give(before + 10), check, lambda: give(before))


def _left_open(role: str, statement: str, further: str = "", kept: float = 0) -> MakeDamage:
    """A session of a superuser on the member with that role stays in a transaction after `statement`.

    `further` is then executed on the leader; `kept` is the age that the slots' oldest xmin must reach there.
    """

    def make(cluster: Cluster) -> Damage:
        member, leader, held, since = member_by_role(cluster, role), cluster.leader(), ExitStack(), [0.0]

        def begin() -> None:
            session = held.enter_context(sql.session(cluster.administration_of(member)))
            for one in ("BEGIN ISOLATION LEVEL REPEATABLE READ", statement):
                sql.execute(session, one)
            since[0] = time.monotonic()
            if further:
                sql.execute(cluster.administration_of(leader), further)

        def check() -> None:
            if not since[0] or time.monotonic() < since[0] + 4:
                raise NotYet("it has just begun")
            if kept and (age := sql.value(cluster.administration_of(leader), _OLDEST) or 0) < kept:
                raise NotYet(f"the oldest rows kept are {age} transactions old")

        def end() -> None:
            held.close()
            since[0] = 0.0

        return Damage(f"a transaction is left open on {member}", begin, check, end)

    return make


def _written(cluster: Cluster) -> Damage:
    """40 MB of WAL."""
    where = cluster.administration_of(cluster.leader())
    return Damage("WAL is written", lambda: sql.rows(where, _WAL), lambda: None, lambda: None, passes_when_undone=True)


def _archiving_failed(cluster: Cluster) -> Damage:
    """The archive takes nothing more, and segments wait for it on the leader."""
    failing, leader = by_parameters(archive_command="false")(cluster), cluster.administration_of(cluster.leader())

    def check() -> None:
        failing.require_in_effect()
        if (waiting := sql.value(leader, _UNARCHIVED)) < _ENOUGH_UNARCHIVED:
            sql.rows(leader, _WAL)
            raise NotYet(f"{waiting} segments wait to be archived")

    return Damage(str(failing), failing.inject, check, failing.heal)


def _unfrozen(cluster: Cluster) -> Damage:
    """A database says that it has rows of a hundred million transactions ago, as if vacuum had never come to it."""
    leader = cluster.administration_of(cluster.leader())
    before = sql.value(leader, _FROZEN)

    def check() -> None:
        if (age := sql.value(leader, _AGE)) < 90_000_000:
            raise NotYet(f"its oldest rows are {age} transactions old")

    return Damage(
        "a database with very old rows",
        lambda: sql.execute(leader, _GIVE_FROZEN, [sql.value(leader, _LONG_AGO)]),
        check,
        lambda: sql.execute(leader, _GIVE_FROZEN, [before]),
    )


def _emptied(pattern: str) -> Callable[[Path], None]:
    """Removes the programs' files that match."""

    def remove(programs: Path) -> None:
        for file in programs.rglob(pattern):
            file.unlink()

    return remove


def _padded(pattern: str) -> Callable[[Path], None]:
    """Makes files that match longer by a byte, which no program minds."""

    def pad(programs: Path) -> None:
        for file in programs.rglob(pattern):
            file.write_bytes(file.read_bytes() + b"\0")

    return pad


SABOTAGES = (
    Sabotage(
        "library-missing-on-one-member",
        "one replica lacks the library of the vector extension",
        notices({"ME-01 libraries of the extensions": "library .*unusable.*could not access file"}),
        other_programs("without the library of the vector extension", _emptied("vector.so")),
    ),
    Sabotage(
        "another-library-on-one-member",
        "one replica has another build of the vector extension's library",
        notices({"ME-01 libraries of the extensions": r"library .*file .* on .*file"}),
        other_programs("with another library of the vector extension", _padded("vector.so")),
    ),
    Sabotage(
        "collation-version-changed",
        "the database was created with another version of the library that sorts text",
        notices({"ME-01 sorts text": "was recorded with version 0"}),
        by_sql(
            "UPDATE pg_database SET datcollversion = '0' WHERE datname = current_database()",
            "UPDATE pg_database SET datcollversion = pg_database_collation_actual_version(oid) "
            "WHERE datname = current_database()",
            "SELECT datcollversion = '0' FROM pg_database WHERE datname = current_database()",
        ),
    ),
    Sabotage(
        "setting-of-one-member",
        "one replica has more work_mem than the others",
        notices({"ME-02 same on all": "every setting is the same on all members.*work_mem.*65536"}),
        on_member(
            "a replica",
            "ALTER SYSTEM SET work_mem = '64MB';;SELECT pg_reload_conf()",
            "ALTER SYSTEM RESET work_mem;;SELECT pg_reload_conf()",
            "SELECT setting = '65536' FROM pg_settings WHERE name = 'work_mem'",
        ),
    ),
    Sabotage(
        "setting-in-one-members-file",
        "the Patroni of one replica overrides a setting that all share",
        notices({"ME-02 same on all": "every setting is the same on all members.*statement_timeout.*300000"}),
        in_own_file("statement_timeout", "5min", "300000"),
    ),
    Sabotage(
        "restart-left-undone",
        "a setting was changed, and PostgreSQL was not restarted",
        notices({"ME-02 waits for a restart": "waiting for a restart of PostgreSQL: .*max_connections"}),
        by_shared_configuration({"postgresql": {"parameters": {"max_connections": 140}}}),
    ),
    Sabotage(
        "one-member-restarted",
        "a setting was changed, and only one replica was restarted",
        notices(
            {
                "ME-02 same on all": "every setting is the same on all members.*max_connections.*160",
                "ME-02 waits for a restart": "waiting for a restart of PostgreSQL: .*max_connections",
            }
        ),
        _one_restarted,
    ),
    Sabotage(
        "replication-password-changed",
        "the password of the replication role was changed in the database, and nowhere else",
        notices(
            {
                "ME-03 resumes streaming": "not let in again, so it no longer streams",
                "ME-03 own credentials": "cannot log in .* to stream or to be copied.*password authentication failed",
            }
        ),
        _another_password("replicator"),
    ),
    Sabotage(
        "replication-not-allowed",
        "pg_hba.conf no longer lets replicas in",
        notices(
            {
                "ME-03 resumes streaming": "not let in again, so it no longer streams",
                "ME-03 own credentials": "cannot log in .* to stream or to be copied.*no pg_hba.conf entry",
            }
        ),
        _without_replication_rule,
    ),
    Sabotage(
        "rewind-not-allowed",
        "the role of pg_rewind may no longer read the server's files",
        notices({"ME-03 own credentials": "cannot log in .* to be rewound.*permission denied"}),
        _without_file_access,
    ),
    Sabotage(
        "slot-left-on-a-replica",
        "an unused slot keeps WAL on a replica",
        notices({"WL-01 more than 1 GB": r"\(inactive\) keeps .* MB of WAL"}),
        together(
            # otherwise Patroni drops the slot at once
            by_shared_configuration({"ignore_slots": [{"name": "left", "type": "physical"}]}),
            on_member(
                "a replica",
                "SELECT pg_create_physical_replication_slot('left', true)",
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'left'",
                "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'left'",
            ),
            _written,
        ),
        variables=_limits(WL_01_wal=16),
    ),
    Sabotage(
        "slots-without-a-limit",
        "a replication slot may keep any amount of WAL",
        notices({"WL-01 fill a disk": "a replication slot can fill the disk"}),
        by_parameters(max_slot_wal_keep_size="-1"),
        variables=expecting(bounded_slots=True),
    ),
    Sabotage(
        "slots-without-a-limit-by-configuration",
        "a replication slot may keep any amount of WAL, and no limit was declared",
        (Notice("WL-01", "max_slot_wal_keep_size is -1 on every member", "fill a disk", skipped=True),),
        by_parameters(max_slot_wal_keep_size="-1"),
    ),
    Sabotage(
        "transaction-left-open-on-a-replica",
        "an old transaction on a replica keeps dead rows on the leader",
        notices(
            {
                "WL-01 million transactions": "keeps the rows of the last .* transactions",
                "WL-02 open transaction": "vacuum is held back by .*idle transaction of",
            }
        ),
        _left_open("a replica", "SELECT count(*) FROM pg_class", _TRANSACTIONS, kept=200),
        variables=_limits(WL_01_xmin=200, WL_02_open=3),
    ),
    Sabotage(
        "transaction-left-open",
        "a client has forgotten a transaction in which it has written",
        notices({"WL-02 open transaction": "vacuum is held back by .*idle transaction of"}),
        _left_open("the leader", "SELECT pg_current_xact_id()"),
        variables=_limits(WL_02_open=3),
    ),
    Sabotage(
        "prepared-transaction-left",
        "a prepared transaction was forgotten",
        notices({"WL-02 prepared": "vacuum is held back by .*prepared transaction"}),
        by_sql(
            "BEGIN;;SELECT pg_current_xact_id();;PREPARE TRANSACTION 'forgotten'",
            "ROLLBACK PREPARED 'forgotten'",
            "SELECT count(*) > 0 FROM pg_prepared_xacts WHERE gid = 'forgotten' AND prepared < now() - interval '3 s'",
        ),
        variables=_limits(WL_02_prepared=2),
    ),
    Sabotage(
        "archiving-fails",
        "the archive takes no more WAL, and the leader keeps it",
        notices({"WL-01 The archive": "keeps .* MB of WAL that waits to be archived"}),
        _archiving_failed,
        variables=_limits(WL_01_wal=16),
    ),
    Sabotage(
        "autovacuum-off",
        "autovacuum is off on every member",
        notices({"WL-02 vacuums by itself": "autovacuum: expected on"}),
        by_parameters(autovacuum="off"),
    ),
    Sabotage(
        "rows-never-frozen",
        "vacuum has not come to one database for a hundred million transactions",
        notices({"WL-02 freezes old rows": "vacuum has not frozen rows of database"}),
        _unfrozen,
        variables=_limits(WL_02_frozen=0.4),
    ),
)
