"""Reaching into a host: a URL becomes the words of a vendor's client, and a shell there reads one script from us.

The script and its arguments go over standard input, so nothing needs quoting for any client, nothing is installed, and
text printed by a login is kept apart from the answer. Only `sh` and /proc are needed there.
"""

import atexit
import os
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from support.errors import UsageError
from support.hosts.remote.access import LOCAL, NEVER_DIRECT, program_of, told
from support.hosts.remote.clients import ANSWER_WITHIN, FORMS, HostFailed, HostRefused, HostUnreached
from support.hosts.remote.containers import Container
from support.hosts.remote.streams import streamed

SCRIPT = Path(__file__).with_name("on_host.sh")
REFUSED = 65
_LONGEST_FOLDER = 32  # characters; with the names that ssh adds, a socket's path has at most 107
_MOST_WORDS = 400  # characters of what a host says when it fails
_ENDS_WITHIN = 4096  # bytes: a shell may say goodbye after the end of an answer
_SSH = (
    "-oBatchMode=yes -oConnectTimeout=5 -oServerAliveInterval=2 -oServerAliveCountMax=3 -oControlMaster=auto "
    "-oControlPersist=60"
).split()
# Without root it is tried by sudo, which would lose where we come from; without that, as whoever we are. The script is
# told why, and gives no answer where only root's would be right.
_AS_ROOT = (
    "sh -c '"
    'if [ "$(id -u)" = 0 ]; then exec sh -s; fi; '
    'why=$(sudo -n sh -s -- "${SSH_CONNECTION:-}" 2>&1 </dev/null) && exec sudo -n sh -s -- "${SSH_CONNECTION:-}"; '
    'exec sh -s -- "${SSH_CONNECTION:-}" "${why:-it said nothing}"\''
)
_AS_WE_ARE = "sh -s"
_PASSWORD = re.compile(r":[^:@/]+@")


@dataclass(frozen=True)
class Sent:
    """A command that was sent to a host."""

    host: str
    at: float
    """Seconds since the epoch."""
    words: str
    outcome: str
    """"ok", or what went wrong."""

    def __str__(self) -> str:
        return f"{time.strftime('%H:%M:%S', time.localtime(self.at))} {self.host}: {self.words}: {self.outcome}"


