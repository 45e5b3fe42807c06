"""Containers: what their engine, docker or podman, knows of them and does to them, beside what is done inside.

What stops a container from outside (a kill, a pause) is guarded on the machine where the engine's client runs, which is
this one: a guard inside would be stopped, too.
"""

import io
import os
import re
import shlex
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from support.errors import NotAvailable, UsageError
from support.hosts.remote.clients import ANSWER_WITHIN, FORMS, asked
from support.hosts.remote.streams import streamed

LABEL = "accept-breakable"
"""The label of a container that stands for the mark on a machine."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_ORCHESTRATORS = {
    "com.docker.swarm.task.id": "Swarm",
    "io.kubernetes.pod.name": "Kubernetes",
    "com.hashicorp.nomad.alloc_id": "Nomad",
    "com.amazonaws.ecs.task-arn": "ECS",
}
"""Label of a container that an orchestrator has made -> the orchestrator."""
_FACTS = (
    "{{.State.Status}}|{{.State.ExitCode}}|{{.State.Pid}}|{{.State.StartedAt}}|{{.HostConfig.NetworkMode}}|"
    '{{with index .Config.Labels "'
    + LABEL
    + '"}}{{.}}{{end}}|'
    + "".join('{{with index .Config.Labels "' + one + '"}}' + its + " {{end}}" for one, its in _ORCHESTRATORS.items())
    + "|{{.HostConfig.AutoRemove}}|{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}"
)
_ENVIRONMENT = re.compile(r"(?!\w*(AUTH|PASS|TOKEN|SECRET))(DOCKER|CONTAINERS?|PODMAN|XDG)_\w+|HOME|PATH|SSH_AUTH_SOCK")
"""What the engine's client reads; the guard's commands are given the same, but no login for a registry. With
DOCKER_HOST=ssh://, it asks an agent for the key.
"""
_MARK_FILE = "/etc/accept-breakable"
_KILLED = 128 + signal.SIGKILL
_START_TIME = 19  # the field of /proc/PID/stat, counted after the name
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)? ?(Z|[+-]\d\d:?\d\d)")
_TIMED = re.compile(r"^(\d{4}-\d\d-\d\dT\S+) (.*(?:\n|\Z))", re.MULTILINE)
"""A line of a log that was asked for with times."""
_ENDED = ("exited", "stopped")
"""The status of a container that has ended; podman calls it stopped until it has tidied up after it."""
_MADE_WITHIN = 60.0  # seconds between the start of a first process and that of its container, on a busy machine


@dataclass(frozen=True)
class State:
    """What the engine says of a container."""

    status: str
    """running, paused, exited, created, ..."""
    exit_code: int
    """The exit status of its first process, if that has ended."""
    pid: int
    """The id of its first process on the engine's machine; 0 if it does not run."""
    started: str
    network: str
    """bridge, host, container:ID, or the name of a network."""
    label: str
    """The scope for which it may be broken, if a label says so."""
    addresses: tuple[str, ...]
    orchestrator: str = ""
    """What has made it, and puts another in its place when it dies, such as Swarm; empty if nothing does."""
    removed: bool = False
    """Whether its engine removes it when it ends, with the data in its anonymous volumes (--rm)."""

    @classmethod
    def of(cls, said: str) -> "State":
        """As an engine answers to `_FACTS`."""
        status, code, pid, started, network, label, orchestrators, removed, addresses = said.strip().split("|", 8)
        orchestrator, each = next(iter(orchestrators.split()), ""), tuple(filter(_is_address, addresses.split()))
        return cls(status, int(code), int(pid), started, network, label.strip(), each, orchestrator, removed == "true")

    @property
    def why_not_started(self) -> str:
        """Why it must not be started once it is down; empty if it may be.

        Of two servers with the same data directory, each destroys what the other writes: PostgreSQL's lock on it does
        not work between containers.
        """
        if self.orchestrator:
            return (
                f"{self.orchestrator} replaces it when it dies, and would leave two with the same data if it is started"
            )
        return ""

    @property
    def why_not_killed(self) -> str:
        """Why it must not be killed, as nobody could bring it back; empty if somebody can."""
        if self.removed:
            return (
                "its engine removes it when it is killed (--rm): start it without --rm; or, if systemd starts it, name "
                'its machine in [hosts], with programs = { patroni = "systemd:UNIT" }'
            )
        return self.why_not_started


