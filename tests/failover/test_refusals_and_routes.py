"""A refusal that has to last, a replica that has to be missed, and slots that are no orphans."""

from collections.abc import Mapping
from typing import Any

import pytest

from support.engine.history import WriterSample
from support.failover.checks import out_of_reads, refused_until
from support.failover.replication import MemberSlot, orphans
from support.faults.nemesis import InjectedFault
from support.target.patroni import MemberView
from support.target.purposes import upstreams
from support.target.slots import slot_name


def samples(answers: str) -> list[WriterSample]:
    """One sample a second from 100 on: w writable, r refused, a dot for no answer."""
    said = {"w": True, "r": False, ".": None}
    return [WriterSample("pg1", 100.0 + at, 100.5 + at, said[one]) for at, one in enumerate(answers)]


class TestRefusedUntil:
    @pytest.mark.parametrize(
        ("answers", "holds"),
        [
            ("wwwrrrrrrr", True),
            ("www..rrr.r", True),
            ("wwwrwrrrrr", False),  # it accepts again, and the first refusal would have been enough before
            ("wwwrrrrrrw", False),
            ("wwwwwwwwww", None),
            ("www.......", None),
            ("wwwrr......", None),
        ],
    )
    def test_the_refusal_lasts(self, answers: str, holds: bool | None) -> None:
        assert refused_until(samples(answers), "pg1", since=99, until=111).holds is holds

    def test_what_happens_after_the_healing_does_not_count(self) -> None:
        assert refused_until(samples("wrrrrwww"), "pg1", since=99, until=104.6).holds is True


class TestOutOfReads:
    @pytest.mark.parametrize(
        ("sessions", "position", "holds"),
        [
            ({"pg3": 2}, "down", True),
            ({"pg3": 2}, "maint", True),
            ({"pg3": 6}, "up", False),  # none landed there by chance
            ({"pg3": 2, "pg2": 1}, "down", False),
            ({"pg3": 4, "pg4": 2}, "", True),
            ({"pg3": 6}, "", None),  # six logins met one replica of several, as with balance source
            ({"pg3": 5, "pg4": 1}, "", None),
        ],
    )
    def test_it_would_have_been_met(self, sessions: Mapping[str, int], position: str, holds: bool | None) -> None:
        assert out_of_reads("pg2", ["pg3", "pg4"], sessions, position).holds is holds

    def test_the_only_replica(self) -> None:
        assert out_of_reads("pg2", [], None, "").holds is True
        assert out_of_reads("pg2", [], {"pg1": 1}, "").holds is None
        assert out_of_reads("pg2", [], {"pg1": 8}, "").holds is True


class TestSlots:
    idle = MemberSlot("cdc", "logical", False, None, None, "reserved")

    def test_slots_that_are_kept_on_purpose(self) -> None:
        kept = MemberSlot("warehouse", "physical", False, None, None, "extended")
        used = MemberSlot("pg2", "physical", True, "pg2", "streaming", "reserved")
        assert orphans([self.idle, kept, used], ["warehouse"]) == []

    def test_orphans(self) -> None:
        forgotten = MemberSlot("forgotten", "physical", False, None, None, "reserved")
        hoarding = MemberSlot("cdc", "logical", False, None, None, "extended")
        assert [one.split()[0] for one in orphans([forgotten, hoarding], [])] == ["forgotten", "cdc"]

    def test_the_names_are_patronis(self) -> None:
        from patroni.dcs import slot_name_from_member_name  # its own rule

        for name in ("pg1", "Db-Node.2", "a b", "ü"):
            assert slot_name(name) == slot_name_from_member_name(name)

    def test_replicas_that_stream_from_another_replica(self) -> None:
        def member(name: str, **tags: Any) -> MemberView:
            return MemberView(name, "replica", "streaming", "", 0, 1, 0, tags)

        members = [
            member("pg1"),
            member("pg2"),
            member("pg3", replicatefrom="pg2"),
            member("pg4", replicatefrom="gone"),
            member("pg5", nostream=True),
        ]
        assert upstreams("pg1", members) == {"pg2": "pg1", "pg3": "pg2", "pg4": "pg1"}


def test_a_limit_counts_from_when_there_is_something_to_react_to() -> None:
    assert InjectedFault("a crash", 10, 12).counts_from == 10
    assert InjectedFault("a replica gets behind", 10, 12, builds_up=True).counts_from == 12
