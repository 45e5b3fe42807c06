"""Machines with a real sshd, for the tests: each in network, PID and mount namespaces of its own, as real root.

    with ssh_hosts(tmp_path, "a", "b") as machines:      # machines["a"].url == "ssh://root@10.98.0.11:2222"

The test itself is at the first address of their network. With `systemd=True`, the first process of each is systemd, and
sshd a unit. Skips, with the reason, where such machines cannot be made.
"""

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from booting import boots

from support.hosts.remote import HostAccess, HostUnreached, Reach
from support.waiting import NotYet, eventually

SCOPE = "staging"
_NUMBERS = itertools.count()
PORT = 2222
_CONFIG = """
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile /etc/accept_key.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
PermitRootLogin yes
PrintMotd no
{more}
"""
_PASSWD = """\
root:NP:0:0:root:/root:/bin/sh
sshd:NP:109:65534::/run/sshd:/usr/sbin/nologin
deploy:NP:1001:1001::/tmp:/bin/sh
"""
_BOOT = """
set -e
mount --make-rprivate /
mount --bind {folder}/{name}/etc /etc
mount -t tmpfs tmpfs /run -o {room}mode=755
mount -t tmpfs tmpfs /var/lib -o mode=755
mkdir -p /run/sshd
ip link set lo up
{first}
"""
_INIT = "/lib/systemd/systemd"
_SYSTEMD = """\
mount -t tmpfs tmpfs /lib/systemd/system
mount -t tmpfs tmpfs /lib/systemd/system-generators
umount -R /sys/fs/cgroup
hostname {name}
exec env container=accept {init} --unit=basic.target --log-target=null --show-status=no
"""
_UNITS = {
    "sysinit.target": "[Unit]\nDefaultDependencies=no\n",
    "shutdown.target": "[Unit]\nDefaultDependencies=no\n",
    "basic.target": "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nWants=sshd.service\n",
    "sshd.service": "[Service]\nExecStart={sshd}\n",
}
"""What systemd needs there: nothing of this machine's own is started."""


@dataclass
class Machine:
    """One of them."""

    name: str
    address: str
    folder: Path
    process: "subprocess.Popen[bytes]"
    user: str = "root"
    groups: tuple[Path, ...] = ()
    """Its control groups, which its systemd divides."""
    spawned: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def cable(self) -> str:
        return f"acc{''.join(self.address.split('.')[2:])}x{os.getpid() % 10_000}"

    @property
    def url(self) -> str:
        return f"ssh://{self.user}@{self.address}:{PORT}"

    @property
    def init(self) -> int:
        """Its first process, as seen from here."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def access(self, **more: object) -> HostAccess:
        return HostAccess(self.url, (self.address,), scope=SCOPE, cutter="nft", ports=(PORT,), **more)  # type: ignore[arg-type]

    def spawn(self, *command: str) -> "subprocess.Popen[bytes]":
        """Run something there, past ssh."""
        enter = ["nsenter", f"--target={self.init}", "--net", "--pid", "--mount", "--"]
        self.spawned.append(subprocess.Popen([*enter, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self.spawned[-1]

    def call(self, *command: str) -> str:
        enter = ["nsenter", f"--target={self.init}", "--net", "--pid", "--mount", "--"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout

    def mark(self, *scopes: str) -> None:
        (self.folder / "etc/accept-breakable").write_text("".join(f"{one}\n" for one in scopes))

    def left(self) -> list[str]:
        return [line for line in Reach.of(self.url).run("left").split() if line]

    def die(self) -> None:
        for program in self.spawned:  # an nsenter stops when its command is stopped, and would stay around
            program.kill()
            program.wait()
        with suppress(IndexError, FileNotFoundError, ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)  # and with it everything there
        self.process.kill()
        self.process.wait()
        subprocess.run([str(_found("ip")), "link", "del", self.cable], capture_output=True, check=False)
        for group in self.groups:
            for one in sorted((group, *filter(Path.is_dir, group.rglob("*"))), reverse=True):
                eventually(one.rmdir, within=5, subject=f"{one} is empty", retry_on=(OSError,))

    def join_ipv6(self) -> str:
        """Let it and the test have IPv6 addresses as well; returns its own."""
        prefix = f"fd00:98:{self.address.split('.')[2]}::"
        ip("-6", "addr", "replace", f"{prefix}1/64", "dev", _bridge_of(self.address), "nodad")
        self.call("ip", "-6", "addr", "replace", f"{prefix}11/64", "dev", "eth0", "nodad")
        key = (self.folder.parent / "host_key.pub").read_text()
        with (self.folder.parent / "known").open("a") as known:
            known.write(f"[{prefix}11]:{PORT} {key}")
        return f"{prefix}11"

    def forget_neighbours(self) -> None:
        """It and the test have to ask for one another's addresses on the wire again."""
        self.call("ip", "neigh", "flush", "dev", "eth0")
        ip("neigh", "flush", "dev", _bridge_of(self.address))

    def add_unit(self, name: str, text: str) -> None:
        """Give its systemd a unit, or one of the files that complete one ("etcd.service.d/override.conf")."""
        file = self.folder / "etc/systemd/system" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.call("systemctl", "daemon-reload")


