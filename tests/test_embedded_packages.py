"""Installing packages of the system without starting their services, and without a trace in its policy."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from support.embedded import packages
from support.embedded.packages import QUIETLY
from support.errors import UsageError
from support.waiting import eventually

DENIES = 101  # how a policy says that no service may be started


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def quietly(policy: Path, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(["sh", QUIETLY, policy, "no-such-service", "sh", "-c", command], text=True)


def own_policy(policy: Path) -> os.stat_result:
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o750)
    return policy.stat()


def test_services_are_denied_while_the_command_runs_and_no_longer(policy: Path, tmp_path: Path) -> None:
    assert quietly(policy, f"{policy} some-service start; echo $? >{tmp_path}/answer").wait() == 0
    assert (tmp_path / "answer").read_text().strip() == str(DENIES)
    assert not policy.exists()


@pytest.mark.parametrize("status", [0, 7])
def test_a_policy_that_was_there_is_there_again_unchanged(policy: Path, status: int) -> None:
    before = own_policy(policy)
    assert quietly(policy, f"{policy} || exit {status}").wait() == status
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    after = policy.stat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


def test_a_policy_that_is_a_link_to_nowhere_is_one_again(policy: Path) -> None:
    policy.symlink_to("nowhere")
    assert quietly(policy, f"test -x {policy}").wait() == 0
    assert policy.readlink() == Path("nowhere")


def test_an_interrupted_installation_restores_the_policy(policy: Path, tmp_path: Path) -> None:
    own_policy(policy)
    running = quietly(policy, f"touch {tmp_path}/begun; sleep 60")
    await_file(tmp_path / "begun")
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=5) != 0
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert sorted(tmp_path.iterdir()) == sorted([policy, tmp_path / "begun"])


@pytest.mark.parametrize("existed", [True, False])
def test_what_a_killed_installation_left_is_mended_by_the_next(policy: Path, tmp_path: Path, existed: bool) -> None:
    if existed:
        own_policy(policy)
    killed = quietly(policy, f"touch {tmp_path}/begun; exec sleep 60")
    await_file(tmp_path / "begun")
    for process in (*psutil.Process(killed.pid).children(recursive=True), killed):
        process.kill()
    killed.wait()
    (tmp_path / "begun").unlink()
    assert quietly(policy, "true").wait() == 0
    assert list(tmp_path.iterdir()) == ([policy] if existed else [])


def await_file(path: Path) -> None:
    def there() -> None:
        assert path.exists()

    eventually(there, within=5, subject=f"{path} is there")


def test_who_cannot_install_is_told_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sudo apt-get install --no-install-recommends haproxy etcd-server"):
        packages.install(["haproxy", "etcd-server"], ["haproxy", "etcd"], lambda line: None)


@pytest.mark.skipif(shutil.which("apt-get") is None or os.geteuid() != 0, reason="installs as root with apt-get")
def test_a_package_that_does_not_exist_is_told_in_apt_gets_own_words(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "UPDATE", ("true",))
    monkeypatch.setattr(packages, "POLICY", policy)
    with pytest.raises(UsageError, match=r"no-such-package could not be installed: .*Unable to locate package"):
        packages.install(["no-such-package"], [], lambda line: None)
