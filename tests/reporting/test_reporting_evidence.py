"""The evidence of a failure, read from a real database, and the masking of passwords in it."""

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import allure_commons
import pytest
from conftest import free_port
from hypothesis import given
from hypothesis import strategies as st
from redis_servers import running

from support import sql
from support.errors import Inconclusive, NotInTime
from support.hosts.interface import Clock
from support.hosts.processes import LogFile
from support.reporting.evidence import LONGEST, MASK, SHORTEST, Evidence, Redactor, collect, written_since
from support.reporting.fault_record import FaultRecord, MemberState, fault_record_of
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, RedisAddress, StatisticsPage, Topology


class Attachments:
    """Stands where Allure's formatter stands, and keeps what is attached."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    @allure_commons.hookimpl
    def attach_data(self, body: str, name: str, attachment_type: object, extension: str | None) -> None:
        self.texts[name] = body


@pytest.fixture
def attached() -> Iterator[dict[str, str]]:
    attachments = Attachments()
    allure_commons.plugin_manager.register(attachments)
    yield attachments.texts
    allure_commons.plugin_manager.unregister(attachments)


@pytest.fixture
def cluster(postgres: sql.Endpoint) -> Cluster:
    login = Login(postgres.user, postgres.password)
    return Cluster(Topology(postgres.database, login, Address(postgres.host, postgres.port)))


def test_the_statement_that_failed_is_shown_with_its_error(cluster: Cluster, attached: dict[str, str]) -> None:
    since = time.time()
    error = sql.error_of(lambda: sql.rows(cluster.write, "SELECT 1 / 0 FROM pg_class WHERE relname = %s", ["pg_class"]))
    collect(cluster, Evidence(), since, error)
    text = attached["SQL and its plan"]
    assert "SELECT 1 / 0 FROM pg_class WHERE relname = 'pg_class'" in text
    assert "division by zero" in text


def test_the_cause_of_an_error_counts_as_well(cluster: Cluster, attached: dict[str, str]) -> None:
    wrapped = AssertionError("the count is right")
    wrapped.__cause__ = sql.error_of(lambda: sql.rows(cluster.write, "SELECT nothing FROM pg_class"))
    collect(cluster, Evidence(), time.time(), wrapped)
    assert 'column "nothing" does not exist' in attached["SQL and its plan"]


def test_an_error_whose_cause_was_raised_again_is_looked_at_once(cluster: Cluster, attached: dict[str, str]) -> None:
    """As where a wait ends with the reason that was last observed: that reason's context leads back to itself."""
    since = time.time()
    sql.rows(cluster.write, "SELECT 'seen last'")

    def last_reason_again() -> None:
        unknown = Inconclusive("nothing is known")
        try:
            raise NotInTime("it is so", "nothing", 1, 1) from unknown
        except NotInTime:
            raise unknown from None

    with pytest.raises(Inconclusive) as raised:
        last_reason_again()
    collect(cluster, Evidence(), since, raised.value)
    assert "SELECT 'seen last'" in attached["SQL and its plan"]


def test_a_broken_promise_shows_the_last_statements_and_a_plan(cluster: Cluster, attached: dict[str, str]) -> None:
    sql.value(cluster.write, "SELECT count(*) AS earlier FROM pg_proc")
    since = time.time()
    sql.value(cluster.write, "SELECT count(*) AS later FROM pg_class")
    collect(cluster, Evidence(), since, AssertionError("it is quick"))
    text = attached["SQL and its plan"]
    assert "AS later" in text
    assert "AS earlier" not in text
    assert "Scan" in text.partition("AS later")[2]


