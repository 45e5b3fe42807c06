"""An embedded cluster that is described to the program as a user's own, whose hosts it reaches by a real ssh.

    with as_users_own(program, "mine", tmp_path) as described:
        described.run("run", "features/failover/crash.feature")

Each host of the sandbox gets an sshd with a root file system view of its own (its own /etc, /run and /var/lib); the
program runs in the sandbox's network, where it reaches the hosts as a user reaches his.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from booting import boots
from program import Ended, Program
from remote_hosts import own_client, require_machines

from support.hosts import reentry_argv, state
from support.target.topology import Topology
from support.waiting import NotYet, eventually

PORT = 22
_HOSTS = """
import json, sys
from pathlib import Path
from support.hosts import attach
hosts = attach(Path(sys.argv[1])).hosts
print(json.dumps({name: [host.address, list(host.processes)] for name, host in hosts.items()}))
"""
_ASK = """
import json, sys
import psycopg2
session = psycopg2.connect(**json.loads(sys.argv[1]))
session.autocommit = True
with session.cursor() as cursor:
    cursor.execute(sys.argv[2])
    print(cursor.fetchone()[0] if cursor.description else "")
"""
_START = (
    "{python} -c 'import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
    "from support.hosts import attach; "
    "attach(Path(sys.argv[2])).hosts[sys.argv[3]].processes[sys.argv[4]].start()' {project} {sandbox} {host} {program}"
)
_SSHD = """\
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
PrintMotd no
"""
_BOOT = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/sshd
mount --bind {own}/etc /etc
exec {sshd} -e -D -f {own}/sshd_config
"""
_PASSWD = """\
root:NP:0:0:root:/root:/bin/sh
sshd:NP:109:65534::/run/sshd:/usr/sbin/nologin
accept:NP:1000:1000::/tmp:/bin/sh
"""
_PROGRAMS = ("patroni", "etcd", "haproxy", "redis")


@dataclass(frozen=True)
class Described:
    """The cluster as its user describes it."""

    program: Program
    sandbox: Path
    target: Path
    """The target file."""

    def run(self, *arguments: str, timeout: float) -> Ended:
        """Run the program where a user of the cluster would, with that target."""
        argv = reentry_argv(self.sandbox, [*self.program.argv, *arguments, "--target", str(self.target)])
        argv[argv.index(f"--chdir={os.getcwd()}")] = f"--chdir={self.program.project}"
        ended = subprocess.run(
            argv,
            env=self.program.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)


def as_superuser(program: Program, name: str, statement: str) -> str:
    """Run a statement on the leader; returns the first value of its answer, if it has one."""
    cluster = _folder_of(program, name)
    topology = Topology.load(cluster / "topology.json")
    login = topology.administrator
    assert login is not None
    words = {"host": topology.write.host, "port": topology.write.port, "dbname": topology.database}
    words |= {"user": login.user, "password": login.password}
    argv = reentry_argv(cluster / "sandbox", [sys.executable, "-c", _ASK, json.dumps(words), statement])
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def _folder_of(program: Program, name: str) -> Path:
    return program.project / ".accept/clusters" / name


@contextmanager
@boots
def as_users_own(program: Program, name: str, folder: Path) -> Iterator[Described]:
    """`name`: a cluster that `accept up` started there. Skips where there is no sshd, or no root."""
    require_machines()
    cluster = _folder_of(program, name)
    sandbox, topology = cluster / "sandbox", Topology.load(cluster / "topology.json")
    for key in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    hosts = _hosts(program, sandbox)
    (folder / "known").write_text(
        "".join(f"{address} {(folder / 'host_key.pub').read_text()}" for address, _ in hosts.values())
    )
    servers = []
    try:
        for host in hosts:
            servers.append(_serve(host, _first_of(sandbox, host), folder, topology.scope))
        target = folder / "target.toml"
        target.write_text(_described(program, sandbox, topology, hosts))
        with own_client(folder):
            described = Described(program, sandbox, target)
            eventually(lambda: _answers(described, list(hosts.values())), within=30, subject="the hosts answer")
            yield described
    finally:
        for server in servers:
            _end(server)