@dataclass(frozen=True)
class Container:
    """One container, by the name that its engine knows."""

    client: str
    """docker or podman."""
    name: str

    @classmethod
    def of(cls, words: str) -> "Container | None":
        """The container of a docker:// or podman:// URL; None for any other kind of access.

        Raises UsageError if it names none, HostUnreached if the engine does not answer.
        """
        kind, _, rest = words.partition("://")
        if kind not in ("docker", "podman") or not rest:
            return None
        parts = urlsplit(words)
        if "on" in parse_qs(parts.query):
            raise UsageError(f"{words}: ?on= is not supported; set DOCKER_HOST, or use a command with {{}} in it")
        names = f"{parts.netloc}{parts.path.rstrip('/')}".split("/")
        if not all(_NAME.fullmatch(one) for one in names) or len(names) > 3:
            raise UsageError(f"{words!r} names no container; write {FORMS}")
        return cls(kind, names[0] if len(names) == 1 else _of_compose(words, kind, names))

    @property
    def shell(self) -> tuple[str, ...]:
        """The words that run a shell inside."""
        return (self.client, "exec", "-i", "--user=0", self.name, "sh", "-s")

    @property
    def privileged_shell(self) -> tuple[str, ...]:
        """The words that run a shell inside with every right there is. Without these, root there may not see what a
        process of another user has open, where it is, or with which variables it was started (CAP_SYS_PTRACE).
        """
        return (self.client, "exec", "-i", "--privileged", "--user=0", self.name, "sh", "-s")

    @property
    def present_pid(self) -> str:
        """For a shell on the engine's machine: the id of the container's first process by then; 0 if it is down."""
        return f'"$({shlex.join([self.client, "inspect", "--format={{.State.Pid}}", self.name])})"'

    @property
    def shell_from_outside(self) -> tuple[str, ...]:
        """The words that run a shell for a container that has no sh: the shell and the programs are those of this
        machine, the processes and the network those of the container. They need root on the engine's machine. The
        container's files are below /proc/1/root then.
        """
        enter = f"exec nsenter --target={self.present_pid} --pid --net -- unshare --mount --mount-proc sh -s"
        return ("sh", "-c", enter)

    def state(self) -> State:
        """As it is now. Raises HostUnreached, with what to do about it, if the engine does not know it or refuses."""
        return State.of(asked([self.client, "inspect", "--type=container", f"--format={_FACTS}", self.name]))

    @property
    def is_marked(self) -> bool:
        """Whether anything says that it may be broken, for whatever scope. Its files can be read whatever it does."""
        if self.state().label:
            return True
        try:
            argv = [self.client, "cp", f"{self.name}:{_MARK_FILE}", "-"]
            packed = subprocess.run(argv, capture_output=True, timeout=ANSWER_WITHIN, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                file = archive.extractfile(archive.getmembers()[0])
                return file is not None and bool(file.read().strip())
        except (OSError, subprocess.SubprocessError, tarfile.TarError, LookupError):  # a link that leads nowhere, too
            return False

    @property
    def running(self) -> bool:
        """Whether anything in it runs. Raises HostUnreached like `state`."""
        return self.state().status == "running"

    @cached_property
    def mark(self) -> str:
        """The command that prints for which scopes it may be broken; for the script inside and for the one beside."""
        label = self.state().label
        return f"echo {shlex.quote(label)}" if label else ":"

    def variables_inside(self, without_shell: bool) -> Mapping[str, str]:
        """What the script inside is given."""
        if not without_shell:
            return {"MARK": f"{self.mark}; cat {_MARK_FILE}"}
        mark = f"{self.mark}; cat /proc/1/root{_MARK_FILE}"
        return {"MARK": mark, "FOLDER": f"{self._folder}-inside", "FILES": "none"}

    def variables_beside(self) -> Mapping[str, str]:
        """What the script on the engine's machine is given."""
        given = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
        return {
            "FOLDER": self._folder,
            "LINE": "none",
            "FILES": "none",
            "RULES": "none",
            "MARK": f"{self.mark}; {self.command('exec', self.name, 'cat', _MARK_FILE)}",
            "BORN": self.command("inspect", "--type=container", "--format={{.State.StartedAt}}", self.name),
            "DOWN": self.is_down,
            "GONE": self.is_gone,
            "EXPORTS": "; ".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(given.items())),
        }

    def command(self, *words: str) -> str:
        """A command of the engine, for a shell."""
        return shlex.join([self.client, *words])

    @property
    def kill(self) -> str:
        """The command that kills it at once. An engine does not restart what it was told to kill."""
        return self.command("kill", self.name)

    @property
    def start(self) -> str:
        """The command that starts it; harmless if it runs."""
        return self.command("start", self.name)

    @property
    def let_go(self) -> str:
        """The command that ends what a fault may have done to it from outside; empty if it runs, or ended by itself, or
        must not be started again.
        """
        state = self.state()
        if state.status == "paused":
            return self.command("unpause", self.name)
        return self.start if state.status in _ENDED and state.exit_code == _KILLED and not state.why_not_started else ""

    @property
    def pause(self) -> str:
        return self.command("pause", self.name)

    @property
    def unpause(self) -> str:
        """The command that lets it go on; harmless if it is not paused."""
        return f"! {{ {self.is_paused}; }} || {self.command('unpause', self.name)}"

    @property
    def is_paused(self) -> str:
        """The command that succeeds while it is."""
        status = self.command("inspect", "--type=container", "--format={{.State.Status}}", self.name)
        return f'[ "$({status})" = paused ]'

    @property
    def is_down(self) -> str:
        """The command that succeeds if nothing runs in it, and so its own network no longer exists."""
        status = self.command("inspect", "--type=container", "--format={{.State.Status}}", self.name)
        gone = f"'') {self.is_gone};;"  # or its engine does not answer
        return f'case "$({status} 2>/dev/null)" in exited|stopped|created|configured|dead) ;; {gone} *) false;; esac'

    @property
    def is_gone(self) -> str:
        """The command that succeeds if its engine answers that there is no such container."""
        asked_for = self.command("inspect", "--type=container", "--format={{.State.Status}}", self.name)
        return f"{asked_for} 2>&1 | grep -qi 'no such \\(container\\|object\\)'"

    def pid_here(self, started: int) -> int:
        """Its first process by the id that it has on this machine; `started` tells it from any other.

        Raises NotAvailable if the engine's machine is another one, or keeps its processes from us.
        """
        pid = self.state().pid
        if pid and _start_time(pid) == started:
            return pid
        raise NotAvailable(
            f"the first process of the container {self.name} can only be suspended from outside: run the suite as root "
            "on the machine of its engine"
        )

    def network_prefixes(self) -> Sequence[str]:
        """Commands, by preference, that run another one in its network with the right to change that; {pid} stands
        for its first process, as the engine's machine sees it.

        Empty if its network is not its own: what is cut for it would be cut for others.
        """
        state = self.state()
        if not state.pid or state.network == "host" or state.network.startswith(("container:", "ns:")):
            return ()
        ways = [self.command("exec", "-i", "--privileged", self.name)]
        if is_here(state) and _other_network(state.pid):
            ways.insert(0, "nsenter --target={pid} --net")
        return ways

    @property
    def _folder(self) -> str:
        return f"accept-{self.client}-{self.name}"


