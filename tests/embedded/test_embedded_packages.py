"""Installing system packages: no service starts, the policy is restored, and the right packages bring Citus."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from support.embedded import packages
from support.embedded.packages import QUIETLY
from support.embedded.programs import citus_packages
from support.errors import UsageError
from support.waiting import eventually

DENIES = 101  # the exit status of a policy that forbids services to start
VECTORS = ["postgresql-16-pgvector", "postgresql-17-pgvector", "postgresql-15-pgvector"]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def quietly(policy: Path, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(["sh", QUIETLY, policy, "no-such-service", "sh", "-c", command], text=True)


def own_policy(policy: Path) -> os.stat_result:
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o750)
    return policy.stat()


def test_services_are_denied_only_while_the_command_runs(policy: Path, tmp_path: Path) -> None:
    assert quietly(policy, f"{policy} some-service start; echo $? >{tmp_path}/answer").wait() == 0
    assert (tmp_path / "answer").read_text().strip() == str(DENIES)
    assert not policy.exists()


@pytest.mark.parametrize("status", [0, 7])
def test_an_existing_policy_is_restored_unchanged(policy: Path, status: int) -> None:
    before = own_policy(policy)
    assert quietly(policy, f"{policy} || exit {status}").wait() == status
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    after = policy.stat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


def test_a_policy_that_is_a_dangling_link_is_restored(policy: Path) -> None:
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
def test_the_next_installation_repairs_what_a_killed_one_left(policy: Path, tmp_path: Path, existed: bool) -> None:
    if existed:
        own_policy(policy)
    killed = quietly(policy, f"touch {tmp_path}/begun; exec sleep 60")
    await_file(tmp_path / "begun")
    for process in psutil.Process(killed.pid).children(recursive=True):
        process.kill()
    killed.kill()
    killed.wait()
    (tmp_path / "begun").unlink()
    assert quietly(policy, "true").wait() == 0
    assert list(tmp_path.iterdir()) == ([policy] if existed else [])


def await_file(path: Path) -> None:
    def there() -> None:
        assert path.exists()

    eventually(there, within=5, subject=f"{path} exists")


def test_a_user_who_cannot_install_is_told_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sudo apt-get install --no-install-recommends haproxy etcd-server"):
        packages.install(["haproxy", "etcd-server"], ["haproxy", "etcd"], lambda line: None)


@pytest.mark.skipif(shutil.which("apt-get") is None or os.geteuid() != 0, reason="installs as root with apt-get")
def test_a_missing_package_is_reported_in_apt_gets_own_words(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "UPDATE", ("true",))
    monkeypatch.setattr(packages, "POLICY", policy)
    with pytest.raises(UsageError, match=r"no-such-package could not be installed: .*Unable to locate package"):
        packages.install(["no-such-package"], [], lambda line: None)


@pytest.mark.parametrize(
    ("known", "citus"),
    [
        (["postgresql-16-citus-12.1", "postgresql-17-citus-13.0"], "postgresql-17-citus-13.0"),
        (
            ["postgresql-17-citus-13.0", "postgresql-17-citus-13.10", "postgresql-17-citus-13.2"],
            "postgresql-17-citus-13.10",
        ),
        (["postgresql-16-citus"], "postgresql-16-citus"),
    ],
)
def test_the_newest_citus_for_the_newest_postgresql_is_chosen(known: list[str], citus: str) -> None:
    major = citus.split("-")[1]
    assert citus_packages([*known, *VECTORS]) == (f"postgresql-{major}", f"postgresql-{major}-pgvector", citus)


@pytest.mark.parametrize(
    "known",
    [
        [],
        VECTORS,
        ["postgresql-15-citus-12.1", *VECTORS],
        ["postgresql-16-citus-12.1-dbgsym", *VECTORS],
        ["postgresql-18-citus-14.0", *VECTORS],
    ],
)
def test_citus_without_a_vector_extension_or_for_an_old_postgresql_is_not_chosen(known: list[str]) -> None:
    assert citus_packages(known) == ()