def test_a_plan_is_never_a_way_to_write(cluster: Cluster, attached: dict[str, str]) -> None:
    sql.execute(cluster.write, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
    since = time.time()
    error = sql.error_of(lambda: sql.execute(cluster.write, "SELECT 1/0; COMMIT; DELETE FROM kept"))
    collect(cluster, Evidence(), since, error)
    assert "no plan: it may be more than one statement" in attached["SQL and its plan"]
    assert sql.value(cluster.write, "SELECT count(*) FROM kept") == 1


def test_what_cannot_be_had_is_said(attached: dict[str, str], tmp_path: Path) -> None:
    nowhere = Address("127.0.0.1", 1)
    topology = Topology(
        "postgres",
        Login("app", "a-password"),
        nowhere,
        members=(MemberAddress("one", nowhere, nowhere),),
        statistics=StatisticsPage("http://127.0.0.1:1/stats"),
    )
    error = sql.error_of(lambda: sql.rows(Cluster(topology).write, "SELECT 1"))
    collect(Cluster(topology), Evidence(Redactor(["a-password"])), time.time(), error)
    assert attached["Patroni's view"].startswith("could not be read: NotYet: no member's Patroni answered")
    assert attached["HAProxy's view"].startswith("could not be read: ConnectionError")
    assert not [name for name in attached if name.startswith("log")]


def test_redis_tells_its_state_where_there_is_one(cluster: Cluster, attached: dict[str, str], tmp_path: Path) -> None:
    collect(cluster, Evidence(), time.time())
    assert "Redis' view" not in attached
    with running(tmp_path, free_port(), ["--requirepass", "a-password", "--maxmemory", "8mb"], "a-password") as server:
        address = Address("127.0.0.1", server.port)
        known = Cluster(replace(cluster.topology, redis=RedisAddress(address, "a-password")))
        collect(known, Evidence(Redactor(["a-password"])), time.time())
        assert f"{address}: Redis " in attached["Redis' view"]
        assert "maxmemory: 8388608" in attached["Redis' view"]
        assert "evicted_keys: 0" in attached["Redis' view"]
    collect(known, Evidence(), time.time())
    assert attached["Redis' view"].startswith(f"{address}: does not answer: ")


def test_a_sandbox_that_is_gone_is_said(attached: dict[str, str], tmp_path: Path, cluster: Cluster) -> None:
    collect(Cluster(replace(cluster.topology, sandbox=tmp_path)), Evidence(), time.time())
    assert attached["logs"].startswith("could not be read: ")


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    "form",
    [
        "{date},123 patroni INFO: {said}",
        "{date}.123 UTC [7] LOG: {said}",
        '{{"level":"warn","ts":"{iso}Z","msg":"{said}"}}',
        "<5>{iso}.123456+00:00 {said}",
        "7:M {redis}.123 * {said}",
    ],
    ids=["Patroni", "PostgreSQL", "etcd", "HAProxy", "Redis"],
)
def test_a_log_is_cut_to_the_time_of_the_scenario(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = 1_800_000_000.0

    def line(moment: float, said: str) -> str:
        date = datetime.fromtimestamp(moment)
        return form.format(
            date=stamp(moment),
            iso=date.strftime("%Y-%m-%dT%H:%M:%S"),
            redis=date.strftime("%d %b %Y %H:%M:%S"),
            said=said,
        )

    log = tmp_path / "a.log"
    log.write_text("\n".join([line(now - 60, "before"), line(now + 1, "within"), "a line that belongs to it"]))
    text = written_since(LogFile(log), now)
    assert "before" not in text
    assert "within" in text
    assert text.endswith("a line that belongs to it")


def test_a_log_in_which_nothing_happened_says_so(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{stamp(1000)} LOG: long ago {number}\n" for number in range(90)))
    first, *lines = written_since(LogFile(log), time.time()).splitlines()
    assert first == "(no line is dated within the scenario; these are the last lines)"
    assert lines[-1].endswith("long ago 89"), "its clock may be wrong"
    assert len(lines) < 20
    log.write_text("")
    assert written_since(LogFile(log), time.time()) == "(it is empty)"


def test_a_log_of_a_host_in_another_time_zone_is_cut_by_its_clock(tmp_path: Path) -> None:
    now, log = time.time(), tmp_path / "a.log"
    there = Clock(-18000.0 + datetime.now().astimezone().utcoffset().total_seconds())  # type: ignore[union-attr]
    log.write_text(f"{stamp(now - 18060)} LOG: before\n{stamp(now - 18000)} PANIC: within\n")
    assert written_since(LogFile(log), now, there) == f"{stamp(now - 18000)} PANIC: within"


def test_a_long_log_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(LONGEST + 5)))
    lines = written_since(LogFile(log), 0).splitlines()
    assert lines[0] == "(the first 5 lines are left out)"
    assert (lines[1], lines[-1]) == ("line 5", f"line {LONGEST + 4}")


