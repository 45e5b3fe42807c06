"""What an error of a real PostgreSQL means for the operation that met it; sessions and their time limits."""

import ast
import os
import re
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg2
import pytest
from bounds import takes_less_than

from support import sql
from support.engine.history import History, Outcome
from support.engine.workload import Client, Task, outcome_of
from support.errors import ConnectFailed, NotTried
from support.places import ROOT
from support.sql.errors import not_tried
from support.timeouts import STATEMENT
from support.waiting import NotYet, eventually

_OF_SQL = re.compile(r"\b(SELECT|FROM|WHERE|AND|BEGIN|SET|VALUES|LIKE|WHEN)\b")
_LITERAL = re.compile(r"(\b[Ee])?'((?:[^'\\]|\\.|'')*)'", re.DOTALL)


@pytest.fixture
def table(postgres):
    """A table with one row; a duplicate is noticed at once in `id`, and at commit in `late`."""
    sql.execute(postgres, "CREATE TABLE claims (id int PRIMARY KEY, late int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    sql.execute(postgres, "INSERT INTO claims VALUES (1, 1)")
    yield postgres
    sql.execute(postgres, "DROP TABLE claims")


def error_of(session: sql.Session, statement: str) -> sql.Error:
    with pytest.raises(sql.Error) as caught:
        sql.execute(session, statement)
    return caught.value


def await_running(endpoint: sql.Endpoint, statement: str) -> int:
    """The process id of the backend that runs that statement."""

    def running() -> int:
        query = "SELECT pid FROM pg_stat_activity WHERE query = %s AND state = 'active'"
        if not (found := sql.rows(endpoint, query, [statement])):
            raise NotYet("it does not run")
        return int(found[0][0])

    return eventually(running, within=5, subject="the statement runs")


def killed_while_running(endpoint: sql.Endpoint, statement: str) -> sql.Error:
    """The error of an autocommitted statement whose backend is terminated in the middle of it."""
    caught: list[sql.Error] = []

    def work() -> None:
        with sql.session(endpoint) as session:
            caught.append(error_of(session, statement))

    worker = threading.Thread(target=work)
    worker.start()
    pid = await_running(endpoint, statement)
    sql.value(endpoint, "SELECT pg_terminate_backend(%s)", [pid])
    worker.join(10)
    return caught[0]


def test_what_the_server_refused_certainly_did_not_happen(table):
    with sql.session(table) as session:
        error = error_of(session, "INSERT INTO claims VALUES (1, 2)")
    assert outcome_of(error, committing=True) is Outcome.FAIL
    assert sql.condition_of(error) == "unique violation"


def test_what_the_server_refused_at_commit_certainly_did_not_happen(table):
    with sql.session(table, autocommit=False) as session:
        sql.execute(session, "INSERT INTO claims VALUES (2, 1)")
        with pytest.raises(sql.Error) as caught:
            session.commit()
    assert outcome_of(caught.value, committing=True) is Outcome.FAIL
    assert sql.value(table, "SELECT count(*) FROM claims") == 1


def test_nobody_can_tell_what_became_of_a_commit_that_timed_out(table):
    with sql.session(table, statement_timeout=0.1) as session:
        error = error_of(session, "INSERT INTO claims SELECT 3, 3 FROM pg_sleep(5)")
    assert sql.condition_of(error) == "query canceled"
    assert outcome_of(error, committing=True) is Outcome.UNKNOWN
    assert outcome_of(error, committing=False) is Outcome.FAIL


def test_nobody_can_tell_what_became_of_a_commit_whose_session_was_cut(table):
    error = killed_while_running(table, "INSERT INTO claims SELECT 4, 4 FROM pg_sleep(30)")
    assert outcome_of(error, committing=True) is Outcome.UNKNOWN


def test_a_session_cut_before_the_commit_was_sent_certainly_wrote_nothing(table):
    error = killed_while_running(table, "INSERT INTO claims SELECT 5, 5 FROM pg_sleep(30)")
    assert outcome_of(error, committing=False) is Outcome.FAIL


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        *((code, Outcome.FAIL) for code in ("23505", "40001", "40P01", "53100", "25006", "P0001", "42501", "22001")),
        # PgBouncer tells a server connection that died as 08P01; nobody knows an "AB123".
        *((code, Outcome.UNKNOWN) for code in ("08P01", "08006", "40003", "57P02", "57014", "58030", "XX000", "AB123")),
    ],
)
def test_only_what_is_known_to_be_an_abort_certainly_did_not_happen(table, code, outcome):
    with sql.session(table) as session:
        error = error_of(session, f"DO $$ BEGIN RAISE EXCEPTION 'told' USING ERRCODE = '{code}'; END $$")
    assert error.pgcode == code
    assert outcome_of(error, committing=True) is outcome
    assert outcome_of(error, committing=False) is Outcome.FAIL


