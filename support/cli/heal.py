"""`accept heal`: undo whatever runs that were killed have left on a user's hosts, from any machine."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from support.cli.console import out
from support.errors import AcceptError, UsageError
from support.hosts.remote.guards import heal_left
from support.hosts.remote.ways import ways_to_heal
from support.settings import Settings
from support.target.discovery.user_hosts import declared_access
from support.waiting import describe


def heal(settings: Settings) -> int:
    """Undo everything on every host of [hosts] at once, and say what was done; 1 if anything could not be undone.

    Needs the hosts alone: neither the database nor Patroni has to answer. Raises UsageError without [hosts].
    """
    if not settings.accept_hosts:
        raise UsageError("there are no [hosts] to heal: --target names a file that has them, or ACCEPT_HOSTS")
    ways = {name: declared_access(name, said).reach for name, said in settings.accept_hosts.items()}
    with ThreadPoolExecutor(len(ways)) as each:
        answers = dict(zip(ways, each.map(_healed, ways.values()), strict=True))
    return _show(answers)


def _healed(words: str) -> tuple[bool, list[str]]:
    told: list[str] = []
    try:
        whole = [heal_left(reach, told.append) for reach in ways_to_heal(words)]
        return all(whole), told
    except AcceptError as error:
        return False, [*told, describe(error)]


def _show(answers: Mapping[str, tuple[bool, list[str]]]) -> int:
    for name, (whole, told) in answers.items():
        out.print(f"{name}: {'; '.join(told) or 'nothing was left'}", markup=False)
        if not whole:
            out.print(f"{name}: not everything could be undone", style="red", markup=False)
    return 0 if all(whole for whole, _ in answers.values()) else 1
