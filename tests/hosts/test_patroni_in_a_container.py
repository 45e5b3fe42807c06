"""Patroni as the first process of a container, where it does its work in a child, as its `main` does with the id 1."""

import shutil
from collections.abc import Iterator

import pytest
from engines import Pods, engine

from support.faults.nemesis import Nemesis
from support.faults.process import PatroniFrozen
from support.hosts.remote import Guards, RemoteSite
from support.target.discovery.user_hosts import declared_access, look
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually

SCOPE = "staging"
TOPOLOGY = Topology("app", Login("app", "secret"), Address("10.0.2.1", 5000), scope=SCOPE)
_MAIN = """
import multiprocessing, subprocess, sys
beat = "import sys, time\\nwhile True: open('/tmp/' + sys.argv[1], 'a').write('.'); time.sleep(0.05)"
def work():
    subprocess.Popen(["/opt/postgres", "-c", beat, "postgres"])
    exec(beat)
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    daemon = multiprocessing.Process(target=work)
    daemon.start()
    daemon.join()
"""


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    with engine("podman", tmp_path_factory.mktemp("pods")) as found:
        yield found


def _require(true: object) -> None:
    if not true:
        raise NotYet("not so")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_patroni_hangs_where_it_works_and_its_postgresql_goes_on(pods: Pods, method: str) -> None:
    """The version of Python decides how the child is made, and so what its command line is."""
    name = f"patroni-{method}"
    opt = pods.root(name) / "opt"
    opt.mkdir(parents=True)
    for program in ("patroni", "postgres"):
        shutil.copy(str(shutil.which("python3", path="/usr/bin")), opt / program)
    (opt / "main.py").write_text(_MAIN)
    pods.run(name, "/opt/patroni", "/opt/main.py", method, options=(f"--label=accept-breakable={SCOPE}",))
    works, serves = pods.root(name) / "tmp" / method, pods.root(name) / "tmp/postgres"
    eventually(lambda: _require(works.exists() and serves.exists()), within=20, subject="both work")
    found = look("one", declared_access("one", pods.url(name)), TOPOLOGY)
    host = RemoteSite({"one": found.access}, Guards(grace=20, beat=1.0)).machines["one"]
    with Nemesis() as nemesis:
        nemesis.inject(PatroniFrozen(host))
        worked, served = works.stat().st_size, serves.stat().st_size
        eventually(lambda: _require(serves.stat().st_size > served + 10), within=20, subject="PostgreSQL goes on")
        assert works.stat().st_size == worked
    eventually(lambda: _require(works.stat().st_size > worked), within=20, subject="Patroni goes on")
