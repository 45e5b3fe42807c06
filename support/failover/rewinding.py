"""How a member with a diverged timeline came back: rewound in place, or copied as a whole.

Sources: https://github.com/patroni/patroni/issues/2581 and https://github.com/patroni/patroni/issues/1611 (pg_rewind
failed, and the member was copied), src/bin/pg_rewind/filemap.c, `decide_file_action`: PG_VERSION is left as it is;
src/bin/pg_rewind/pg_rewind.c, `createBackupLabel`: like a base backup it leaves one, later called backup_label.old
"""

import time

from support import sql
from support.engine.experiment import Experiment
from support.failover.checks import DataDirectory
from support.target.cluster import Cluster

_TOLD = """
    SELECT extract(epoch FROM clock_timestamp() - version.modification)::float,
           coalesce(substring(pg_read_file('backup_label.old', 0, 8192, true) FROM 'BACKUP METHOD: ([a-z_]+)'), ''),
           coalesce(extract(epoch FROM clock_timestamp() - label.modification)::float, 0)
    FROM pg_stat_file('PG_VERSION') AS version, pg_stat_file('backup_label.old', true) AS label
"""
"""A base backup writes PG_VERSION, unless it gives files the times of their originals; pg_rewind never touches it."""


def kept_files(cluster: Cluster, experiment: Experiment) -> DataDirectory:
    """What the affected member's data directory shows now."""
    member = experiment.target_member
    since_the_fault = time.monotonic() - experiment.injected_fault.begun
    return told(member, cluster.administration_of(member), since_the_fault)


def told(member: str, server: sql.Endpoint, since_the_fault: float) -> DataDirectory:
    """What a member's data directory shows, read by a superuser from the server's own files."""
    ((age, method, recovered),) = sql.rows(server, _TOLD)
    return DataDirectory(member, float(age), str(method), float(recovered), since_the_fault)
