"""How the suite may reach into the hosts of a cluster: lines for [hosts], tried before they are proposed."""

import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from support.errors import ProcessFailed, UsageError
from support.hosts.remote import Reach
from support.hosts.remote.processes import first_process, parsed_table, program_trees
from support.target.discovery import user_hosts
from support.target.topology import Topology

ADDRESS, NAME = "ADDRESS", "NAME"
"""What stands in the user's pattern for the address of a host, and for its name."""
UNTOLD, UNTOLD_CONTAINER = f"ssh://root@{ADDRESS}", f"docker://{NAME}"
"""The patterns of the lines that are proposed, and not used, where the user gave none: for machines, for containers."""
_ENGINES = ("docker://", "podman://")
_ASKS_WITHIN = 10.0  # seconds for the engine on this machine
_FORMAT = '{{.Names}}\t{{.Label "com.docker.compose.service"}}\t{{.Image}}'
_ETCD_SECTIONS = ("etcd3", "etcd")


@dataclass(frozen=True)
class Wanted:
    """A host to reach into."""

    name: str
    """The member's, or what it is called in [hosts]."""
    address: str
    program: str
    """Why: patroni, etcd, haproxy or redis."""
    container: bool = False
    """Whether it seems to be a container: it calls itself otherwise than it is reached from here."""


@dataclass(frozen=True)
class Proposal:
    """A line for [hosts]."""

    name: str
    reach: str
    works: bool
    words: str
    """What was found there, or what is in the way."""


def check_pattern(pattern: str) -> None:
    """Raises UsageError for a pattern that can be no way to every host."""
    if ADDRESS not in pattern and NAME not in pattern:
        raise UsageError(f"--hosts {pattern!r}: write {ADDRESS} or {NAME} where that of each host belongs: {UNTOLD}")
    if not pattern.startswith(_ENGINES):
        Reach.of(pattern.replace(ADDRESS, "host").replace(NAME, "host"))


def propose(pattern: str, wanted: Iterable[Wanted], topology: Topology) -> list[Proposal]:
    """A line for each host. Each is tried, if the user gave the pattern: it changes nothing there."""
    hosts = list(wanted)
    if not pattern:
        patterns = {one.name: UNTOLD_CONTAINER if one.container else UNTOLD for one in hosts}
        return [Proposal(one.name, _filled_in(patterns[one.name], one), False, "") for one in hosts]
    containers = _containers(pattern)
    ways = {one.name: _filled_in(pattern, one, containers) for one in hosts}
    looked = user_hosts.find(ways, topology).looked
    found = []
    for name, way in ways.items():
        one = looked[name]
        answered = bool(one.access.programs or one.remarks)
        found.append(Proposal(name, way, answered, "; ".join(one.obstacles or one.remarks)))
    return found


def reach_of(pattern: str, wanted: Wanted) -> Reach:
    """The way to one host."""
    return Reach.of(_filled_in(pattern, wanted, _containers(pattern)))


def _filled_in(pattern: str, wanted: Wanted, containers: Mapping[str, tuple[str, str]] | None = None) -> str:
    name = _container_of(wanted, containers) if containers else wanted.name
    address = f"[{wanted.address}]" if ":" in wanted.address and "://" in pattern else wanted.address
    return pattern.replace(ADDRESS, address).replace(NAME, name)


def _containers(pattern: str) -> dict[str, tuple[str, str]]:
    """Container -> its compose service and its image, by the engine on this machine; empty if it does not answer."""
    if not pattern.startswith(_ENGINES):
        return {}
    engine = pattern.partition("://")[0]
    try:
        listed = subprocess.run(
            [engine, "ps", "--format", _FORMAT], capture_output=True, text=True, timeout=_ASKS_WITHIN, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [line.split("\t") for line in listed.splitlines()]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


def _container_of(wanted: Wanted, containers: Mapping[str, tuple[str, str]]) -> str:
    """The container of that name, service, or program; the name itself if none, or several, may be it."""
    if wanted.name in containers:
        return wanted.name
    by_service = [name for name, (service, _) in containers.items() if service == wanted.name]
    by_image = [name for name, (_, image) in containers.items() if wanted.program in image]
    for found in (by_service, by_image):
        if len(found) == 1:
            return found[0]
    return wanted.name


def configured_etcd(reach: Reach, scope: str) -> list[str]:
    """The addresses of etcd in the configuration of the Patroni on a host; empty if that cannot be read there."""
    try:
        tree = program_trees(parsed_table(reach.run("table")), scope).get("patroni", ())
        patroni = first_process("patroni", tree)
        if patroni is None:
            return []
        for file in (word for word in shlex.split(patroni.title) if word.endswith((".yml", ".yaml"))):
            if found := etcd_in(reach.run("cat", file)):
                return found
        environment = reach.run("sh", "-c", f"tr '\\0' '\\n' < /proc/{patroni.pid}/environ")
        pairs = dict(line.split("=", 1) for line in environment.splitlines() if "=" in line)
        said = [pairs.get(f"PATRONI_{section}_{key}", "") for section in ("ETCD3", "ETCD") for key in ("HOSTS", "HOST")]
        return next((_addresses(one) for one in said if one), [])
    except (ProcessFailed, ValueError):
        return []


def etcd_in(configuration: str) -> list[str]:
    """The addresses of etcd in a configuration of Patroni."""
    try:
        said = yaml.safe_load(configuration)
    except yaml.YAMLError:
        return []
    for section in _ETCD_SECTIONS:
        etcd = said.get(section) if isinstance(said, Mapping) else None
        if isinstance(etcd, Mapping) and (hosts := etcd.get("hosts") or etcd.get("host")):
            return _addresses(hosts)
    return []


def _addresses(said: object) -> list[str]:
    words = said.split(",") if isinstance(said, str) else said if isinstance(said, list) else []
    return [str(one).strip(" '\"[]-") for one in words if str(one).strip()]
