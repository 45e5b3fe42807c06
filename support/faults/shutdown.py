"""What can keep PostgreSQL from shutting down: an archiver that fails, and a consumer of its stream that is silent.

Sources: https://github.com/patroni/patroni/issues/1905 (a failing archive_command held the shutdown for half an hour),
https://github.com/patroni/patroni/issues/3022 (a logical consumer that did not answer)
"""

import shutil
from pathlib import Path

import yaml

from support import sql
from support.errors import Inconclusive
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.files import write_private
from support.hosts import Host, Process
from support.hosts.interface import Running
from support.target.cluster import Cluster
from support.target.temporary_configuration import TemporaryConfiguration
from support.waiting import NotYet

_FAILS_SLOWLY = "sleep 20; false"
_WAITING = """
    SELECT current_setting('archive_command'),
           (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready')
"""
_NEW_SEGMENT = "SELECT pg_logical_emit_message(true, 'accept', 'archiving'), pg_switch_wal()"
_MOST_SEGMENTS = 8
"""New segments that a fault begins: if none of them waits to be archived, no further one will."""
_STREAM = "SELECT state FROM pg_stat_replication WHERE application_name = %s"
CONSUMER = "accept_consumer"
_PASSWORDS, _RECEIVED = "consumer.pgpass", "received"


class ArchivingFails(Fault):
    """The command that archives WAL takes 20 seconds on every member, and then fails, again and again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        changes = {"postgresql": {"parameters": {"archive_command": _FAILS_SLOWLY}}}
        self._configuration = TemporaryConfiguration(cluster, str(self), changes)
        self._segments = 0

    def told(self, names: Names) -> str:
        return "archiving fails"

    def inject(self) -> None:
        if sql.value(self._leader, "SHOW archive_mode") == "off":
            raise Inconclusive("archive_mode is off, so nothing is archived that could fail")
        self._configuration.begin()

    def require_in_effect(self) -> None:
        """A segment of the leader waits to be archived."""
        ((command, waiting),) = sql.rows(self._leader, _WAITING)
        if command != _FAILS_SLOWLY:
            raise NotYet(f"archive_command is {command}")
        if not waiting:
            if self._segments < _MOST_SEGMENTS:
                self._segments += 1
                sql.rows(self._leader, _NEW_SEGMENT)
            raise NotYet("no segment waits to be archived")

    def heal(self) -> None:
        self._configuration.end()

    @property
    def _leader(self) -> sql.Endpoint:
        return self._cluster.administration_of(self._cluster.leader())


class SilentConsumer(Fault):
    """A consumer of the leader's stream stands still, and its connection has no timeout.

    It runs on another host. PostgreSQL does not end before it has sent all its WAL to every consumer. It stands still
    once it has caught up: in the midst of a backlog, the sender hangs with full buffers, PostgreSQL cannot even write
    the checkpoint after which Patroni gives up its lock, and every switchover takes primary_stop_timeout.
    """

    def __init__(self, cluster: Cluster, host: Host) -> None:
        self._cluster, self._host, self._leader = cluster, host, cluster.leader()
        self._consumer: Process | None = None
        self._suspended: list[Running] = []

    def told(self, names: Names) -> str:
        return f"a consumer of the stream of {names.member(self._leader)} does not answer"

    def inject(self) -> None:
        own = yaml.safe_load((self._cluster.sandbox.hosts[self._leader].directory / "patroni.yml").read_text())
        login, address = own["postgresql"]["authentication"]["replication"], self._cluster.address_of(self._leader)
        passwords, received = self._host.directory / _PASSWORDS, self._host.directory / _RECEIVED
        received.mkdir(exist_ok=True)
        write_private(passwords, f"*:*:*:*:{login['password']}\n")
        conninfo = (
            f"host={address.postgres.host} port={address.postgres.port} user={login['username']} "
            f"application_name={CONSUMER} options='-c wal_sender_timeout=0'"
        )
        program = str(Path(own["postgresql"]["bin_dir"]) / "pg_receivewal")
        self._consumer = self._host.add(
            "consumer", ["env", f"PGPASSFILE={passwords}", program, "-w", "-D", str(received), "-d", conninfo]
        )
        self._consumer.start()

    def require_in_effect(self) -> None:
        """The consumer has caught up with the stream, and is suspended. Raises NotYet before."""
        if not self._suspended:
            states = sql.rows(self._cluster.administration_of(self._leader), _STREAM, [CONSUMER])
            if states != [("streaming",)] or self._consumer is None:
                raise NotYet(f"it does not stream yet, or has not caught up: {', '.join(one for (one,) in states)}")
            pids = set(self._consumer.pids)
            self._suspended = [one for one in self._host.running() if one.pid in pids]
            self._host.suspend(self._suspended)
        if not self._suspended or not all(one.stopped for one in self._host.alive(self._suspended)):
            raise NotYet("it is not suspended")

    def heal(self) -> None:
        self._host.resume(self._suspended)
        if self._consumer is not None:
            self._consumer.kill()
        (self._host.directory / _PASSWORDS).unlink(missing_ok=True)
        # Otherwise the next consumer would continue where this one ended, and that WAL may be gone by then.
        shutil.rmtree(self._host.directory / _RECEIVED, ignore_errors=True)
