"""How a member came back whose timeline had diverged: rewound in place, or copied as a whole.

Sources: https://github.com/patroni/patroni/issues/2581 and https://github.com/patroni/patroni/issues/1611 (pg_rewind
failed, and the member was copied), src/bin/pg_rewind/filemap.c, `decide_file_action`: PG_VERSION is left as it is
"""

import time

from support import sql
from support.engine.experiment import Experiment
from support.failover.checks import DataDirectory
from support.target.cluster import Cluster

_AGE = "SELECT extract(epoch FROM clock_timestamp() - modification)::float FROM pg_stat_file('PG_VERSION')"
"""A base backup writes that file, and pg_rewind never touches it."""


def kept_files(cluster: Cluster, experiment: Experiment) -> DataDirectory:
    """The age of the target member's data directory now."""
    member = experiment.target_member
    age = float(sql.value(cluster.administration_of(member), _AGE))
    return DataDirectory(member, age, time.monotonic() - experiment.injected_fault.begun)
