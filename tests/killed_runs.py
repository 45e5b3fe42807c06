"""Runs that were killed in the middle, and what is in the tables of the target."""

import subprocess
import sys
from pathlib import Path

from booting import boots

from support import sql
from support.run import Life, life_of
from support.target.cluster import Cluster

INSERT = "INSERT INTO memory_entries (namespace, key, value) VALUES (%s, 'k', 'v')"


def killed_run(tmp_path: Path) -> str:
    """The id of a run that was begun by a process which was killed."""
    code = "from support.run import begin_run; print(begin_run().id, flush=True); input()"
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    assert life_of(run) is Life.GOING_ON
    process.kill()
    process.wait()
    assert life_of(run) is Life.OVER
    return run


def namespaces(cluster: Cluster) -> list[str]:
    return [name for (name,) in sql.rows(cluster.write, "SELECT namespace FROM memory_entries ORDER BY 1")]


@boots
def disturbing_run(code: str, cluster: Cluster, folder: Path) -> "subprocess.Popen[str]":
    """Another process that runs `code` with the file of the cluster's topology as its argument, until it says "done".

    It dies with this one.
    """
    file = folder / "topology.json"
    cluster.topology.save(file)
    mortal = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable]
    run = subprocess.Popen([*mortal, "-c", code, str(file)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "done\n"
    return run
