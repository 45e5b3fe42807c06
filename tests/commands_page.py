"""The page docs/commands.md: what `--help` prints, of every command.

`.venv/bin/python tests/commands_page.py` updates it. The script `accept` answers from it where nothing is installed.
"""

from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from support.cli.main import app

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
HEAD = """\
# Commands

What `./accept --help` prints, and `--help` after each command. Without a command, `./accept` means `./accept run`.
<!-- made by tests/commands_page.py -->
"""
PLAIN = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "TERM": "dumb"}


def page() -> str:
    """The text of the page, from the program as it is."""
    root: Any = typer.main.get_command(app)
    sections = [_section("accept"), *(_section(name, name) for name in root.commands)]
    return HEAD + "".join(sections)


def _section(title: str, *command: str) -> str:
    printed = CliRunner().invoke(app, [*command, "--help"], prog_name="./accept", env=PLAIN, color=False).output
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    return f"\n## {title}\n```text\n" + "\n".join(lines) + "\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
