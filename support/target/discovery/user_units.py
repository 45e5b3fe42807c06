"""How a program on a user's host is started: by a unit of systemd, or by a command of the user's; and whether that unit
would start it again."""

import shlex
from collections.abc import Mapping, Sequence

from support.errors import ProcessFailed
from support.hosts.interface import Running
from support.hosts.remote import ProgramAccess, Reach
from support.hosts.remote.access import UNIT, program_of
from support.hosts.remote.processes import first_process, of_own_unit
from support.waiting import describe

_LAST = "zzzz"
"""The begin of the name of a unit's drop-in: of all such files, wherever they are, the last one by name holds."""
_ASKED = ("Id", "LoadState", "MainPID", "Type", "RemainAfterExit")
_PASSING = frozenset("sh bash dash ash ksh zsh busybox sudo su runuser timeout flock tini dumb-init conmon".split())
"""Programs that end when what they have started does."""
_CLIENTS = ("docker", "podman")
"""Programs that last as long as the container that they have started, which is not below them."""


def by_words(how: str) -> ProgramAccess:
    """As [hosts] says it: "systemd:UNIT", or a command."""
    if not how.startswith("systemd:"):
        return ProgramAccess(start=how, how=f"started by {program_of(how)}")
    unit = how.removeprefix("systemd:").strip()
    return _of_unit(unit if "." in unit else f"{unit}.service")


def by_process(first: Running, systemd: bool) -> ProgramAccess:
    """As its first process tells; nothing is known of one that no unit has started."""
    return _of_unit(first.service) if systemd and of_own_unit(first) else ProgramAccess()


def _of_unit(unit: str) -> ProgramAccess:
    """A crash stays until it is healed: whatever the unit says of restarts is overruled meanwhile, until a reboot.

    It is not awaited that the unit has started: that may take the hosts that are healed after this one.
    """
    name, folder = shlex.quote(unit), shlex.quote(f"/run/systemd/system/{unit}.d")
    file = f"{folder}/{_LAST}-accept.conf"
    overruled = shlex.quote(f"Restart= of {unit} is set by a file that comes after ours, see: systemctl cat {unit}")
    return ProgramAccess(
        start=f"systemctl start --no-block {name}",
        hold=(
            f"mkdir -p {folder} && printf '[Service]\\nRestart=no\\n' > {file} && systemctl daemon-reload && "
            f'{{ [ "$(systemctl show -p Restart {name})" = Restart=no ] || {{ echo {overruled}; false; }}; }}'
        ),
        release=(
            f"rm -f {file}; rmdir {folder} 2>/dev/null; systemctl daemon-reload && "
            f"{{ systemctl reset-failed {name} 2>/dev/null || :; }}"
        ),
        how=f"{UNIT}{unit}",
    )


def startable(
    reach: Reach,
    programs: Mapping[str, ProgramAccess],
    trees: Mapping[str, Sequence[Running]],
    table: Sequence[Running],
    why: str,
) -> dict[str, ProgramAccess]:
    """The programs; of one whose unit would not start it again, with the reason instead of the commands.

    `table`: every process there; `trees`: those of each program; `why`: why that is so for every unit, if it is.
    """
    of_unit = {program: one for program, one in programs.items() if one.unit}
    if not of_unit:
        return dict(programs)
    asked = [f"--property={one}" for one in _ASKED]
    told = ""
    try:
        told = "" if why else reach.run("systemctl", "show", *asked, "--", *(one.unit for one in of_unit.values()))
    except ProcessFailed as error:
        why = f"systemd does not show its units ({describe(error)})"
    found = dict(programs)
    shown = [_properties(one) for one in told.strip().split("\n\n")]
    for number, (program, known) in enumerate(of_unit.items()):
        tree = trees[program]
        properties = shown[number] if number < len(shown) else {}
        if reason := why or why_not_started(
            known.unit, properties, first_process(program, tree) or tree[0], tree, table
        ):
            meant = f'programs = {{ {program} = "systemd:UNIT" }}, or the command that starts it'
            found[program] = ProgramAccess(how=known.how, service=known.service, unstarted=f"{reason}; {meant}")
    return found


def why_not_started(
    unit: str, properties: Mapping[str, str], first: Running, tree: Sequence[Running], table: Sequence[Running]
) -> str:
    """Why a unit of systemd would not start a program again after a crash; empty if it would.

    `properties`: what systemd says of the unit; `first`: the process by which the program is controlled. As long as the
    main process of a unit lives, to start the unit does nothing.
    """
    if properties.get("LoadState") != "loaded":
        return f"systemd there has no unit {unit} that can be started ({properties.get('LoadState', 'unknown')})"
    main, by_pid = int(properties.get("MainPID") or 0), {one.pid: one for one in table}
    if main in {one.pid for one in tree}:
        return ""
    if not main:
        forked = properties.get("Type") == "forking" and properties.get("RemainAfterExit") == "no"
        if forked and first.service == properties.get("Id"):
            return ""
        return f"the unit {unit} of systemd has no main process by which it would know that the program is down"
    if first.contained and main in by_pid and by_pid[main].name in _CLIENTS:
        return ""
    above, seen = by_pid.get(first.parent), set[int]()
    while above is not None and above.name in _PASSING and above.pid not in seen:
        if above.pid == main:
            return ""
        seen.add(above.pid)
        above = by_pid.get(above.parent)
    named = f" ({by_pid[main].name})" if main in by_pid else ""
    return (
        f"the unit {unit} of systemd goes on without it, as its main process is {main}{named}, and would not start it"
    )


def _properties(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines())}
