"""The warning that a commit may not be on any standby is recognised whatever the server's language."""

import shutil
import subprocess
from pathlib import Path

import pytest
import servers
from conftest import free_port
from hamcrest import assert_that, is_

from support import sql
from support.engine.history import Outcome
from support.engine.notices import Notice, notices_of
from support.engine.workload import Task, Turn, Workload
from support.waiting import eventually

# What PostgreSQL 15 says in some of its languages: the primary message, and the detail.
TOLD = {
    "en": (
        "canceling wait for synchronous replication due to user request",
        "The transaction has already committed locally, but might not have been replicated to the standby.",
    ),
    "de": (
        "storniere Warten auf synchrone Replikation wegen Benutzeraufforderung",
        "Die Transaktion wurde lokal bereits committet, aber möglicherweise noch nicht zum Standby repliziert.",
    ),
    "ja": (
        "ユーザーからの要求により同期レプリケーションの待ち状態をキャンセルしています",
        "トランザクションはローカルではすでにコミット済みですが、スタンバイ側にはレプリケーションされていない可能性があります。",
    ),
    "zh": ("由于用户要求, 同步复制的等待被取消", "事务已经在本地提交, 但有可能还没完成到备用节点的复制."),
}


@pytest.mark.parametrize("code", ["01000", "57P01"])
@pytest.mark.parametrize("language", TOLD)
def test_the_warning_is_recognised_in_any_language(language: str, code: str) -> None:
    message, detail = TOLD[language]
    assert Notice("WARNING", code, message, detail, "SyncRepWaitForLSN").doubts_replication
    assert Notice("WARNING", code, message, detail, "DefaultCitusNoticeReceiver").doubts_replication


@pytest.mark.parametrize(
    "notice",
    [
        Notice("WARNING", "01000", "es ist keine Transaktion offen", "", "EndTransactionBlock"),
        Notice("WARNING", "01000", "raised by a trigger", "with a detail", "exec_stmt_raise"),
        Notice("NOTICE", "00000", "relayed", "with a detail", "DefaultCitusNoticeReceiver"),
        Notice("WARNING", "01000", "relayed", "", "DefaultCitusNoticeReceiver"),
        Notice("WARNING", "01007", "relayed", "with a detail", "DefaultCitusNoticeReceiver"),
    ],
)
def test_no_other_message_is_taken_for_it(notice: Notice) -> None:
    assert not notice.doubts_replication


def test_all_fields_of_a_notice_are_read_and_psycopg_keeps_its_text(postgres: sql.Endpoint) -> None:
    raise_both = (
        "DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second' USING DETAIL = 'more', ERRCODE = '01007'; END $$"
    )
    with sql.session(postgres) as session:
        notices = notices_of(session)
        sql.execute(session, raise_both)
        assert list(notices) == [
            Notice("NOTICE", "00000", "first", "", "exec_stmt_raise"),
            Notice("WARNING", "01007", "second", "more", "exec_stmt_raise"),
        ]
        assert [text.split()[0] for text in session.notices] == ["NOTICE:", "WARNING:"]
        notices.clear()
        sql.execute(session, "SELECT 1")
        assert not list(notices)


GERMAN = Path("/usr/share/locale/de/LC_MESSAGES/postgres-15.mo")
BINDIR = Path("/usr/lib/postgresql/15/bin")


@pytest.mark.skipif(
    not (GERMAN.exists() and (BINDIR / "postgres").exists() and shutil.which("localedef")),
    reason="no PostgreSQL with German messages is installed here",
)
def test_a_server_that_speaks_german_puts_a_commit_in_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.utf8"]
    subprocess.run(list(map(str, made)), check=True, capture_output=True)
    monkeypatch.setenv("LOCPATH", str(tmp_path))

    statements = ["SELECT 1", "INSERT INTO written VALUES (1)"]

    def script(turn: Turn) -> Task | None:
        if turn.number == len(statements):
            return None
        return Task("try", "", None, lambda one: sql.execute(one, statements[turn.number]))

    def in_force() -> None:
        assert_that(sql.value(database, "SHOW synchronous_standby_names"), is_("niemand"))

    def end_the_wait() -> None:
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        assert_that(sql.rows(database, cancel), is_([(True,)]))

    with servers.postgres(tmp_path, free_port(), BINDIR) as database:
        sql.execute(database, "CREATE TABLE written (number integer)")
        sql.execute(database, "ALTER SYSTEM SET lc_messages = 'de_DE.utf8'")
        sql.execute(database, "ALTER SYSTEM SET synchronous_standby_names = 'niemand'")
        sql.execute(database, "SELECT pg_reload_conf()")
        eventually(in_force, within=20, subject="commits wait for a standby")
        with Workload(database, script, clients=1, patience=30) as workload:
            eventually(end_the_wait, within=20, subject="a commit waits for its standby, and is told not to")
            workload.await_end(20)
        sql.execute(database, "ALTER SYSTEM RESET synchronous_standby_names")
        sql.execute(database, "SELECT pg_reload_conf()")
    operations = list(workload.history)
    assert [one.outcome for one in operations] == [Outcome.OK, Outcome.UNKNOWN]
    assert "Die Transaktion wurde lokal bereits committet" in operations[1].error
