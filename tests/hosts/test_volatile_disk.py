"""A host's directory on a disk with a volatile cache: real files, through a real mount, and real power failures."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sandboxes import NOBODY, begin, directory_of, in_a_sandbox, living_sandbox, require

from support.errors import NotAvailable, ProcessFailed
from support.hosts import Host, Sandbox, attach, state, why_not_fuse
from support.hosts.unsynced import Lost
from support.waiting import eventually

OPENED = """
import os, sys
os.chdir(sys.argv[1])
open_ = lambda name, flags=0: os.open(name, os.O_RDWR | flags, 0o600)
"""

WRITER = """
f = open_('busy', os.O_CREAT)
while True:
    os.pwrite(f, bytes(1 << 20), 0)
    os.fsync(f)
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with living_sandbox("namespaces", tmp_path / "sandbox") as sandbox:
        if reason := why_not_fuse():
            pytest.skip(reason)
        made = sandbox.add_host("one", 11)
        (made.directory / "data").mkdir()
        made.set_volatile(data_of(made), True)
        restart(made)
        yield made


def data_of(host: Host) -> Path:
    return host.directory / "data"


def restart(host: Host) -> None:
    host.power_off()
    host.power_on()


def disks_of(host: Host) -> list[psutil.Process]:
    """The processes that serve its sandbox's volatile directories."""
    below = psutil.Process(state.read(host.sandbox).supervisor).children()
    return [one for one in below if one.name() == "accept-disk"]


def does(host: Host, script: str) -> str:
    return host.run([sys.executable, "-S", "-c", OPENED + script, str(data_of(host))]).stdout


def power_fails(host: Host) -> Lost:
    host.power_off()
    (lost,) = host.lose_unsynced().values()
    return lost


def test_what_was_written_after_the_last_sync_is_lost_in_a_power_failure(host: Host) -> None:
    does(host, "f = open_('a', os.O_CREAT); os.write(f, b'synced'); os.fsync(f); os.pwrite(f, b'UNSYNCED', 3)")
    assert does(host, "print(open('a').read())") == "synUNSYNCED\n"
    lost = power_fails(host)
    assert (lost.files, lost.kept) == (1, 6)
    assert (data_of(host) / "a").read_text() == "synced"
    host.power_on()
    assert does(host, "print(open('a').read())") == "synced\n"


def test_fdatasync_and_synchronous_writes_are_kept(host: Host) -> None:
    does(host, "f = open_('a', os.O_CREAT); os.write(f, b'first'); os.fdatasync(f)")
    does(host, "f = open_('b', os.O_CREAT | os.O_DSYNC); os.write(f, b'second')")
    assert power_fails(host).files == 0
    assert [(data_of(host) / name).read_text() for name in "ab"] == ["first", "second"]


def test_a_crash_without_a_power_failure_loses_nothing(host: Host) -> None:
    does(host, "f = open_('a', os.O_CREAT); os.write(f, b'never synced')")
    restart(host)
    assert does(host, "print(open('a').read())") == "never synced\n"
    assert power_fails(host) == Lost(0, 0, 0)
    assert (data_of(host) / "a").read_text() == "never synced"


def test_a_sync_of_anything_keeps_all_names_but_not_the_content_of_other_files(host: Host) -> None:
    does(host, "f = open_('new', os.O_CREAT); os.write(f, b'content'); os.mkdir('folder'); os.fsync(os.open('.', 0))")
    assert power_fails(host).names == 0
    assert (data_of(host) / "folder").is_dir()
    assert (data_of(host) / "new").read_bytes() == b""


def test_names_return_to_what_they_were_at_the_last_sync(host: Host) -> None:
    does(host, "for n in 'abc': f = open_(n, os.O_CREAT); os.write(f, n.encode()); os.fsync(f)")
    does(host, "os.mkdir('d'); f = open_('d/x', os.O_CREAT); os.fsync(f)")
    change = "os.rename('a', 'b'); os.unlink('c'); os.rename('d', 'e'); os.unlink('e/x'); os.rmdir('e'); os.mkdir('c')"
    does(host, change + "; os.symlink('b', 'link'); os.rename('b', 'c/b')")
    assert does(host, "print(sorted(os.listdir('.')))") == "['c', 'link']\n"
    assert power_fails(host).names == 9
    assert sorted(one.name for one in data_of(host).iterdir()) == ["a", "b", "c", "d"]
    assert [(data_of(host) / name).read_text() for name in "abc"] == ["a", "b", "c"]
    assert (data_of(host) / "d" / "x").exists()
    host.power_on()
    assert does(host, "print(open('b').read())") == "b\n"


