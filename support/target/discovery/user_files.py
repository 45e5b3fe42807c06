"""Where the files of a member are on a user's host, and why they may not be changed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from support.errors import ProcessFailed
from support.hosts.interface import Running
from support.hosts.remote import Reach
from support.hosts.remote.processes import first_process, servers

_DOWN = "PostgreSQL does not run there"
_UNRECOGNISED = "no process there is recognised as Patroni"
UNSEEN = (
    "our login there may not look into those processes, as their own user may, or root with CAP_SYS_PTRACE "
    "(in a container: cap_add: [SYS_PTRACE])"
)
_LOOK = (
    'if [ ! -f "$1" ]; then echo none; elif [ ! -w "$1" ]; then echo fixed; '
    'elif [ ! -w "$(dirname "$1")" ]; then echo beside; fi'
)
_DATA = re.compile(r"\s-D\s*(.+?)(?=\s--?\w|$)")
"""The data directory in the command line of a postmaster, as Patroni has it."""
_FILE = re.compile(r"\S+\.ya?ml\b")


@dataclass(frozen=True)
class FoundFiles:
    """What was found, and what is in the way."""

    configuration: str = ""
    """Patroni's configuration file."""
    data: str = ""
    """The data directory."""
    binaries: str = ""
    """The folder of PostgreSQL's programs."""
    file_fixed: str = ""
    """Why Patroni's file cannot be changed; empty if it can."""
    data_fixed: str = ""
    """Why the data directory cannot be put aside; empty if it can."""
    data_moves: str = ""
    """Why Patroni would build the member anew in another place; empty if it would not."""


def find_files(reach: Reach, tree: Sequence[Running], scope: str, configuration: str = "") -> FoundFiles:
    """`tree`: the processes of Patroni and PostgreSQL; `configuration`: where Patroni's file is, if declared."""
    patroni = first_process("patroni", tree)
    postgres = servers(tree, scope)
    if patroni is None or not postgres:
        why = _DOWN if not postgres else _UNRECOGNISED
        return FoundFiles(configuration, file_fixed=why, data_fixed=why, data_moves=why)
    try:
        where = _where(reach, patroni.pid) | _where(reach, postgres[0].pid)
        if not all(where.get((one.pid, "exe")) for one in (patroni, postgres[0])):
            return FoundFiles(configuration, file_fixed=UNSEEN, data_fixed=UNSEEN, data_moves=UNSEEN)
        folder = where.get((patroni.pid, "cwd"), "")
        file = configuration or _named(patroni.title, folder)
        data = where.get((postgres[0].pid, "cwd"), "")
        program = where.get((postgres[0].pid, "exe"), "")
        why = reach.run("undestroyable", data).strip() if data else "the data directory cannot be found"
        moves = _why_moved(reach, postgres[0].title, folder)
        return FoundFiles(file, data, program.rpartition("/")[0], _why_not_changed(reach, file), moves or why, moves)
    except ProcessFailed as error:
        why = str(error)
        return FoundFiles(configuration, file_fixed=why, data_fixed=why, data_moves=why)


def _where(reach: Reach, pid: int) -> dict[tuple[int, str], str]:
    rows = (line.split("\t", 2) for line in reach.run("where", str(pid)).splitlines())
    return {(pid, row[1]): row[2] for row in rows if len(row) == 3}


def _why_moved(reach: Reach, title: str, folder: str) -> str:
    """Patroni removes a link, not what it leads to, and then makes a directory in its place.

    A link further up the path is no matter: whatever Patroni makes is behind it, too.
    """
    found = _DATA.search(title)
    named = found[1].rstrip("/") if found else ""
    place = named if not named or named.startswith("/") else f"{folder}/{named}"
    if not place or reach.run("sh", "-c", '[ ! -L "$1" ] || echo link', "", place).strip() != "link":
        return ""
    return f"{place} is a symbolic link, which Patroni would replace by a directory: let data_dir say where it leads"


def _named(title: str, folder: str) -> str:
    """The file that a command line names."""
    found = _FILE.findall(title)
    return "" if not found else found[-1] if found[-1].startswith("/") else f"{folder}/{found[-1]}"


def _why_not_changed(reach: Reach, file: str) -> str:
    if not file:
        return 'Patroni\'s command line names no configuration file: configuration = "..." in its table of [hosts]'
    said = reach.run("sh", "-c", _LOOK, "", file)
    return {
        "fixed": f"Patroni's configuration file {file} cannot be written",
        "beside": f"the folder of {file} cannot be written, where its old contents would be kept",
        "none": f"there is no file {file}, which should be Patroni's configuration",
    }.get(said.strip(), "")