def test_a_connection_closed_without_a_word_leaves_the_commit_unknown():
    error = sql.Error("server closed the connection unexpectedly")
    assert error.pgcode is None
    assert outcome_of(error, committing=True) is Outcome.UNKNOWN


def test_without_a_login_nothing_was_sent(postgres):
    with pytest.raises(ConnectFailed) as caught:
        sql.connect(replace(postgres, password="wrong-on-purpose"))
    assert outcome_of(caught.value, committing=True) is Outcome.FAIL
    assert "wrong-on-purpose" not in str(caught.value)
    assert f"127.0.0.1:{postgres.port}" in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"password": "wrong-on-purpose"}, {"user": "nobody-at-all"}, {"database": "no such database"}]
)
def test_a_login_that_was_refused_for_good_is_told_from_one_that_was_not_answered(postgres, wrong):
    with pytest.raises(ConnectFailed) as refused:
        sql.connect(replace(postgres, **wrong))
    with pytest.raises(ConnectFailed) as unanswered:
        sql.connect(replace(postgres, port=1))
    assert sql.tells_of_refusal(str(refused.value))
    assert not sql.tells_of_refusal(str(unanswered.value))


NOWHERE = sql.Endpoint("a server", "127.0.0.1", 1, "db", "jo", "x")


@contextmanager
def no_file_descriptor_left() -> Iterator[None]:
    free, limits = os.dup(0), resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_login_that_this_machine_could_not_try_is_no_error_of_the_server():
    with no_file_descriptor_left(), pytest.raises(NotTried, match="this machine could not try"):
        sql.error_of(lambda: sql.connect(NOWHERE))
    refused = sql.error_of(lambda: sql.connect(NOWHERE))
    assert isinstance(refused, ConnectFailed)
    assert not isinstance(refused, NotTried)


def test_what_a_client_could_not_try_is_told_from_what_was_refused():
    client = Client(0, NOWHERE, History(), patience=2)
    task = Task("ask", "a question", None, lambda session: None)
    with no_file_descriptor_left():
        untried = client.perform(task)
    refused = client.perform(task)
    assert (untried.outcome, untried.tried) == (Outcome.FAIL, False)
    assert (refused.outcome, refused.tried) == (Outcome.FAIL, True)


TO_A_SERVER = 'connection to server at "10.0.0.1", port 5432 failed: '
NO_NAME_SERVER = 'could not translate host name "db1" to address: Temporary failure in name resolution\n'


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (NO_NAME_SERVER, True),
        (f"{TO_A_SERVER}Connection refused\n\tIs the server running there?\n{NO_NAME_SERVER}", True),
        (f"{TO_A_SERVER}could not create socket: Too many open files in system\n", True),
        ('could not translate host name "db1" to address: Name or service not known\n', False),
        (f'{TO_A_SERVER}FATAL:  could not open file "base/1/2": Too many open files in system\n', False),
        (f"{TO_A_SERVER}Connection refused\n", False),
    ],
)
def test_what_this_machine_lacks_is_told_from_what_the_server_lacks(words, expected):
    assert not_tried(psycopg2.OperationalError(words)) is expected


def test_a_host_that_accepts_and_never_answers_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with takes_less_than(4), pytest.raises(ConnectFailed, match=rf"127\.0\.0\.1:{port}/.*timeout expired"):
            sql.connect(sql.Endpoint("a silent host", "127.0.0.1", port, "db", "jo", "x"), connect_timeout=2)