def test_a_file_that_was_cut_and_written_again_returns_whole(host: Host) -> None:
    content = "bytes(range(256)) * 200"  # some blocks, and a part of one
    does(host, f"f = open_('a', os.O_CREAT); os.write(f, {content}); os.fsync(f)")
    does(host, "f = open_('a', os.O_TRUNC); os.write(f, b'x' * 10); os.posix_fallocate(f, 0, 100_000)")
    does(host, "f = open_('a'); os.pwrite(f, b'y' * 9000, 20_000)")
    assert (data_of(host) / "a").stat().st_size == 100_000
    assert power_fails(host).kept == 256 * 200
    assert (data_of(host) / "a").read_bytes() == bytes(range(256)) * 200


def test_a_shared_mapping_is_written_and_synced_like_a_file(host: Host) -> None:
    does(host, "f = open_('a', os.O_CREAT); os.write(f, bytes(8192)); os.fsync(f)")
    mapped = "import mmap; f = open_('a'); m = mmap.mmap(f, 8192); m[:4] = b'kept'; m.flush(); m[:4] = b'lost'; "
    does(host, mapped + "m.close()")
    assert does(host, "print(open('a').read(4))") == "lost\n"
    power_fails(host)
    assert (data_of(host) / "a").read_bytes()[:4] == b"kept"


def test_an_open_file_outlives_its_name_and_a_renamed_directory(host: Host) -> None:
    script = "os.mkdir('d'); f = open_('d/a', os.O_CREAT); os.rename('d', 'e'); os.write(f, b'1'); g = open_('e/a'); "
    script += "os.unlink('e/a'); os.write(f, b'2'); os.rmdir('e'); print(os.pread(g, 9, 0), os.fstat(f).st_size)"
    assert does(host, script) == "b'12' 2\n"


def test_permissions_times_and_owners_are_those_of_any_file(host: Host) -> None:
    script = "f = open_('a', os.O_CREAT); os.chmod('a', 0o640); os.utime('a', (1, 2)); s = os.stat('a'); "
    script += "print(oct(s.st_mode), s.st_mtime, s.st_uid == os.getuid(), os.statvfs('.').f_bavail > 0)"
    assert does(host, script) == "0o100640 2.0 True True\n"
    with pytest.raises(ProcessFailed, match="not permitted"):
        does(host, "open_('b', os.O_CREAT); os.link('b', 'c')")


def test_a_thousand_files_are_listed_and_removed(host: Host) -> None:
    does(host, "for n in range(1000): open_(f'{n:040}', os.O_CREAT)")
    assert does(host, "print(len(set(os.listdir('.'))))") == "1000\n"
    does(host, "import shutil; [os.unlink(one.path) for one in os.scandir('.')]")
    assert list(data_of(host).iterdir()) == []
    assert power_fails(host).names == 2000


def test_only_a_host_that_was_on_and_is_off_can_lose_anything(host: Host) -> None:
    with pytest.raises(ProcessFailed, match="host one is on"):
        host.lose_unsynced()
    power_fails(host)
    assert host.lose_unsynced() == {}


def test_the_end_of_its_process_is_an_error_and_no_loss_of_nothing(host: Host) -> None:
    (disk,) = disks_of(host)
    disk.kill()
    host.power_off()
    with pytest.raises(ProcessFailed, match=r"the file system of .* does not answer .*; see"):
        host.lose_unsynced()


