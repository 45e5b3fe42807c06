"""A new member's Patroni begins when etcd has a quorum."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from booting import boots
from conftest import free_port
from servers import BINDIR

from support.embedded.patroni_start import LATEST, await_quorum
from support.embedded.services import PATRONI_START
from support.waiting import pause

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")


@boots
@contextmanager
def etcd(directory: Path, others: str = "") -> Iterator[str]:
    """A node of etcd, and its address; with `others` ("name=URL", not there) it has no quorum."""
    client, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    given = {
        "name": "one",
        "data-dir": str(directory / "one"),
        "listen-client-urls": f"http://{client}",
        "advertise-client-urls": f"http://{client}",
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": ",".join(["one=" + peer, *([others] if others else [])]),
    }
    options = [f"--{name}={value}" for name, value in given.items()]
    with subprocess.Popen(["etcd", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield client
        finally:
            server.kill()


def test_it_waits_until_etcd_answers(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with etcd(tmp_path) as node:
        await_quorum({"hosts": [nowhere, node]}, within=30)
        begun = time.monotonic()
        await_quorum({"hosts": [nowhere, node]}, within=30)
        assert time.monotonic() - begun < 2


def test_a_node_without_a_quorum_is_not_enough(tmp_path: Path) -> None:
    with etcd(tmp_path, others=f"two=http://127.0.0.1:{free_port()}") as node:
        done = threading.Event()
        threading.Thread(target=lambda: (await_quorum({"hosts": [node]}, within=4), done.set()), daemon=True).start()
        pause(3)
        assert not done.is_set()
        assert done.wait(10)  # it begins at last, so that Patroni says what is wrong


@boots
def patroni(file: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", PATRONI_START, file]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_member_with_data_does_not_wait(tmp_path: Path) -> None:
    """After a loss of everything, it is up to Patroni what to do without etcd."""
    (tmp_path / "data").mkdir()
    file, login = tmp_path / "patroni.yml", {"username": "nobody", "password": "x"}
    address = f"127.0.0.1:{free_port()}"
    postgresql = {
        "data_dir": str(tmp_path / "data"),
        "bin_dir": str(BINDIR),
        "listen": address,
        "connect_address": address,
        "authentication": {"superuser": login, "replication": login},
    }
    api = f"127.0.0.1:{free_port()}"
    given = {
        "scope": "alone",
        "name": "one",
        "restapi": {"listen": api, "connect_address": api},
        "etcd3": {"hosts": [f"127.0.0.1:{free_port()}"]},
        "postgresql": postgresql,
    }
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    begun = time.monotonic()
    with patroni(file) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "waiting on etcd" in line or "Failed to get list" in line)
        process.kill()
    assert said
    assert time.monotonic() - begun < LATEST
