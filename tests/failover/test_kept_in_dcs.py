"""What only the DCS shows: slots that Patroni keeps for members that have gone, and pending switchovers."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import free_port
from etcd_servers import Ensemble, ensemble, put
from patronis import Member, patroni
from servers import BINDIR, postgres

from support import sql
from support.errors import Inconclusive
from support.failover.replication import orphaned
from support.failover.switchover import require_none_pending
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")


class _Hurried(Timing):
    """Whatever has not come within a second will not come."""

    @property
    def notice(self) -> float:
        return 1.0


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with ensemble(tmp_path_factory.mktemp("etcd"), 1) as found:
        yield found


def kept(topology: Topology, **values: object) -> None:
    """A cluster of one, as Patroni writes it."""
    status = {"optime": 1, "slots": {"pg1": 1}, "retain_slots": ["pg1", "pg_9"]}
    for name, value in {"initialize": "4711", "leader": "pg1", "status": status, **values}.items():
        put(topology, f"/service/{topology.scope}/{name}", value if isinstance(value, str) else json.dumps(value))


def test_a_slot_that_patroni_keeps_for_a_member_that_has_gone_is_no_orphan(etcd: Ensemble, tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR) as server, ExitStack() as stack:
        leading = Member("pg1", "leader", "pg1:5432", "pg1:8008", server)
        rest = Address("127.0.0.1", stack.enter_context(patroni(leading, [leading])))
        at, superuser = Address(*server.hosts[0]), Login(server.user, server.password)
        told = replace(etcd.topology(0, scope="slots"), database=server.database, write=at)
        members = (MemberAddress("pg1", at, rest),)
        told = replace(told, application=superuser, administrator=superuser, members=members)
        sql.rows(server, "SELECT pg_create_physical_replication_slot('pg_9', true)")
        kept(told)
        assert orphaned(Cluster(told)) == []
        sql.rows(server, "SELECT pg_create_physical_replication_slot('forgotten', true)")
        assert [one.split()[0] for one in orphaned(Cluster(told))] == ["forgotten"]
        untold = replace(told, dcs=(Address("127.0.0.1", free_port()),), dcs_access={})
        with pytest.raises(Inconclusive, match=r"nobody uses (pg_9, forgotten|forgotten, pg_9); only the DCS tells"):
            orphaned(Cluster(untold))
        leading.configuration = {"member_slots_ttl": 0}
        assert len(orphaned(Cluster(untold))) == 2
        leading.configuration, leading.version = {}, "3.3.2"
        assert len(orphaned(Cluster(untold))) == 2


def test_a_switchover_that_patroni_is_about_to_remove_is_not_pending(etcd: Ensemble) -> None:
    topology = replace(etcd.topology(0, scope="switched"), timing=cast(Any, _Hurried()))
    kept(topology, failover={"leader": "pg1", "member": "pg2"})
    with pytest.raises(AssertionError, match="the DCS holds a switchover"):
        require_none_pending(Cluster(topology))
    tidy = threading.Timer(0.4, lambda: put(topology, "/service/switched/failover", "{}"))
    tidy.start()
    require_none_pending(Cluster(topology))
    tidy.join()


def test_a_dcs_that_gives_no_answer_is_no_pending_switchover(etcd: Ensemble) -> None:
    nowhere = replace(etcd.topology(0, scope="switched"), timing=cast(Any, _Hurried()))
    nowhere = replace(nowhere, dcs=(Address("127.0.0.1", free_port()),), dcs_access={})
    with pytest.raises(Inconclusive, match="gave no answer"):
        require_none_pending(Cluster(nowhere))
