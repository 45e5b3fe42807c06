"""A leader that commits alone: no evidence of a lost write unless the write was stored."""

from typing import cast

import psycopg2
import pytest

from support import sql
from support.engine.isolated_leader import require_stored
from support.errors import Inconclusive

SESSION = cast(sql.Session, "the session of the leader")


def test_what_it_stored_is_there() -> None:
    stored: list[sql.Session] = []
    require_stored("pg1", SESSION, stored.append, lambda session: session in stored)


def test_a_write_that_changed_nothing_is_inconclusive() -> None:
    with pytest.raises(Inconclusive, match="pg1, cut off, did not accept an entry: it is not there"):
        require_stored("pg1", SESSION, lambda session: 0, lambda session: False)


def test_a_write_that_is_refused_is_inconclusive() -> None:
    def refuse(_: sql.Session) -> None:
        raise psycopg2.OperationalError("cannot execute UPDATE in a read-only transaction")

    with pytest.raises(Inconclusive, match=r"did not accept an entry: .*read-only transaction"):
        require_stored("pg1", SESSION, refuse, lambda session: True)
