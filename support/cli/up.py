"""`accept up` and `accept down`: a cluster that stays up after the command has ended.

The cluster belongs to a process of its own, the keeper, which boots it and ends with it.
"""

import os
import signal
import sys
from contextlib import suppress

from support.cli import behave_process, clusters
from support.cli.boot import boot_cluster
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, err, exit_status_of
from support.errors import AcceptError, ClusterDidNotStart, RequirementMissing, UsageError
from support.settings import Settings

_READY = "ready"


def up(cluster: KeptCluster, settings: Settings) -> int:
    """Boot a cluster in a process of its own, wait until it is ready, and return the exit status.

    Until then the cluster belongs to the caller: Ctrl-C stops it, and it does not come up if the caller dies.
    """
    if cluster.is_up:
        raise UsageError(f"the cluster {cluster.name!r} is already up; ./accept down {cluster.name} stops it")
    clusters.sweep()
    cluster.remove()
    cluster.directory.mkdir(parents=True, mode=0o700)
    status = _start_keeper(cluster, settings, hold=None)
    if status:
        err.print(_log_of(cluster), style="red", markup=False, end="")
        cluster.remove()
    return status


def up_for_this_process(cluster: KeptCluster, settings: Settings) -> None:
    """Boot a cluster in a process of its own, and wait until it is ready. It ends when this process ends.

    Raises UsageError, RequirementMissing or ClusterDidNotStart if it does not come up.
    """
    cluster.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    hear, hold = os.pipe()
    status = _start_keeper(cluster, settings, hold=(hear, hold))
    os.close(hear)
    if status:
        os.close(hold)
        message = _log_of(cluster).strip().removeprefix("accept: ")
        kinds = {kind.exit_status: kind for kind in (ClusterDidNotStart, UsageError, RequirementMissing)}
        raise kinds.get(status, ClusterDidNotStart)(
            message or f"the process that boots the cluster ended with status {status}"
        )


def _start_keeper(cluster: KeptCluster, settings: Settings, hold: tuple[int, int] | None) -> int:
    """Fork the keeper, wait until the cluster is ready, and return the exit status.

    `hold` is a pipe: the keeper ends when nobody holds its second end any more. Without one it stays until it is told
    to stop.
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
    os._exit(exit_status_of(lambda: _keep(cluster, settings, tell, hold[0] if hold else None)))


def down(cluster: KeptCluster) -> None:
    """Stop a cluster and remove its folder. Harmless if it has ended already."""
    with suppress(AcceptError):
        cluster.sandbox.end()
    cluster.remove()


def _await_ready(hear: int, cluster: KeptCluster, keeper: int) -> int:
    """Print the keeper's progress until the cluster is ready or the keeper has ended."""
    progress = Progress()
    try:
        with behave_process.sigterm_interrupts(), open(hear, encoding="utf-8") as pipe:
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


def _log_of(cluster: KeptCluster) -> str:
    return cluster.log.read_text(encoding="utf-8") if cluster.log.exists() else ""


def _leave_terminal(cluster: KeptCluster) -> None:
    """Start a session and write to a log, so that nobody who waits for our standard output waits for the cluster."""
    os.setsid()
    log = os.open(cluster.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for new, old in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(new, old)


def _keep(cluster: KeptCluster, settings: Settings, tell: int, held: int | None) -> int:
    """The keeper: boot the cluster, report progress to `tell`, and keep the cluster up."""

    def report(line: str) -> None:
        try:
            os.write(tell, f"{line}\n".encode())
        except BrokenPipeError:
            raise KeyboardInterrupt from None  # the process that waited for the cluster is gone

    with behave_process.sigterm_interrupts():
        sandbox, topology = boot_cluster(settings, cluster.directory, report, from_outside=True)
        with sandbox:
            topology.save(cluster.file)
            report(_READY)
            os.close(tell)
            with suppress(KeyboardInterrupt):
                if held is None:
                    signal.pause()
                else:
                    os.read(held, 1)  # returns when nobody holds the other end any more
    return 0