@dataclass(frozen=True)
class Reach:
    """The way to one host."""

    words: str
    """As the user wrote it."""
    argv: tuple[str, ...]
    """The client's command line; a shell there reads the script from standard input."""
    line: str = ""
    """NEVER_DIRECT where commands do not come over the host's network."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """For the script, in every command."""
    note: Callable[[Sent], None] = lambda sent: None
    """Told of every command that changes something."""
    rehearsal: ClassVar[Callable[["Reach", str, Sequence[str], Mapping[str, str], float], str] | None] = None
    """What answers instead of every host, while faults are rehearsed in this process (see rehearsal.py)."""

    @classmethod
    def of(cls, words: str) -> "Reach":
        """Raises UsageError for anything that is not a way to reach a host."""
        kind, _, rest = words.partition("://")
        if words == LOCAL:
            return cls(words, ("sh", "-s"), NEVER_DIRECT)
        if kind == "ssh" and rest:
            return cls(words, _ssh(words))
        if container := Container.of(words):
            return cls(words, container.shell, NEVER_DIRECT)
        if "{}" in words:
            found = [one.replace("{}", _AS_WE_ARE) if one != "{}" else one for one in _split(words)]
            return cls(words, tuple(part for one in found for part in (["sh", "-s"] if one == "{}" else [one])))
        raise UsageError(f"{_without_secrets(words)!r} is not a way to reach a host; write {FORMS}")

    @classmethod
    def inside(cls, container: Container, words: str, without_shell: bool = False, privileged: bool = False) -> "Reach":
        """Access to a container that is marked by a file in it, or by a label; perhaps one that has no sh.

        `privileged`: with every right that there is inside, which its engine may refuse.
        """
        argv = container.privileged_shell if privileged else container.shell
        argv = container.shell_from_outside if without_shell else argv
        return cls(words, argv, NEVER_DIRECT, container.variables_inside(without_shell))

    @classmethod
    def beside(cls, container: Container) -> "Reach":
        """The way to the machine of a container's engine, for what is done to the container as a whole."""
        words = f"{container.client}'s machine for {container.name}"
        return cls(words, ("sh", "-s"), NEVER_DIRECT, container.variables_beside())

    @property
    def told(self) -> str:
        """`words`, for messages and reports: without what may be a password."""
        return told(self.words)

    @property
    def client(self) -> str:
        """The program that is run here."""
        return self.argv[0]

    def text(self, verb: str, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
        """The call that follows the script, as it is sent."""
        given = {**self.variables, **(variables or {})}
        settings = "".join(f"{name}={shlex.quote(value)}; " for name, value in given.items())
        return f"{settings}main {shlex.join([verb, *arguments])} </dev/null"

    def run(
        self, verb: str, *arguments: str, within: float = ANSWER_WITHIN, variables: Mapping[str, str] | None = None
    ) -> str:
        """What the script answers to one of its verbs.

        Raises HostUnreached without an answer, HostRefused if the host does not do it, HostFailed if it could not.
        """
        if Reach.rehearsal is not None:
            return Reach.rehearsal(self, verb, arguments, variables or {}, within)
        return self.send(verb, *arguments, within=within, variables=variables)

    def send(
        self, verb: str, *arguments: str, within: float = ANSWER_WITHIN, variables: Mapping[str, str] | None = None
    ) -> str:
        """What the script answers to one of its verbs, also during a rehearsal; see `run`."""
        nonce = secrets.token_hex(8)
        call = self.text(verb, *arguments, variables={"NONCE": nonce, **(variables or {})})
        try:
            ended = subprocess.run(
                self.argv,
                input=f"{SCRIPT.read_text(encoding='utf-8')}\n{call}\n".encode(),
                capture_output=True,
                timeout=within,
                start_new_session=True,  # Ctrl-C is for us: what is going on there is undone in order
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HostUnreached(f"{self.told} gave no answer within {within:g} s") from None
        except OSError as error:
            raise HostUnreached(f"{self.told}: {self.client} cannot be run here: {error.strerror}") from None
        said = ended.stdout.decode(errors="replace")
        begin, end = f"accept: begin {nonce}\n", f"\naccept: end {nonce} "
        at, until = said.find(begin), said.rfind(end)
        if at < 0 or until < 0:
            why = " ".join(ended.stderr.decode(errors="replace").split())[-_MOST_WORDS:]
            raise HostUnreached(
                f"{self.told} gave no answer (exit status {ended.returncode}): {why or 'it said nothing'}"
            )
        answer, status = said[at + len(begin) : until], int(said[until + len(end) :].split()[0])
        if status:
            kind = HostRefused if status == REFUSED else HostFailed
            raise kind(f"{self.told}: {_why(verb, status, answer, ended.stderr.decode(errors='replace'))}")
        return answer

    def stream(self, verb: str, *arguments: str, within: float) -> Iterator[bytes]:
        """What `run` returns, in portions as they arrive, for a verb that only looks: its answer may be very long.

        `within` is how many seconds the next portion may take. Raises what `run` raises, perhaps after some portions.
        """
        nonce = secrets.token_hex(8)
        given = f"{SCRIPT.read_text(encoding='utf-8')}\n{self.text(verb, *arguments, variables={'NONCE': nonce})}\n"
        begin, end = f"accept: begin {nonce}\n".encode(), f"\naccept: end {nonce} ".encode()
        held, begun, left = b"", False, 0
        with tempfile.TemporaryFile() as errors:
            try:
                for portion in streamed(self.argv, given.encode(), within, errors):
                    held += portion
                    if not begun and begin in held:
                        begun, held = True, held.partition(begin)[2]
                    if begun and len(held) > _ENDS_WITHIN:
                        yield held[:-_ENDS_WITHIN]
                        held = held[-_ENDS_WITHIN:]
            except subprocess.TimeoutExpired:
                raise HostUnreached(f"{self.told} gave no answer within {within:g} s") from None
            except subprocess.CalledProcessError as error:
                left = error.returncode
            except OSError as error:
                raise HostUnreached(f"{self.told}: {self.client} cannot be run here: {error.strerror}") from None
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        answer, ended, status = held.rpartition(end)
        if not begun or not ended:
            why = " ".join(said.split())[-_MOST_WORDS:]
            raise HostUnreached(f"{self.told} gave no answer (exit status {left}): {why or 'it said nothing'}")
        yield answer
        if (code := int(status.split()[0])) == REFUSED:
            raise HostRefused(f"{self.told}: {_why(verb, code, answer.decode(errors='replace'), said)}")
        if code:  # what it has told until then, which may be secret, does not explain it
            raise HostFailed(f"{self.told}: {_why(verb, code, '', said)}")


def _why(verb: str, status: int, answer: str, errors: str) -> str:
    """Why a verb failed, in one line. What a command has printed before may be long, and secret: a configuration."""
    refused = answer.rpartition("refused: ")[2] if status == REFUSED else ""
    told = " ".join((refused or errors or answer).split())
    return told[-_MOST_WORDS:] or f"{verb} ended with {status}"


def _without_secrets(words: str) -> str:
    """What the user wrote, of which it is not even known what it is."""
    return _PASSWORD.sub(":...@", program_of(words))


def _split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError as error:
        raise UsageError(f"{_without_secrets(words)!r} cannot be read as a command: {error}") from None


def _ssh(words: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(words)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{_without_secrets(words)!r}: {error}; write {FORMS}") from None
    if not parts.hostname or parts.password or parts.path.strip("/") or parts.query or parts.hostname.startswith("-"):
        raise UsageError(
            f"{_without_secrets(words)!r} should be like ssh://user@host:22; everything else belongs in ~/.ssh/config"
        )
    user = ["-l", parts.username] if parts.username else []
    where = ["-p", str(port)] if port else []
    return ("ssh", *_SSH, f"-oControlPath={_sockets()}/%C", *user, *where, "--", parts.hostname, _AS_ROOT)


@cache
def _sockets() -> str:
    """The folder of ssh's connections, of this process alone; short, as sockets' paths must be."""
    usual = tempfile.gettempdir()  # which TMPDIR may put deep into a workspace
    folder = tempfile.mkdtemp(prefix="accept-", dir=usual if len(usual) <= _LONGEST_FOLDER else "/tmp")
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            for socket in Path(folder).iterdir():
                ending = [
                    "ssh",
                    f"-oControlPath={socket}",
                    "-Oexit",
                    "localhost",
                ]  # ssh requires a name, but does not look it up
                subprocess.run(ending, capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
