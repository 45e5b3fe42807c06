"""Faults that are rehearsed on a real machine: it says what would be done there, and nothing is."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
from remote_hosts import Machine, ssh_hosts

from support.faults.process import Freeze, HostCrash
from support.hosts.remote import HostRefused, HostUnreached, ProgramAccess, RemoteSite
from support.hosts.remote.guards import Guards
from support.hosts.remote.machines import identities
from support.hosts.remote.rehearsal import _READS, Rehearsal, Rehearsed, Unkept, by_host
from support.waiting import NotYet, eventually


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    folder = tmp_path_factory.mktemp("rehearsal")
    with ssh_hosts(folder, "one", "other") as found:
        shutil.copy(str(shutil.which("sleep")), folder / "etcd")  # a program is known by its name
        yield dict(found)


@pytest.fixture
def site(machines: dict[str, Machine]) -> Iterator[RemoteSite]:
    one = machines["one"]
    process = one.spawn(str(one.folder.parent / "etcd"), "700")
    etcd = ProgramAccess("systemctl start etcd", hold="hold it", release="release it")
    access = {name: replace(machine.access(), programs={"etcd": etcd}) for name, machine in machines.items()}
    found = RemoteSite(access, Unkept())
    eventually(lambda: _require(found.machines["one"].powered), within=5, subject="it runs")
    before = _state(found)
    yield found
    assert _state(found) == before, "a rehearsal changes no process"
    assert {name: machine.left() for name, machine in machines.items()} == {"one": [], "other": []}
    assert {machine.call("nft", "list", "tables") for machine in machines.values()} == {""}
    process.kill()
    process.wait()


def _require(true: object) -> None:
    if not true:
        raise NotYet("not so")


def _state(site: RemoteSite) -> list[tuple[int, str]]:
    return [(one.pid, one.state) for one in site.machines["one"].running()]


def test_a_crash_is_told_with_its_undo(site: RemoteSite) -> None:
    pid = site.machines["one"].running()[0].pid
    with Rehearsal() as rehearsal:
        HostCrash(site.machines["one"]).inject()
    (heard,) = rehearsal.heard
    does, undone = "\n".join(heard.does), "\n".join(heard.undone_by)
    assert "hold it" in does
    assert "nft -f -" in does
    assert "chain input { type filter hook input priority -310;" in does
    assert f"kill -KILL {pid}" in does
    assert "release it" in undone
    assert "systemctl start etcd" in undone
    assert "nft delete table inet accept_" in undone
    assert "said" not in does + undone


def test_a_freeze_is_told_once(site: RemoteSite) -> None:
    running = site.machines["one"].running()
    with Rehearsal() as rehearsal:
        Freeze(site.machines["one"]).inject()
    (heard,) = rehearsal.heard
    assert heard.does == tuple(f"kill -STOP {one.pid}" for one in running)
    assert all(f"kill -CONT {one.pid}" in "\n".join(heard.undone_by) for one in running)


@pytest.mark.parametrize("cutter", ["nft", "iptables"])
def test_a_cut_is_told_with_its_undo(site: RemoteSite, machines: dict[str, Machine], cutter: str) -> None:
    if shutil.which(cutter, path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip(f"{cutter} is not installed here")
    access = {name: replace(machine.access(), cutter=cutter) for name, machine in machines.items()}
    cutting = RemoteSite(access, Unkept())
    with Rehearsal() as rehearsal:
        cutting.network.cut_all([("one", "other"), ("other", "one")])
    (heard,) = rehearsal.heard
    assert any(machines["other"].address in text and "drop" in text.lower() for text in heard.does)
    assert any(text.startswith(cutter) or "do " in text or cutter in text for text in heard.undone_by)


def test_a_rehearsal_leaves_the_faults_of_others_alone(site: RemoteSite, machines: dict[str, Machine]) -> None:
    """What they note of the processes that it would kill is how they find out that somebody else ended them."""
    guards, one = Guards(), site.machines["one"]
    fault = guards.inject("one", one.reach, "freeze", *identities(one.running()))
    noted = machines["one"].call("sh", "-c", "cat /run/accept/*/lasts; ls /run/accept/*")
    assert "/proc/" in noted
    with Rehearsal():
        one.reach.run("strike", "KILL", *identities(one.running()))
    assert machines["one"].call("sh", "-c", "cat /run/accept/*/lasts; ls /run/accept/*") == noted
    guards.heal(fault)
    eventually(lambda: _require(_state(site)[0][1] in "SR"), within=5, subject="it goes on")


def test_what_the_host_would_refuse_is_refused(site: RemoteSite, machines: dict[str, Machine]) -> None:
    machines["one"].mark("another")
    try:
        with Rehearsal(), pytest.raises(HostRefused, match="not marked as breakable"):
            Freeze(site.machines["one"]).inject()
    finally:
        machines["one"].mark("staging")


def test_an_unknown_verb_is_told_and_not_sent(site: RemoteSite) -> None:
    with Rehearsal() as rehearsal:
        site.machines["one"].reach.run("touch", "/run/touched")
    assert rehearsal.heard == [Rehearsed(site.machines["one"].reach.words, "touch", ("touch /run/touched",))]
    assert "touched" not in site.machines["one"].reach.run("sh", "-c", "ls /run")


def test_what_is_only_looked_at_may_take_as_long_as_in_a_run(site: RemoteSite) -> None:
    """Measuring a data directory may take minutes."""
    with Rehearsal(), pytest.raises(HostUnreached, match=r"within 0\.5 s"):
        site.machines["one"].reach.run("sh", "-c", f"{_READS}self/environ; sleep 3", within=0.5)


def test_faults_are_real_again_afterwards(site: RemoteSite) -> None:
    with Rehearsal():
        site.machines["one"].reach.run("touch", "/run/touched")
    assert site.machines["one"].reach.run("printf", "%s", "here") == "here"


def test_what_was_heard_is_told_host_by_host() -> None:
    heard = [Rehearsed("ssh://b", "cut", ()), Rehearsed("ssh://a", "down", ()), Rehearsed("beside", "outside", ())]
    assert [name for name, _ in by_host(heard, {"ssh://a": "a", "ssh://b": "b"})] == ["a", "b", "beside"]
