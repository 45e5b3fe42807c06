"""How members' logins are tried: with any words in them, and without showing a secret."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from psycopg2.extensions import parse_dsn

from support.errors import Inconclusive
from support.failover.new_logins import _conninfo, _refusal
from support.target.member_files import MemberFiles


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
