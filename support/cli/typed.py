"""What people type: commands and options that are nearly right, and the names of settings in messages."""

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from support.cli import suites
from support.cli.paths import from_command_line
from support.errors import UsageError
from support.places import STARTED_IN
from support.vocabulary import nearest, suggestion

OPTION_OF = {
    "ACCEPT_MEMBERS": "--members",
    "ACCEPT_WORKERS": "--workers",
    "ACCEPT_WORKER_MEMBERS": "--worker-members",
    "ACCEPT_ETCD": "--etcd",
    "ACCEPT_EMBEDDED_DCS": "--dcs",
    "ACCEPT_SANDBOX": "--sandbox",
    "ACCEPT_PG_BINDIR": "--pg-bindir",
    "ACCEPT_POSTGRES": "--postgres",
    "ACCEPT_VECTOR": "--vector",
    "ACCEPT_LIKE": "--like",
    "ACCEPT_PORTS": "--ports",
    "ACCEPT_OWN_SCHEMA": "--own-schema",
    "ACCEPT_METRICS": "--metrics",
    "ACCEPT_PUSHGATEWAY": "--pushgateway",
    "ACCEPT_PIPELINE": "--pipeline",
    "ACCEPT_FEATURES": "--features",
}
"""Setting -> the option that sets it."""
BEHAVE_OPTIONS = frozenset(
    "--capture --capture-hooks --capture-log --capture-stderr --capture-stdout --color --define --dry-run --exclude "
    "--format --include --jobs --junit --junit-directory --lang --lang-help --lang-list --logcapture "
    "--logging-clear-handlers --logging-datefmt --logging-filter --logging-format --logging-level --multiline "
    "--no-capture --no-capture-hooks --no-capture-log --no-capture-stderr --no-capture-stdout --no-color --no-junit "
    "--no-logcapture --no-logging-clear-handlers --no-multiline --no-skipped --no-snippets --no-source --no-summary "
    "--no-timings --outfile --parallel --quiet --runner --show-skipped --show-source --show-timings --snippets --stage "
    "--steps-catalog --stop --summary --tags-help --verbose --version --wip".split()
)
"""The long options that `accept run` passes on to behave."""


def as_typed(message: str, arguments: Iterable[str]) -> str:
    """The message with what was typed in place of settings: options, or names in the target file."""
    arguments = list(arguments)
    typed = {one.partition("=")[0] for one in arguments if one.startswith("--")}
    for setting, option in OPTION_OF.items():
        if option in typed:
            message = re.sub(rf"\b{setting}\b", option, message)
    for name, setting, file in _in_target_file(arguments):
        message = re.sub(rf"(?m)^{setting}(?= )", f"{name} in {file}", message)
        if name == "limits":
            message = re.sub(r'(?m)^\[limits\] "[^"]*"(?= )', rf"\g<0> in {file}", message)
    return message


def _in_target_file(arguments: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """What the target file says that was named on the command line: name, setting, and the file's name."""
    from support.cli import targets
    from support.settings import variable_of

    after = dict(pairwise(arguments)).get("--target", "")
    file = next((one.removeprefix("--target=") for one in arguments if one.startswith("--target=")), after)
    if file.endswith(".toml"):
        with suppress(UsageError):
            for name in targets.of_file(from_command_line(Path(file))):
                yield name, variable_of(name), file


def arguments_of(command: str) -> list[str]:
    """What was typed after the command, which may have been left out."""
    return sys.argv[2:] if sys.argv[1:2] == [command] else sys.argv[1:]


def require_known_options(rest: Sequence[str], ours: Collection[str]) -> None:
    """Raises UsageError if an option is neither ours nor behave's; options that are behave's are passed on."""
    for word in rest:
        name = word.partition("=")[0]
        # behave, too, takes an option that is shortened as long as it is the only one of that beginning
        if name.startswith("--") and len(name) > 2 and not any(one.startswith(name) for one in BEHAVE_OPTIONS):
            otherwise = "; ./accept run --help lists the options"
            meant = suggestion(name, {*ours, *BEHAVE_OPTIONS}, otherwise=otherwise)
            raise UsageError(f"there is no option {name}, here or in behave{meant}")


def require_no_misspelt_command(arguments: Sequence[str], commands: Collection[str]) -> None:
    """Raises UsageError if the first word is like a command, and nothing that `accept run` can run."""
    if not arguments or arguments[0].startswith(("-", "@")) or arguments[0] in (*commands, *suites.SUITES):
        return
    word = arguments[0]
    path = Path(re.sub(r":\d+$", "", word))
    if path.exists() or (STARTED_IN / path).exists():
        return
    if (near := nearest(word, [*commands, *suites.SUITES])) in commands:
        raise UsageError(f"there is no command {word!r}{suggestion(word, [near], './accept {}')}")