def test_a_log_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert "No such file" in written_since(LogFile(tmp_path / "none.log"), 0)


ODD = "pä ss/w\"o'r\\d&="


@pytest.mark.parametrize(
    "text",
    [
        ODD,
        f"password={ODD} host=db",
        json.dumps({"password": ODD}),
        json.dumps({"password": ODD}, ensure_ascii=False),
        f"postgresql://app:{quote(ODD, safe='')}@db/postgres",
        f"http://stats:{quote_plus(ODD)}@proxy/",
        "\"ALTER ROLE app PASSWORD '{}'\"".format(ODD.replace('"', '""')),
        "ALTER ROLE app PASSWORD '{}'".format(ODD.replace("'", "''")),
    ],
)
def test_a_secret_is_masked_in_every_form(text: str) -> None:
    masked = Redactor([ODD]).mask(text)
    assert MASK in masked
    assert "ss/w" not in masked
    assert "ss%2Fw" not in masked


def test_json_stays_json(attached: dict[str, str]) -> None:
    """Whatever the password is: here it is in numbers, in names and in values."""
    evidence, moment = Evidence(Redactor(["1234"])), 1700012345.1234
    evidence.attach_json("facts", {"1234": ["it is 1234", moment, None]})
    assert json.loads(attached["facts"]) == {"1234": [f"it is {MASK}", moment, None]}
    [period] = (MemberState("db1234", "writes", 1234.0, 1234.5),)
    evidence.attach_data("timeline", FaultRecord("FO-01", moment, 9.0, (period,)).json)
    assert fault_record_of(attached["timeline"]) == FaultRecord(
        "FO-01", moment, 9.0, (replace(period, member=f"db{MASK}"),)
    )
    Evidence(Redactor(["writes"])).attach_data("timeline", FaultRecord("FO-01", moment, 9.0, (period,)).json)
    assert fault_record_of(attached["timeline"]) == FaultRecord("FO-01", moment, 9.0, (period,))


def test_lines_of_json_stay_such(attached: dict[str, str]) -> None:
    lines = ['{"at": 1234.5, "by": "1234"}', '{"at": 2.0}', "1234, and no JSON", ""]
    Evidence(Redactor(["1234"])).attach_lines("lines", "\n".join(lines))
    packed: Any = attached["lines"]
    assert gzip.decompress(packed).decode().split("\n") == [
        f'{{"at": 1234.5, "by": "{MASK}"}}',
        '{"at": 2.0}',
        f"{MASK}, and no JSON",
        "",
    ]


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    assert Redactor(["secret", "secret-of-redis"]).mask("it is secret-of-redis") == f"it is {MASK}"


def test_what_is_no_secret_stays() -> None:
    assert Redactor([None, "", "abc"]).mask("abc is too short to hide") == "abc is too short to hide"


LETTERS = "ab"  # so few that a secret often overlaps what is around it


@given(st.text(LETTERS, min_size=SHORTEST, max_size=6), st.text(LETTERS), st.text(LETTERS))
def test_nothing_around_a_secret_brings_it_back(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).mask(before + secret + after)


@given(st.text(min_size=SHORTEST, alphabet="abcdefgh"), st.binary())
def test_bytes_are_masked_as_texts_are(secret: str, around: bytes) -> None:
    assert secret.encode() not in Redactor([secret]).mask_bytes(around.upper() + secret.encode() + around.upper())