def _hosts(program: Program, sandbox: Path) -> dict[str, tuple[str, list[str]]]:
    argv = reentry_argv(sandbox, [sys.executable, "-c", _HOSTS, str(sandbox)])
    said = subprocess.run(argv, env=program.environment, capture_output=True, text=True, check=True).stdout
    return {name: (address, programs) for name, (address, programs) in json.loads(said).items()}


def _first_of(sandbox: Path, host: str) -> int:
    """The first process of a host, as seen from here."""
    todo = [state.read(sandbox).supervisor]
    while todo:
        pid = todo.pop()
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode() == f"host:{host}":
                return pid
            for thread in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(one) for one in (thread / "children").read_text().split()]
        except FileNotFoundError:
            continue
    raise LookupError(f"the sandbox has no host {host}")


def _serve(host: str, first: int, folder: Path, scope: str) -> "subprocess.Popen[bytes]":
    own = folder / host
    (own / "etc").mkdir(parents=True)
    for file in ("group", "ld.so.cache"):
        shutil.copy(Path("/etc") / file, own / "etc")
    (own / "etc/passwd").write_text(_PASSWD)
    (own / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    (own / "etc/accept-breakable").write_text(f"{scope}\n")
    (own / "sshd_config").write_text(_SSHD.format(folder=folder, port=PORT))
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    enter = ["nsenter", f"--target={first}", "--net", "--pid", "--mount", "--uts", "--", "unshare", "--mount"]
    with (own / "log").open("wb") as log:
        words = [*enter, "sh", "-c", _BOOT.format(own=own, sshd=sshd)]
        return subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """sshd is a child of nsenter, which has entered a PID namespace for it."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for pid in [*map(int, children), server.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.wait()


def _answers(described: Described, hosts: list[tuple[str, list[str]]]) -> None:
    for address, _ in hosts:
        words = ["ssh", "-oBatchMode=yes", "-oConnectTimeout=2", f"root@{address}", "true"]
        ended = subprocess.run(reentry_argv(described.sandbox, words), capture_output=True, text=True, check=False)
        if ended.returncode:
            raise NotYet(f"{address}: {ended.stderr.strip()}")


def _described(program: Program, sandbox: Path, topology: Topology, hosts: dict[str, tuple[str, list[str]]]) -> str:
    """The target file."""
    assert topology.read is not None
    assert topology.statistics is not None
    assert topology.administrator is not None
    values: dict[str, object] = {
        "ruvector_host": topology.write.host,
        "ruvector_db": topology.database,
        "ruvector_user": topology.application.user,
        "ruvector_password": topology.application.password,
        "haproxy_primary_port": topology.write.port,
        "haproxy_replica_port": topology.read.port,
        "haproxy_stats_url": topology.statistics.url,
        "patroni_hosts": [str(one.rest) for one in topology.members],
        "etcd_hosts": [str(one) for one in topology.dcs],
        "accept_admin_user": topology.administrator.user,
        "accept_admin_password": topology.administrator.password,
        "accept_destructive": topology.database,
    }
    if topology.statistics.login:
        values["haproxy_stats_user"] = topology.statistics.login.user
        values["haproxy_stats_password"] = topology.statistics.login.password
    if topology.redis:
        values["redis_host"], values["redis_port"] = topology.redis.address.host, topology.redis.address.port
        values["redis_password"] = topology.redis.password
    if topology.patroni_login:
        values["patroni_restapi_username"] = topology.patroni_login.user
        values["patroni_restapi_password"] = topology.patroni_login.password
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
    for name, (address, programs) in hosts.items():
        lines += [f"[hosts.{name}]", f'reach = "ssh://root@{address}"', f"[hosts.{name}.programs]"]
        for one in programs:
            if one in _PROGRAMS:
                start = _START.format(
                    python=sys.executable, project=program.project, sandbox=sandbox, host=name, program=one
                )
                lines.append(f"{one} = {json.dumps(start)}")
    return "\n".join(lines) + "\n"