def test_a_directory_that_is_no_longer_volatile_is_the_plain_one(host: Host) -> None:
    does(host, "f = open_('a', os.O_CREAT); os.write(f, b'never synced')")
    host.set_volatile(data_of(host), False)
    assert does(host, "print(open('a').read())") == "never synced\n"  # it remains mounted until the power-off
    restart(host)
    assert does(host, "print(open('a').read())") == "never synced\n"
    host.power_off()
    assert host.lose_unsynced() == {}
    eventually(lambda: _require(list(host.directory.glob("data.removed*")) == []), within=5, subject="nothing is left")


def test_other_hosts_do_not_see_the_disk_but_the_newest_contents(host: Host) -> None:
    does(host, "f = open_('a', os.O_CREAT); os.write(f, b'newest')")
    assert (data_of(host) / "a").read_text() == "newest"
    assert "fuse" in host.run(["stat", "--file-system", "--format=%T", str(data_of(host))]).stdout
    here = subprocess.run(["stat", "--file-system", "--format=%T", str(data_of(host))], capture_output=True, text=True)
    assert "fuse" not in here.stdout


def test_an_ordinary_user_has_volatile_disks_too() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root already")
    if Path("/dev/fuse").exists() and Path("/dev/fuse").stat().st_mode & 0o006 != 0o006:
        pytest.skip("only root may use /dev/fuse here (Debian: fuse3)")

    def act(sandbox: Sandbox) -> None:
        host = sandbox.add_host("one", 11)
        data_of(host).mkdir()
        host.set_volatile(data_of(host), True)
        restart(host)
        host.run(["sh", "-c", "cd data; printf kept > a; sync a; printf lost >> a; chmod 600 a; test -O a"])
        assert power_fails(host).files == 1
        assert (data_of(host) / "a").read_text() == "kept"

    with directory_of(NOBODY) as directory:
        assert in_a_sandbox("namespaces", directory, act, user=NOBODY) == 0


@pytest.mark.parametrize("victim", ["caller", "supervisor", "disk"])
def test_nothing_survives_a_kill_while_a_host_writes_and_syncs(victim: str, tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        host = sandbox.add_host("one", 11)
        data_of(host).mkdir()
        host.set_volatile(data_of(host), True)
        restart(host)
        host.add("writer", [sys.executable, "-S", "-c", OPENED + WRITER, str(data_of(host))]).start()
        eventually(lambda: _require((data_of(host) / "busy").exists()), within=10, subject="it writes")
        (sandbox.directory / "ready").touch()
        signal.pause()

    if reason := why_not_fuse():
        pytest.skip(reason)
    caller = begin("namespaces", tmp_path, act)
    eventually(lambda: _require((tmp_path / "ready").exists()), within=20, subject="the sandbox is busy")
    processes = [psutil.Process(caller), *psutil.Process(caller).children(recursive=True)]
    (disk,) = disks_of(attach(tmp_path).hosts["one"])
    {"caller": psutil.Process(caller), "supervisor": disk.parent() or disk, "disk": disk}[victim].kill()
    if victim == "disk":  # the host gets errors, no silence: everything else goes on, and can be ended
        eventually(lambda: _require(not disk.is_running()), within=5, subject="it has ended")
        attach(tmp_path).hosts["one"].power_off()
        os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    eventually(lambda: _require(not any(map(_lives, processes))), within=2, subject="all is gone", pause=0.01)


def test_where_fuse_is_missing_the_scenarios_are_skipped_with_the_reason() -> None:
    require("namespaces")
    ask = "from support.embedded.plan import *; print(lacks(Layout(), 'namespaces', '', '').get('volatile_disks'))"
    hidden = 'mount --bind /dev/null /dev/fuse && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", hidden, "sh", sys.executable, "-c", ask]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    assert asked.stdout.startswith("no FUSE file systems here: [Errno 22] mount /tmp: ")


def test_a_loopback_sandbox_has_no_volatile_disks(tmp_path: Path) -> None:
    with living_sandbox("loopback", tmp_path / "sandbox") as sandbox:
        host = sandbox.add_host("one", 11)
        with pytest.raises(NotAvailable, match="takes a sandbox of namespaces"):
            host.set_volatile(host.directory, True)


def _require(fact: bool) -> None:
    assert fact


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