_READ_WITHIN = 60.0  # seconds for a log; for each portion of it if it is read in portions


class EngineLog:
    """What a container has written to its standard output and error."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def end(self) -> str:
        """See Log. The time of the last line, by the engine's clock, and how many lines have it; empty without any.

        podman tells docker's client whole seconds, in each of which there may be many lines.
        """
        times = [moment for moment, _ in self._timed("--tail=1")]
        if not times:
            return ""
        same = [moment for moment, _ in self._timed(f"--since={times[-1]}") if moment == times[-1]]
        return f"{times[-1]} {len(same)}"

    def since(self, mark: str) -> str:
        """See Log."""
        if not mark:
            return self._read()
        last, _, count = mark.partition(" ")
        timed = self._timed(f"--since={last}")
        known = [number for number, (moment, _) in enumerate(timed) if moment == last][: int(count)]
        return "".join(words for number, (_, words) in enumerate(timed) if number not in known)

    def _timed(self, *options: str) -> list[tuple[str, str]]:
        """Each line with its time; what the client itself says has none, and is left out."""
        return [(found[1], found[2]) for found in _TIMED.finditer(self._read("--timestamps", *options))]

    def last(self, most: int) -> str:
        """See Log."""
        return self._read(f"--tail={most // 100}")

    def portions(self) -> Iterator[bytes]:
        """See Log."""
        try:
            yield from streamed(self._words(), b"", _READ_WITHIN, subprocess.STDOUT)
        except subprocess.SubprocessError as error:
            raise OSError(f"{shlex.join(self._words())}: {error}") from error

    def _words(self, *options: str) -> list[str]:
        return [self._container.client, "logs", *options, self._container.name]

    def _read(self, *options: str) -> str:
        words, both = self._words(*options), subprocess.STDOUT
        try:
            ended = subprocess.run(words, stdout=subprocess.PIPE, stderr=both, timeout=_READ_WITHIN, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise OSError(f"{shlex.join(words)}: {error}") from error
        return ended.stdout.decode(errors="replace")


def _of_compose(words: str, client: str, names: Sequence[str]) -> str:
    project, service, number = (*names, "1")[:3]
    labels: Mapping[str, str] = {"project": project, "service": service, "container-number": number}
    filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    found = asked([client, "ps", "--all", *filters, "--format={{.Names}}"]).split()
    if len(found) != 1:
        raise UsageError(f"{words}: compose has {len(found)} containers {number} of service {service} in {project}")
    return found[0]


def _is_address(word: str) -> bool:
    """Whether it is one. For one that it does not have, Docker 29 says "invalid IP"."""
    try:
        return bool(ip_address(word))
    except ValueError:
        return False


def is_here(state: State) -> bool:
    """Whether the engine's processes are this machine's: with the engine elsewhere, that id is of a stranger here."""
    found = _TIME.match(state.started)
    if found is None:
        return False
    day, clock, zone = found.groups()
    started = datetime.strptime(f"{day} {clock} {zone}", "%Y-%m-%d %H:%M:%S %z").timestamp()
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    since_boot = _start_time(state.pid) / os.sysconf("SC_CLK_TCK")
    return since_boot >= 0 and abs(time.time() - up + since_boot - started) < _MADE_WITHIN


def _start_time(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[_START_TIME])
    except (OSError, ValueError, IndexError):
        return -1


def _other_network(pid: int) -> bool:
    """Whether a process of this machine is in another network than we are, and we may enter it."""
    try:
        return os.geteuid() == 0 and os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    except OSError:
        return False
