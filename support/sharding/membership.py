"""Workers that join a running cluster and leave it again.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html (citus_add_node, citus_drain_node, citus_remove_node)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from support import sql
from support.embedded.extra_worker import extra_worker
from support.engine.finding import Finding
from support.errors import ConnectFailed, Inconclusive
from support.sharding import shards
from support.target.citus import data_node_leaders, known_to, node_name
from support.target.cluster import Cluster
from support.target.discovery.addresses import same_address
from support.target.members import NO_ANSWER
from support.target.patroni import ClusterView
from support.target.topology import Address
from support.timeouts import RECOVERY, REJOIN, START
from support.waiting import NotYet, eventually

_ADD = "SELECT citus_add_node(%s, %s, %s)"
_DRAIN = "SELECT citus_drain_node(%s, %s, 'force_logical')"
_CLEAN_UP = "CALL citus_cleanup_orphaned_resources()"
_LEFT_TO_CLEAN = "SELECT object_name FROM pg_dist_cleanup WHERE node_group_id = %s"
_REMOVE = "SELECT citus_remove_node(%s, %s)"
_FORGET_SHARDS = "DELETE FROM pg_dist_placement WHERE groupid = %s"
_FORGET_LEFTOVERS = "DELETE FROM pg_dist_cleanup WHERE node_group_id = %s"


@dataclass(frozen=True)
class NewWorker:
    """A worker that has joined, as a group of its own."""

    cluster: Cluster
    group: int
    address: Address

    @property
    def name(self) -> str:
        """What messages call it."""
        return node_name(self.group)

    @property
    def endpoint(self) -> sql.Endpoint:
        """Its PostgreSQL, as the application."""
        return replace(self.cluster.at_node(self.address), name=self.name)

    @property
    def registered(self) -> bool:
        """Whether the coordinator knows it."""
        return any(node.group == self.group for node in known_to(self.cluster.write))

    def leave(self) -> None:
        """Move its shards to the other workers, and remove it from the cluster. Does nothing if it has left."""
        if not self.registered:
            return
        where, address = self.cluster.administration, [self.address.host, self.address.port]
        with sql.session(where, statement_timeout=RECOVERY) as session:
            sql.rows(session, _DRAIN, address)
            subject = f"leftovers of moves on {self.name} are removed"
            eventually(self._require_cleaned, within=REJOIN, subject=subject, retry_on=NO_ANSWER)
            sql.rows(session, _REMOVE, address)

    def forget(self) -> None:
        """Remove it from the cluster, with the shards that it still holds. Does nothing if it has left."""
        if not self.registered:
            return
        administration = self.cluster.administration
        for node, where in data_node_leaders(self.cluster).items():  # each has its own copy of the metadata
            if node != self.name:
                there = replace(where, user=administration.user, password=administration.password)
                sql.execute(there, _FORGET_SHARDS, [self.group])
        with sql.session(administration, statement_timeout=RECOVERY) as session:
            sql.execute(session, _FORGET_LEFTOVERS, [self.group])
            sql.rows(session, _REMOVE, [self.address.host, self.address.port])

    def _require_cleaned(self) -> None:
        with sql.session(self.cluster.administration, statement_timeout=START) as session:
            sql.execute(session, _CLEAN_UP)
            if left := sql.rows(session, _LEFT_TO_CLEAN, [self.group]):
                raise NotYet(f"left are {', '.join(name for (name,) in left)}")


@contextmanager
def joined(cluster: Cluster) -> Iterator[NewWorker]:
    """A new server that joins as a worker. At the end it leaves again, and its host is gone, whatever happened to it.

    Raises AssertionError if the cluster does not take it.
    """
    with extra_worker(cluster) as address:
        worker = NewWorker(cluster, 1 + max(node.group for node in known_to(cluster.write)), address)
        try:
            with sql.session(cluster.administration, statement_timeout=START) as session:
                refused = sql.error_of(lambda: sql.rows(session, _ADD, [address.host, address.port, worker.group]))
            Finding(refused is None, f"the cluster does not accept another worker: {refused}").require()
            yield worker
        finally:
            try:
                worker.leave()
            except (sql.Error, ConnectFailed, AssertionError):
                worker.forget()
                raise


def require_equal_to_others(worker: NewWorker) -> None:
    """The worker knows the nodes and the application's tables as the coordinator does, and has each reference table.

    Raises AssertionError that names what differs, or Inconclusive if nothing is known to differ and a node refuses the
    login.
    """
    cluster = worker.cluster
    coordinator, there = known_to(cluster.write), known_to(worker.endpoint)
    Finding(coordinator == there, f"{worker.name} knows the nodes {there}, and the coordinator {coordinator}").require()
    tables = tuple(cluster.profile.tables)
    names = shards.qualified(cluster.write, tables)
    known, found = (shards.sharding_of_qualified(where, names) for where in (cluster.write, worker.endpoint))
    differing = {table: f"{found[table]} instead of {known[table]}" for table in tables if found[table] != known[table]}
    Finding(not differing, f"{worker.name} does not know tables as the coordinator does: {differing}").require()
    references = [table for table in tables if known[table].kind == "reference"]
    held, nodes = shards.held_on_nodes(cluster, references), data_node_leaders(cluster)
    silent, heard = [node for node in nodes if node not in held], [node for node in nodes if node in held]
    own = held.get(worker.name)
    lacking = {node: sorted(own ^ held[node]) for node in heard if own is not None and held[node] != own}
    Finding(not lacking, f"the reference tables on {worker.name} and on other nodes differ: {lacking}").require()
    if silent:
        raise Inconclusive(f"no login: {', '.join(silent)}")


_SERVER = "SELECT system_identifier, pg_postmaster_start_time() FROM pg_control_system()"


def require_leads_to(cluster: Cluster, node: Address, view: ClusterView) -> None:
    """The address that Citus has for a group is that of the leader whom Patroni names there, or leads to it.

    Raises NotYet without a leader, AssertionError if the address is another member's or leads to another server, and
    Inconclusive if it is no member's, such as a proxy's, and is not reached from here.
    """
    if (leading := view.leader) is None:
        raise NotYet("it has no leader")
    at = {one.name: Address(one.host, one.port) for one in view.members}  # by which members call one another
    if same_address(node, at[leading.name]):
        return
    told = f"{leading.name} leads at {at[leading.name]}"
    others = [name for name, address in at.items() if same_address(node, address)]
    Finding(
        not others and not cluster.topology.embedded, f"{node} is {', '.join(others) or 'nobody'}, and {told}"
    ).require()
    try:
        there = sql.rows(cluster.at_node(node), _SERVER)
    except ConnectFailed as error:
        raise Inconclusive(f"{node} is the address of no member, and is not reached from here; {told}") from error
    Finding(
        there == sql.rows(cluster.of_member(leading.name), _SERVER), f"{node} leads elsewhere, and {told}"
    ).require()


def require_gone(worker: NewWorker) -> None:
    """No node of the cluster knows the worker any more. Raises AssertionError that names one that does."""
    nodes = data_node_leaders(worker.cluster)
    knowing = [name for name, where in nodes.items() if any(node.address == worker.address for node in known_to(where))]
    Finding(not knowing, f"{worker.name} was removed, and is known to {', '.join(knowing)}").require()
