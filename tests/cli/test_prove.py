"""`accept prove` on a real cluster, which it boots, breaks and heals."""

import re
from pathlib import Path

import pytest
from program import Ended, Program, copy
from sandboxes import require

from support.sabotage.catalogue import SABOTAGES

FAST = (
    "fsync-off",
    "values-are-trimmed",
    "checks-swapped",
    "redis-without-eviction",
    "application-pool-lends-the-dead",
    "cache-never-caches",
)
"""Sabotages of six components, a few seconds each."""
CONTROLS = """
from support.sabotage.damage import Damage
from support.sabotage.postgres import SABOTAGES as OF_POSTGRES
from support.waiting import NotYet

(FSYNC_OFF,) = [one for one in OF_POSTGRES if one.name == "fsync-off"]

def _in_vain(cluster):
    def seen():
        raise NotYet("it did nothing")
    return Damage("nothing is done", lambda: None, seen, lambda: None)

SABOTAGES = (
    Sabotage("does-nothing", "nothing", notices({"PH-06 durability": "fsync"}), nothing),
    Sabotage("in-vain", "nothing, and it says so", notices({"PH-06 durability": "fsync"}), _in_vain),
    Sabotage("misunderstood", "what nobody speaks of", notices({"PH-06 durability": "the weather"}), FSYNC_OFF.damage),
)
"""
DURABILITY = "PH-06 No member gives up durability for speed"
LONGEST = 600  # seconds; on a busy machine
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONGEST + 20)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    require("namespaces")
    return copy(tmp_path_factory.mktemp("project"))


def prove(program: Program, *words: str) -> Ended:
    return program.run("prove", *words, "--workers", "0", timeout=LONGEST)


def test_sabotages_are_noticed(program: Program) -> None:
    ended = prove(program, *FAST)
    assert ended.status == 0, str(ended)
    assert f"{len(FAST)} of {len(FAST)} sabotages noticed by every scenario that must notice" in ended.last_line, str(
        ended
    )
    assert "0 false alarms in 3 healthy runs" in ended.last_line, str(ended)
    page = (program.project / "allure-report" / "trust.html").read_text(encoding="utf-8")
    assert all(name in page for name in FAST)
    assert "fsync: expected on, observed off" in page, "the message is kept"


def test_an_unnoticed_sabotage_fails_the_command(program: Program) -> None:
    """So does one that takes no effect, and one that is noticed for the wrong reason."""
    control = program.project / "support" / "sabotage" / "driver.py"
    control.write_text(f"{control.read_text()}\n{CONTROLS}")
    ended = prove(program, "does-nothing", "in-vain", "misunderstood")
    said = " ".join(ended.out.split())
    assert ended.status == 1, str(ended)
    assert ended.last_line.startswith("0 of 3 sabotages noticed"), str(ended)
    assert f"does-nothing, {DURABILITY}: passed: it passed all the same" in said, str(ended)
    assert "in-vain: NotInTime: it took effect: nothing is done: still not true after" in said, str(ended)
    assert f"misunderstood, {DURABILITY}: broken: its message does not match 'the weather'" in said, str(ended)


def test_an_interrupted_proof_is_continued(program: Program) -> None:
    """Sabotages and their results from before count; the next ones are tried on a cluster of their own."""
    three = FAST[:3]
    with program.started("prove", *three, "--workers", "0") as running:
        assert running.stdout is not None
        first = next((line for line in running.stdout if ": noticed: " in line), "")
        assert DURABILITY in first
        running.terminate()
        rest, _ = running.communicate(timeout=60)
    assert running.returncode == 130, rest
    assert "1 of 3 sabotages noticed" in rest
    assert not list(program.project.glob(".accept/claims-*")), "the clusters are gone"
    ended = prove(program, *three, "--continue")
    assert ended.status == 0, str(ended)
    assert "continuing: 1 sabotage of 3 tried before" in str(ended)
    assert "3 of 3 sabotages noticed" in ended.last_line, str(ended)
    changed = program.run("prove", *FAST[:2], "--workers", "0", "--continue", timeout=LONGEST)
    assert changed.status != 0
    assert "have changed since that proof began" in str(changed)


def test_the_sabotages_are_listed_with_who_must_notice(tmp_path: Path) -> None:
    listed = copy(tmp_path).run("prove", "--list")
    assert listed.status == 0, str(listed)
    assert re.search(r"^fsync-off +PH-06\n    PostgreSQL does not flush", listed.out, re.M), str(listed)
    assert [name for name in SABOTAGES if name not in listed.out] == []
