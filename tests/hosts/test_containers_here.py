"""Whether a container's processes are this machine's, by what its engine tells of it; without any engine."""

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from support.hosts.remote.containers import Container, State, is_here


@pytest.fixture
def first() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


ANSWER = "running|0|4711|2026-11-30T12:00:00.123456789Z|app_default|staging|{by}|{removed}|10.0.9.3  "


@pytest.mark.parametrize(
    ("by", "orchestrator"), [("", ""), ("Swarm ", "Swarm"), ("Kubernetes ", "Kubernetes"), ("Nomad ", "Nomad")]
)
def test_what_an_orchestrator_replaces_is_neither_killed_nor_started(by: str, orchestrator: str) -> None:
    """Its next task has the same volume: with the old one started again, two servers would write to one directory."""
    found = State.of(ANSWER.format(by=by, removed="false"))
    assert (found.status, found.pid, found.label, found.addresses) == ("running", 4711, "staging", ("10.0.9.3",))
    assert found.orchestrator == orchestrator
    for why in (found.why_not_killed, found.why_not_started):
        assert why.startswith(f"{orchestrator} replaces it") if orchestrator else why == ""


@pytest.mark.parametrize(
    ("said", "addresses"),
    [
        ("10.0.9.3  ", ("10.0.9.3",)),
        ("10.0.9.3 fd00::3 172.18.0.2  ", ("10.0.9.3", "fd00::3", "172.18.0.2")),
        ("10.0.9.3 invalid IP ", ("10.0.9.3",)),
        ("invalid IP invalid IP ", ()),  # with the network of its machine
        ("", ()),
    ],
)
def test_addresses_that_a_container_does_not_have_are_none(said: str, addresses: tuple[str, ...]) -> None:
    """Docker 29 has words for them. A rule for such an address would be refused, with all others of a cut."""
    told = ANSWER.format(by="", removed="false").rpartition("|")[0]
    assert State.of(f"{told}|{said}\n").addresses == addresses


def test_what_its_engine_removes_is_not_killed() -> None:
    """Its anonymous volumes are removed with it. Before that, whoever has stopped it may start it."""
    found = State.of(ANSWER.format(by="", removed="true"))
    assert "removes it when it is killed (--rm)" in found.why_not_killed
    assert found.why_not_started == ""


def _state(pid: int, started: str) -> State:
    return State("running", 0, pid, started, "bridge", "", ())


@pytest.mark.parametrize(
    "shown",
    ["%Y-%m-%dT%H:%M:%S.123456789Z", "%Y-%m-%d %H:%M:%S.123456789 +0000 UTC", "%Y-%m-%dT%H:%M:%S+00:00"],
    ids=["docker", "podman", "docker with podman"],
)
def test_a_process_that_started_when_the_container_did_is_its_first(first: int, shown: str) -> None:
    assert is_here(_state(first, time.strftime(shown, time.gmtime())))


def test_a_zone_is_understood(first: int) -> None:
    ahead = time.gmtime(time.time() + 2 * 3600)
    assert is_here(_state(first, time.strftime("%Y-%m-%d %H:%M:%S +0200 CEST", ahead)))


def test_with_the_engine_on_another_machine_a_process_here_is_a_stranger(first: int) -> None:
    """Its id is somebody else's here, whose network must not be cut."""
    an_hour_ago = time.gmtime(time.time() - 3600)
    assert not is_here(_state(first, time.strftime("%Y-%m-%dT%H:%M:%SZ", an_hour_ago)))
    assert not is_here(_state(2**22 + 1, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())))
    assert not is_here(_state(first, "whenever"))


def test_the_guard_is_given_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("DOCKER_HOST", "CONTAINER_HOST", "HOME", "SSH_AUTH_SOCK")
    for name in (*given, "DOCKER_AUTH_CONFIG", "DOCKER_PASSWORD", "SSH_AUTH_SOCKET_TOKEN"):
        monkeypatch.setenv(name, f"the value of {name}")
    monkeypatch.setattr(Container, "mark", ":")
    exported = Container("docker", "pg1").variables_beside()["EXPORTS"]
    assert all(f"export {name}=" in exported for name in given), exported
    assert "AUTH" not in exported.replace("SSH_AUTH_SOCK", "")
    assert "PASSWORD" not in exported
    assert "TOKEN" not in exported
    assert os.environ["PATH"] in exported