def test_a_session_that_ends_right_after_the_login_is_a_login_that_failed():
    """So says a pooler that finds no server behind it, or a server that is shutting down."""

    def parameter(name: str, value: str) -> bytes:
        text = f"{name}\0{value}\0".encode()
        return b"S" + (len(text) + 4).to_bytes(4, "big") + text

    accepted = b"R\0\0\0\x08\0\0\0\0" + parameter("client_encoding", "UTF8") + parameter("server_version", "16.4")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client:
                client.recv(4096)
                client.sendall(accepted + parameter("DateStyle", "ISO, MDY") + b"Z\0\0\0\x05I")
                client.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        port: int = server.getsockname()[1]
        where = sql.Endpoint("a hasty server", "127.0.0.1", port, "db", "user", "x", {"sslmode": "disable"})
        with pytest.raises(ConnectFailed, match=r"a hasty server.*the session ended right after the login"):
            sql.connect(where)


def test_a_session_commits_each_statement_unless_told_otherwise(table):
    with sql.session(table) as session:
        sql.execute(session, "INSERT INTO claims VALUES (6, 6)")
    with sql.session(table, autocommit=False) as session:
        sql.execute(session, "INSERT INTO claims VALUES (7, 7)")
    assert sql.rows(table, "SELECT id FROM claims ORDER BY id") == [(1,), (6,)]


def test_a_value_that_is_not_there_is_no_value(table):
    with pytest.raises(LookupError, match="no row from"):
        sql.value(table, "SELECT id FROM claims WHERE id = 99")


@pytest.mark.parametrize("what", ["a statement", "a commit"])
def test_a_server_that_never_answers_is_hung_up_on(postgres: sql.Endpoint, what: str) -> None:
    with sql.session(postgres, autocommit=False) as session:
        backend = int(sql.value(session, "SELECT pg_backend_pid()"))
        session.answers_within = 0.5
        os.kill(backend, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            with pytest.raises(
                sql.Error, match=rf"answer within 0\.5 s; connection closed.* backend {backend} "
            ) as caught:
                sql.execute(session, "SELECT 1") if what == "a statement" else session.commit()
            assert 0.4 < time.monotonic() - begun < STATEMENT, "long before a statement's timeout"
            assert outcome_of(caught.value, committing=True) is Outcome.UNKNOWN
        finally:
            os.kill(backend, signal.SIGCONT)
    assert sql.value(postgres, "SELECT 1") == 1


def test_no_literal_means_something_else_where_standard_conforming_strings_is_off():
    """There a backslash in a literal escapes what follows it; in E'' it does everywhere."""

    def text_of(node: ast.AST) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(text_of(part) for part in node.values)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""

    modules = [file for folder in ("support", "steps") for file in sorted((ROOT / folder).rglob("*.py"))]
    texts = {
        text: f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in modules
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr) and (text := text_of(node))
    }
    statements = {text: place for text, place in texts.items() if _OF_SQL.search(text)}
    literals = [(place, *found.groups()) for text, place in statements.items() for found in _LITERAL.finditer(text)]
    assert len(literals) > 100
    assert any(escaped for _, escaped, _ in literals), "an E'' is found"
    assert [(place, text) for place, escaped, text in literals if "\\" in text and not escaped] == []


IN_LATIN = r"FATAL: .*(Bibliothek f\ufffdr Sch\ufffdtze|not in UTF-8)"
"""The refusal; some Pythons do not tell its words."""


@pytest.fixture
def in_latin(postgres):
    """A database that talks to its clients in Latin-1, and lets a role in only as far as that it refuses it."""
    sql.execute(postgres, "CREATE DATABASE latin ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    there = replace(postgres, database="latin")
    sql.execute(there, "CREATE ROLE latin LOGIN PASSWORD 'x'")
    sql.execute(there, r"ALTER ROLE latin SET session_preload_libraries = E'Bibliothek f\xfcr Sch\xe4tze'")
    yield there.as_user("latin", "x")
    sql.execute(postgres, "DROP DATABASE latin")
    sql.execute(postgres, "DROP ROLE latin")


def test_a_refusal_whose_words_are_not_in_utf_8_is_a_failed_login(in_latin):
    with pytest.raises(ConnectFailed, match=rf"no login after .* s: .*{IN_LATIN}"):
        sql.connect(in_latin)
    given = {"host": in_latin.host, "port": str(in_latin.port), "dbname": "latin", "user": "latin", "password": "x"}
    with pytest.raises(ConnectFailed, match=rf"the endpoint: no login: .*{IN_LATIN}"):
        sql.effective("the endpoint", given)
