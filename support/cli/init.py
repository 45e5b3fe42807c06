"""`accept init`: writes a target file for a user's cluster by looking at it."""

import os
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from support.cli import behave_process, paths, targets
from support.cli.console import out, say
from support.cli.limits_here import by_span, longer_here
from support.errors import UsageError
from support.settings import Settings
from support.target.survey import hosts
from support.target.survey.survey import Survey, survey
from support.target.survey.target_file import SECRETS, text

_NO_ADDRESS = (
    "where is the database? Give the address that your application uses: ./accept init HOST[:PORT], or "
    "postgresql://user:password@host:port/database, or RUVECTOR_HOST in the environment"
)


_PLACES_OF_REDIS = frozenset({"redis_host", "redis_port", "redis_url", "redis_sentinels"})


def given_settings(address: str | None, said: Mapping[str, Any]) -> Settings:
    """What the user said on the command line and in the environment; asked for, if somebody is at the terminal.

    Raises UsageError if the database's address is not given.
    """
    found = {**(targets.of_place(address) if address else {}), **said}
    settings = Settings.load(found)
    if not settings.external:
        if not _somebody_is_there():
            raise UsageError(_NO_ADDRESS)
        found |= targets.of_place(_asked("Address of the database, or of the proxy in front of it", "localhost"))
    if _somebody_is_there():
        found |= _asked_for(Settings.load(found))
    return Settings.load(found)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _asked_for(settings: Settings) -> dict[str, Any]:
    """The login and the Redis, as far as they were not given."""
    given, found = settings.model_fields_set, dict[str, Any]()
    if "ruvector_db" not in given:
        found["ruvector_db"] = _asked("Database", settings.ruvector_db)
    if "ruvector_user" not in given:
        found["ruvector_user"] = _asked("The application's role", settings.ruvector_user)
    if "ruvector_password" not in given:
        found["ruvector_password"] = _asked("Its password", "", hidden=True) or None
    if not given & _PLACES_OF_REDIS and (redis := _asked("Address of Redis (empty: none)", "")):
        found |= targets.redis_of_place(redis)
        if "redis_url" not in found:  # a URL has the password
            found["redis_password"] = _asked("Its password (empty: none)", "", hidden=True) or None
    return found


def _asked(what: str, default: str, hidden: bool = False) -> str:
    answer = typer.prompt(what, default=default, hide_input=hidden, show_default=bool(default), err=True)
    return str(answer).strip()


def pattern_of(given: str | None) -> str:
    """How the hosts are reached. Asked for at a terminal; empty if they are not."""
    if given is not None or not _somebody_is_there():
        return given or ""
    return _asked(
        f"How the hosts are reached, to break them ({hosts.UNTOLD}, docker://{hosts.NAME}; empty: not at all)", ""
    )


def init(settings: Settings, pattern: str, file: Path | None) -> int:
    """Survey the cluster, and write the target file, or print it. Returns the exit status.

    Raises UsageError if the file exists: it is not overwritten.
    """
    where = paths.from_command_line(file) if file else None
    if where is not None and where.exists():
        raise UsageError(f"{file} exists, and is not overwritten: name another file, or remove it")
    if where is not None and not where.parent.is_dir():
        raise UsageError(f"{file} cannot be written: there is no folder {where.parent}")
    found = survey(settings, pattern, lambda line: say(f"  {line}"))
    scenarios = behave_process.dry_run([str(paths.FEATURES)]).scenarios
    longer = by_span(longer_here(scenarios, found.topology.timing))
    written = text(found, longer, time.strftime("%d %B %Y"), secrets=where is not None)
    Settings.load({**tomllib.loads(written), **_left_out(found, where)})  # what is written can be read
    if where is None:
        out.print(written, markup=False, end="")
        return 0
    _write(where, written)
    _show(found, file or where)
    return 0


def _left_out(found: Survey, where: Path | None) -> Mapping[str, Any]:
    return {} if where else {name: one for name, one in found.settings.items() if name in SECRETS}


def _write(file: Path, written: str) -> None:
    """Readable by its owner only: it holds passwords."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(written)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None


def _show(found: Survey, file: Path) -> None:
    """What to do next."""
    say(f"{file} is written. What it says, and what was not found, is in its comments.")
    for line in _not_found(found):
        say(f"  not found: {line}")
    say(f"Next: ./accept doctor --target {file}; then ./accept run smoke --target {file}")


def _not_found(found: Survey) -> Sequence[str]:
    lacks = found.topology.lacks
    reasons = [found.patronis.why, found.statistics.why if found.endpoints.read or found.patronis.answers else ""]
    reasons += [found.etcd.why, *found.notes]
    reasons += [lacks[name] for name in ("members", "application_schema") if name in lacks and found.patronis.answers]
    reasons += [f"access to {one.name}: {one.words}" for one in found.hosts if found.pattern and not one.works]
    return [one for one in reasons if one]
