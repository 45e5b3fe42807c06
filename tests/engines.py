"""Real containers for the tests: podman with a store of its own, and the docker client on its socket.

    with engine("podman", tmp_path) as pods:
        pods.run("one", "/usr/bin/sleep", "600")     # known as podman://one from here on

There is no image and no registry: the root file system of each container is this machine's own /usr, read only. Skips,
with the reason, where such containers cannot be run.
"""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from booting import boots

from support.errors import NotInTime
from support.waiting import NotYet, eventually

_WRAPPER = """#!/bin/sh
exec {podman} --root {folder}/store --runroot {folder}/runs --cgroup-manager cgroupfs {runtime} \\
  --events-backend file "$@"
"""
_FILES = ("passwd", "group", "nsswitch.conf", "ld.so.cache")
_LINKS = ("bin", "sbin", "lib", "lib64")


@dataclass
class Pods:
    """The containers of a test."""

    client: str
    """podman, or docker."""
    folder: Path
    names: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.client}://{name}"

    def root(self, name: str) -> Path:
        """The root file system of a container."""
        return self.folder / f"root-{name}"

    def run(self, name: str, *command: str, options: tuple[str, ...] = (), tools: bool = True) -> None:
        """Start a container; without `tools` it holds nothing but the program."""
        shutil.rmtree(f"/run/accept-{self.client}-{name}", ignore_errors=True)  # of one whose test was killed
        root = self.root(name)
        for part in ("etc", "dev", "proc", "sys", "tmp", "run", "var", "usr/bin"):
            (root / part).mkdir(parents=True, exist_ok=True)
        if tools:
            for link in _LINKS:
                (root / link).symlink_to(f"usr/{link}")
            for file in _FILES:
                shutil.copy(Path("/etc") / file, root / "etc")
            shutil.copytree("/etc/alternatives", root / "etc/alternatives", symlinks=True)
            options = (*options, "--volume=/usr:/usr:ro")
        else:
            _copy_alone(Path(command[0]), root)
        low = [f"--ulimit={name}={n}:{n}" for name, n in (("nofile", _limit(resource.RLIMIT_NOFILE, 4096)),)]
        low.append(f"--ulimit=nproc={(n := _limit(resource.RLIMIT_NPROC, 8192))}:{n}")
        words = ["run", "--detach", f"--name={name}", "--log-driver=k8s-file", *low, *options, "--rootfs", str(root)]
        self.call(*words, *command)
        self.names.append(name)

    def call(self, *words: str) -> str:
        """A command of podman's, whichever client is tested."""
        try:
            return subprocess.run(["podman", *words], capture_output=True, text=True, check=True).stdout
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise

    def state(self, name: str) -> str:
        return self.call("inspect", "--format={{.State.Status}}", name).strip()

    def mark(self, name: str, *scopes: str) -> None:
        (self.root(name) / "etc/accept-breakable").write_text("".join(f"{one}\n" for one in scopes))


@contextmanager
@boots
def engine(client: str, folder: Path) -> Iterator[Pods]:
    """The containers end with it. Several can be open at once."""
    _require(client)
    with ExitStack() as ending:
        runtime = f"--runtime {shutil.which('runc', path=_path())}" if shutil.which("runc", path=_path()) else ""
        programs = folder / "programs"
        programs.mkdir()
        podman = shutil.which("podman")
        (programs / "podman").write_text(_WRAPPER.format(podman=podman, folder=folder, runtime=runtime))
        (programs / "podman").chmod(0o755)
        ending.enter_context(_environment(PATH=f"{programs}:{os.environ['PATH']}"))
        pods = Pods(client, folder)
        ending.callback(_remove, pods)
        if client == "docker":
            socket = folder / "engine.sock"
            words = ["podman", "system", "service", "--time=0", f"unix://{socket}"]
            service = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            ending.callback(_end, service)
            ending.enter_context(_environment(DOCKER_HOST=f"unix://{socket}"))
            try:
                eventually(lambda: _answers(client), within=30, subject="the engine answers")
            except NotInTime as error:
                pytest.skip(f"podman serves no docker client here: {error}")
        _try(pods)
        yield pods


def _require(client: str) -> None:
    if os.geteuid():
        pytest.skip("these containers need root")
    if missing := [one for one in dict.fromkeys(("podman", client)) if shutil.which(one) is None]:
        pytest.skip(f"not installed here: {', '.join(missing)} (Debian: podman runc docker-cli)")
    if not Path("/bin").is_symlink():
        pytest.skip("the programs of this machine are not all in /usr, which the containers are made of")


def _try(pods: Pods) -> None:
    try:
        pods.run("tried", "/usr/bin/true")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"containers cannot be run here: {error.stderr.strip()[-300:]}")


def _answers(client: str) -> None:
    if subprocess.run([client, "version"], capture_output=True, check=False).returncode:
        raise NotYet(f"{client} version failed")


def _remove(pods: Pods) -> None:
    if pods.names:
        subprocess.run(["podman", "rm", "--force", "--time=0", *pods.names], capture_output=True, check=False)
    for entry in Path("/proc").iterdir():  # monitors of what the docker client ran inside: they would stay for minutes
        with suppress(OSError):
            words = (entry / "cmdline").read_text() if entry.name.isdigit() else ""
            if "conmon" in words.partition("\0")[0] and f"{pods.folder}/" in words:
                # Not SIGTERM: that it passes on to the process that it has watched, whose id may be another's by now.
                os.kill(int(entry.name), signal.SIGKILL)


def _end(service: "subprocess.Popen[bytes]") -> None:
    service.terminate()
    service.wait()


def _limit(kind: int, most: int) -> int:
    """A limit that needs no right to raise any."""
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _copy_alone(program: Path, root: Path) -> None:
    """A program with the libraries that it needs, and nothing else."""
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    libraries = [word for line in said.splitlines() for word in line.split() if word.startswith("/")]
    for file in (str(program), *libraries):
        (root / file[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / file[1:])


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