def require_machines() -> None:
    """Skip the test where they cannot be made."""
    if os.geteuid():
        pytest.skip("machines with a real sshd need root")
    if missing := [one for one in ("sshd", "ssh", "ssh-keygen", "ip", "nft", "unshare") if not _found(one)]:
        pytest.skip(f"not installed here: {', '.join(missing)} (Debian: openssh-server nftables iproute2)")
    tried = subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"namespaces cannot be made here: {tried.stderr.decode().strip()}")


@contextmanager
@boots
def ssh_hosts(
    folder: Path, *names: str, more: str = "", room: str = "", user: str = "root", systemd: bool = False
) -> Iterator[Mapping[str, Machine]]:
    """`user`: who logs in, root or deploy; `more`: further lines of sshd's configuration; `room`: of /run, such as
    "size=8k,"; `systemd`: whether that starts everything there.
    """
    require_machines()
    if systemd and not (Path(_INIT).exists() and os.access("/sys/fs/cgroup", os.W_OK)):
        pytest.skip(f"there is no {_INIT} here, or no control groups to be divided")
    with ExitStack() as ending:
        for key in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        ending.enter_context(own_client(folder))
        network = _free_network()
        bridge = _bridge_of(f"{network}.1")
        ip("link", "add", bridge, "type", "bridge")
        ending.callback(ip, "link", "del", bridge)
        ip("addr", "add", f"{network}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        machines = {}
        for number, name in enumerate(names, 11):
            machines[name] = machine = _machine(folder, name, f"{network}.{number}", more, room, systemd)
            machine.user = user
            ending.callback(machine.die)
            _connect(machine)
        (folder / "known").write_text(
            "".join(f"[{one.address}]:{PORT} {(folder / 'host_key.pub').read_text()}" for one in machines.values())
        )
        for machine in machines.values():
            eventually(lambda one=machine: _answers(one), within=10, subject=f"{machine.name} answers")  # type: ignore[misc]
        yield machines


def _free_network() -> str:
    """One that no other test on this machine uses now, nor has left behind."""
    used = subprocess.run([str(_found("ip")), "-o", "addr"], capture_output=True, text=True, check=True).stdout
    networks = (f"10.98.{(os.getpid() + number) % 250}" for number in _NUMBERS)
    return next(network for network in networks if f" {network}." not in used)


def _bridge_of(address: str) -> str:
    return f"acc{address.split('.')[2]}b{os.getpid() % 10_000}"


def _answers(machine: Machine) -> None:
    try:
        Reach.of(machine.url).run("left")
    except HostUnreached as error:
        if "sudo" not in str(error):  # that it asks for it means that it answers
            raise NotYet(str(error)) from error


def _machine(folder: Path, name: str, address: str, more: str, room: str, systemd: bool) -> Machine:
    own = folder / name
    (own / "etc").mkdir(parents=True)
    for file in ("group", "ld.so.cache"):
        shutil.copy(Path("/etc") / file, own / "etc")
    shutil.copy(folder / "key.pub", own / "etc/accept_key.pub")  # where the user that logs in may read it
    if Path("/etc/alternatives").is_dir():  # by which Debian finds iptables
        shutil.copytree("/etc/alternatives", own / "etc/alternatives", symlinks=True)
    (own / "etc/passwd").write_text(_PASSWD)
    (own / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    (own / "sshd_config").write_text(_CONFIG.format(folder=folder, port=PORT, more=more))
    sshd = f"{_found('sshd')} -D -e -f {own}/sshd_config"
    words = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
    groups = tuple(_divided(f"{name}-{os.getpid()}-{next(_NUMBERS)}")) if systemd else ()
    if systemd:
        for unit, text in _UNITS.items():
            (own / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
            (own / "etc/systemd/system" / unit).write_text(text.format(sshd=sshd))
        enter = 'for one; do [ "$one" != -- ] || break; echo $$ > "$one"; shift; done; shift; exec "$@"'
        entered = [str(group / "cgroup.procs") for group in groups]
        words = ["sh", "-c", enter, "sh", *entered, "--", *words, "--uts", "--ipc", "--cgroup"]
    first = _SYSTEMD.format(name=name, init=_INIT) if systemd else f"exec {sshd}"
    boot = _BOOT.format(folder=folder, name=name, room=room, first=first)
    log = (own / "log").open("wb")
    process = subprocess.Popen([*words, "sh", "-c", boot], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return Machine(name, address, own, process, groups=groups)


def _divided(name: str) -> Iterator[Path]:
    """A new control group below ours, in each hierarchy of them where that is possible."""
    root = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kind, own = line.split(":", 2)
        mounted = root / (kind.removeprefix("name=") or "unified")
        mounted = mounted if mounted.is_dir() else root
        if kind != "cpuset" and (mounted / "cgroup.procs").exists():  # of which each needs processors first
            group = mounted / own.lstrip("/") / f"accept-test-{name}"
            group.mkdir()
            yield group


def _connect(machine: Machine) -> None:
    eventually(lambda: _booted(machine), within=15, subject=f"{machine.name} boots")
    ip("link", "add", machine.cable, "type", "veth", "peer", "name", "eth0", "netns", str(machine.init))
    ip("link", "set", machine.cable, "master", _bridge_of(machine.address), "up")
    machine.call("ip", "addr", "add", f"{machine.address}/24", "dev", "eth0")
    machine.call("ip", "link", "set", "eth0", "up")
    machine.mark(SCOPE)


def _booted(machine: Machine) -> None:
    try:
        if os.readlink(f"/proc/{machine.init}/ns/net") == os.readlink("/proc/self/ns/net"):
            raise NotYet("it has no network of its own yet")
    except (IndexError, FileNotFoundError) as error:
        raise NotYet("it has no first process yet") from error


@contextmanager
def own_client(folder: Path) -> Iterator[None]:
    """An ssh in PATH that reads a configuration of the test's own, with its key and its known hosts in that folder."""
    config = folder / "ssh_config"
    config.write_text(f"Host *\n IdentityFile {folder}/key\n UserKnownHostsFile {folder}/known\n IdentitiesOnly yes\n")
    real, programs, before = _found("ssh"), folder / "bin", os.environ["PATH"]
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {config} "$@"\n')
    (programs / "ssh").chmod(0o755)
    os.environ["PATH"] = f"{programs}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def ip(*words: str) -> None:
    """Change the network of this machine."""
    subprocess.run([str(_found("ip")), *words], check=True, capture_output=True)
