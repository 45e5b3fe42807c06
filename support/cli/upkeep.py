"""`accept up` and `accept down`: a cluster that stays when the command has ended."""

import os
import signal
import sys
from contextlib import suppress

from support.cli import behaving, clusters
from support.cli.booting import Progress, boot_cluster
from support.cli.boundary import guarded
from support.cli.clusters import Kept
from support.cli.console import err
from support.errors import AcceptError, ClusterDidNotStart, RequirementMissing, UsageError
from support.settings import Settings

_READY = "ready"


def up(cluster: Kept, settings: Settings) -> int:
    """Boot a cluster in a process of its own, and return when it is ready; the exit status.

    While it boots it belongs to the caller: Ctrl-C ends it, and when the caller dies it does not come up.
    """
    if cluster.lives:
        raise UsageError(f"a cluster {cluster.name!r} is up already; ./accept down {cluster.name} ends it")
    clusters.sweep()
    cluster.remove()
    cluster.directory.mkdir(parents=True, mode=0o700)
    status = _start_keeper(cluster, settings, hold=None)
    if status:
        err.print(_said_by_keeper(cluster), style="red", markup=False, end="")
        cluster.remove()
    return status


def up_meanwhile(cluster: Kept, settings: Settings) -> None:
    """Boot a cluster in a process of its own, and return when it is ready; it ends when this process does.

    Raises what kept it from coming up: UsageError, RequirementMissing, ClusterDidNotStart.
    """
    cluster.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    hear, hold = os.pipe()
    status = _start_keeper(cluster, settings, hold=(hear, hold))
    os.close(hear)
    if status:
        os.close(hold)
        said = _said_by_keeper(cluster).strip().removeprefix("accept: ")
        kinds = {kind.exit_status: kind for kind in (ClusterDidNotStart, UsageError, RequirementMissing)}
        raise kinds.get(status, ClusterDidNotStart)(said or f"the process that boots it ended with status {status}")


def _start_keeper(cluster: Kept, settings: Settings, hold: tuple[int, int] | None) -> int:
    """Fork the process that the cluster lives and dies with; returns when the cluster is ready, with the exit status.

    `hold` are the ends of a pipe: the keeper goes on until nobody holds the second one any more.
    """
    hear, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if keeper := os.fork():
        os.close(tell)
        return _await_ready(hear, cluster, keeper)
    os.close(hear)
    if hold:
        os.close(hold[1])
    _leave_terminal(cluster)
    os._exit(guarded(lambda: _keep(cluster, settings, tell, hold[0] if hold else None)))


def down(cluster: Kept) -> None:
    """End a cluster, and remove what it kept on the disk. Harmless when it has ended already."""
    with suppress(AcceptError):
        cluster.sandbox.end()
    cluster.remove()


def _await_ready(hear: int, cluster: Kept, keeper: int) -> int:
    """Show what the keeper tells, until it says that the cluster is ready, or says no more."""
    progress = Progress()
    try:
        with open(hear, encoding="utf-8") as pipe:
            for line in pipe:
                if line.rstrip() == _READY:
                    return 0
                progress(line.rstrip())
        return os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
    except KeyboardInterrupt:
        os.kill(keeper, signal.SIGTERM)
        os.waitpid(keeper, 0)
        cluster.remove()
        raise


def _said_by_keeper(cluster: Kept) -> str:
    return cluster.log.read_text(encoding="utf-8") if cluster.log.exists() else ""


def _leave_terminal(cluster: Kept) -> None:
    """Have a session and a log of one's own: whoever waits for our standard output must not wait for a cluster."""
    os.setsid()
    log = os.open(cluster.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for new, old in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(new, old)


def _keep(cluster: Kept, settings: Settings, tell: int, held: int | None) -> int:
    """Be the process that the cluster lives and dies with."""

    def told(line: str) -> None:
        try:
            os.write(tell, f"{line}\n".encode())
        except BrokenPipeError:
            raise KeyboardInterrupt from None  # nobody waits for it any more

    with behaving.interruptible():
        sandbox, topology = boot_cluster(settings, cluster.directory, told, met_from_outside=True)
        with sandbox:
            topology.save(cluster.file)
            told(_READY)
            os.close(tell)
            with suppress(KeyboardInterrupt):
                if held is None:
                    signal.pause()
                else:
                    os.read(held, 1)  # returns when nobody holds the other end
    return 0
