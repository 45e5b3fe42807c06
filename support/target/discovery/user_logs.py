"""Which programs on a user's host log to where the suite reads nothing."""

from collections.abc import Iterator, Mapping, Sequence

from support.errors import ProcessFailed
from support.hosts.interface import Running
from support.hosts.remote import ProgramAccess, Reach
from support.hosts.remote.logs import opened
from support.hosts.remote.processes import writers
from support.target.discovery.user_files import UNSEEN
from support.waiting import describe


def unread_logs(
    reach: Reach, trees: Mapping[str, Sequence[Running]], programs: Mapping[str, ProgramAccess], scope: str, kept: bool
) -> Iterator[str]:
    """Program by program, why its log is not read, for people; nothing of those whose log is.

    `kept`: an engine of containers keeps what is written to standard output.
    """
    for program, tree in trees.items():
        try:
            files = opened(reach, writers(program, tree, scope))
        except ProcessFailed as error:
            yield f"the log of {program} is not read: {describe(error)}"
            continue
        if any(not one.file for one in files):
            yield f"files to which {program} logs are not read: {UNSEEN}"
        elif not files and not kept and not programs[program].unit:
            yield f"the log of {program} is not read: it has no log file open, and is no unit of systemd with a journal"
