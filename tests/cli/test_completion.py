"""The shell completes commands, options and their values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def completions(line: str) -> list[str]:
    """What bash is told when the user presses the tabulator at the end of this line."""
    words = line.split(" ")
    ended = subprocess.run(
        [sys.executable, "-P", "-c", "from support.cli.main import main; main()"],
        env={
            **os.environ,
            "_ACCEPT_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("accept sta", "status"),
        ("accept run shar", "sharding"),
        ("./accept run --fea", "--features"),
        ("accept run --tags @redis_p", "@redis_password"),
        ("accept prove fsync", "fsync-off"),
        ("accept run --require cit", "citus"),
        ("accept up --vector pgv", "pgvector"),
    ],
)
def test_the_shell_completes(line: str, found: str) -> None:
    assert found in completions(line)


def test_the_script_for_the_shell_is_for_accept(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", "from support.cli.main import main; main()", "--show-completion"],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "", "SHELL": "/bin/bash"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "_ACCEPT_COMPLETE=complete_" in ended.stdout or "not supported" in ended.stderr, ended
