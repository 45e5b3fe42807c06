"""How members' logins are tried: with any words in them, and without showing a secret."""

import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import psycopg2
import pytest
from patronis import Member, patroni
from poolers import parameters
from psycopg2.extensions import parse_dsn
from psycopg2.extras import PhysicalReplicationConnection

from support import sql
from support.errors import Inconclusive
from support.failover import new_logins
from support.failover.new_logins import _conninfo, _refusal
from support.target.cluster import Cluster
from support.target.member_files import MemberFiles
from support.target.members import addresses_among_members
from support.target.topology import Address, Login, MemberAddress, Topology


class _Heard:
    """Files of a member that note what is run."""

    def __init__(self) -> None:
        self.words: tuple[str, ...] = ()
        self.passwords: Sequence[str] = ()

    def run(self, program: str, *arguments: str, passwords: Sequence[str] = ()) -> None:
        self.words, self.passwords = arguments, passwords


def refusal(heard: _Heard, login: dict[str, Any]) -> str:
    return _refusal(cast(MemberFiles, heard), login, {"host": "pg2", "port": 5432, "dbname": "own base"}, "SELECT 1")


def test_any_words_arrive() -> None:
    given = {
        "host": "pg2",
        "user": "o'brien",
        "sslrootcert": "/etc/my certs/ca.crt",
        "application_name": "a\\b",
        "dbname": "",
    }
    assert parse_dsn(_conninfo(given)) == given


def test_a_password_is_in_a_file_only() -> None:
    heard = _Heard()
    assert refusal(heard, {"username": "rep", "password": "a:b\\c", "sslmode": "require"}) == ""
    assert not any("a:b" in word for word in heard.words)
    assert heard.passwords == ["*:*:*:*:a\\:b\\\\c"]
    told = parse_dsn(next(word for word in heard.words if "host=" in word))
    assert (told["user"], told["sslmode"], told["dbname"]) == ("rep", "require", "own base")


def test_the_passphrase_of_a_key_is_not_shown() -> None:
    heard = _Heard()
    with pytest.raises(Inconclusive, match="passphrase"):
        refusal(heard, {"username": "rep", "sslkey": "k", "sslpassword": "hush"})
    assert heard.words == ()


class _OwnFiles(_Heard):
    """The same, with the configuration of a Patroni."""

    def configuration(self) -> dict[str, Any]:
        return {"postgresql": {"authentication": {"replication": {"username": "rep", "password": "x"}}}}


@pytest.fixture
def two_members() -> Iterator[tuple[Cluster, Member]]:
    """The suite reaches them at published ports, and they reach one another at their own addresses."""
    leader = Member("pg1", "leader", "patroni-1:5432", "patroni-1:8008", None)
    replica = Member("pg2", "replica", "patroni-2:5432", "patroni-2:8008", None)
    with patroni(leader, [leader, replica]) as first, patroni(replica, [leader, replica]) as second:
        here = "127.0.0.1"
        members = tuple(
            MemberAddress(name, Address("localhost", postgres), Address(here, rest))
            for name, postgres, rest in (("pg1", 5433, first), ("pg2", 5434, second))
        )
        site = SimpleNamespace(hosts={"pg1": "pg1", "pg2": "pg2"})
        cluster = Cluster(Topology("app", Login("app", ""), Address("localhost", 5000), members=members))
        cluster.__dict__["site"] = site
        yield cluster, replica


def test_members_log_in_to_one_another_where_they_reach_each_other(
    two_members: tuple[Cluster, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = {"pg1": _OwnFiles(), "pg2": _OwnFiles()}
    monkeypatch.setattr(new_logins, "files_of", heard.__getitem__)
    assert [one.refusal for one in new_logins.try_logins(two_members[0])] == [""] * 4
    told = {name: parse_dsn(next(word for word in one.words if "host=" in word)) for name, one in heard.items()}
    assert {name: (one["host"], one["port"]) for name, one in told.items()} == {
        "pg1": ("patroni-2", "5432"),
        "pg2": ("patroni-1", "5432"),
    }


def test_an_address_that_patroni_does_not_tell_is_not_guessed(two_members: tuple[Cluster, Member]) -> None:
    cluster, replica = two_members
    replica.own = ":5432"
    with pytest.raises(Inconclusive, match="reach the PostgreSQL of pg2"):
        addresses_among_members(cluster)


def logged_in(server: sql.Endpoint) -> PhysicalReplicationConnection:
    """A standby that logs in to stream, and does not begin."""
    session: PhysicalReplicationConnection = psycopg2.connect(
        **parameters(server), application_name="pg2", connection_factory=PhysicalReplicationConnection
    )
    return session


@pytest.mark.parametrize("again", [True, False], ids=["let in", "locked out"])
def test_whether_a_replica_that_does_not_stream_was_let_in(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(new_logins, "purposes", lambda _: {"pg2": SimpleNamespace(source="pg1")})
    cluster = cast(Cluster, SimpleNamespace(administration_of=lambda name: postgres))
    opened = [logged_in(postgres)]
    later = threading.Timer(0.3, lambda: opened.append(logged_in(postgres)))
    if again:
        later.start()
    found = new_logins.end_and_await(cluster, "pg2", within=1.5)
    later.cancel()
    assert (found.seconds, found.let_in) == (None, again)
    assert found.instead == ("a session that is startup" if again else "no session of it")
    assert 1.4 < found.ended - found.begun < 10
    for one in opened:
        one.close()
