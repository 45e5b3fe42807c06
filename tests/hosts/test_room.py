"""Room on the disk of this machine, on a disk of our own that is really full."""

import subprocess
import sys
from pathlib import Path

import pytest
from booting import boots

from support.errors import NoRoom
from support.reporting.recorder import Judgement
from support.reporting.scenario import Verdict

TRY = """
import sys
from pathlib import Path
from support.cli.console import exit_status_of
from support.hosts.room import require_room, run_out

disk = Path(sys.argv[1])

def fill():
    (disk / "much").write_bytes(bytes(80 << 20))
    return 0

def boot():
    require_room(disk / "a cluster" / "that is not there yet")
    return 0

print(run_out(disk) or "there is room")
print(exit_status_of(boot))
print(exit_status_of(fill))
print(run_out(disk) or "there is room")
"""


@pytest.fixture
@boots
def on_a_disk(tmp_path: Path) -> list[str]:
    """The words of a command that runs TRY on an empty disk of 64 MB."""
    script = 'mount -t tmpfs -o size=64m tmpfs "$1" && exec "$2" -c "$3" "$1"'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable]
    if subprocess.run([*words[:4], "true"], check=False, capture_output=True).returncode:
        pytest.skip("this kernel lets no user mount a disk")
    return [*words, TRY]


def test_a_full_disk_is_told(on_a_disk: list[str], tmp_path: Path) -> None:
    ran = subprocess.run(on_a_disk, check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == [
        "there is room",
        "2",
        "3",
        f"0 MB are free on the disk of {tmp_path}, where the cluster keeps its files",
    ]
    assert "64 MB are free on the disk of" in ran.stderr
    assert "a cluster needs 1024 MB at first" in " ".join(ran.stderr.split())
    assert "a disk of this machine is full: [Errno 28] No space left on device; make room there" in ran.stderr


@pytest.mark.parametrize("before", [Verdict.BROKEN, Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_nothing_is_broken_because_our_own_disk_is_full(before: Verdict) -> None:
    seen = Judgement(before, "clients were interrupted for 40 s", final=True)
    judged = seen.and_then(NoRoom("0 MB are free"))
    assert (judged.verdict, judged.final) == (Verdict.ERROR, False)
    assert judged.reason == "0 MB are free; so this proves nothing: clients were interrupted for 40 s"
