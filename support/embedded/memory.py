"""How much memory an embedded cluster takes."""

from pathlib import Path

from support.hosts import Host


def used_on(host: Host) -> int:
    """The memory of all programs on a host, in bytes; what processes share is counted once (PSS).

    To be asked from inside the sandbox.
    """
    return sum(_proportional(pid) for process in host.processes.values() for pid in process.pids)


def _proportional(pid: int) -> int:
    """The memory of one process, its part of what is shared; 0 when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
