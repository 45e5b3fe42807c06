"""The drawing of the house in docs/architecture.md, made from the code.

`.venv/bin/python tests/architecture.py` updates it. The layers are those that import-linter holds (pyproject.toml), the
imports are found in the code, and the words are the first sentence of each docstring.
"""

import ast
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- from here on made by tests/architecture.py -->\n", "<!-- to here -->\n"
WIDTH = 110
BESIDE_CLI = ("environment.py", "steps/")
"""They are not in `support`, and may import what the program may."""
STEPS = "What each sentence of a scenario does: it calls `support`, judges, and reports"


def layers() -> list[list[str]]:
    """The parts of `support` from top to bottom, those of one layer together."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (found,) = [one for one in contracts if one["type"] == "layers"]
    return [[part.strip(" ()") for part in re.split("[|:]", layer)] for layer in found["layers"]]


def imports() -> dict[str, set[str]]:
    """Part of `support`, or `steps` -> the parts that it imports."""
    graph = grimp.build_graph("support", "steps", cache_dir=None)
    found: dict[str, set[str]] = {part: set() for layer in layers() for part in layer} | {"steps": set()}
    for module in graph.modules:
        own = _part(module)
        if own in found:
            imported = {_part(other) for other in graph.find_modules_directly_imported_by(module)}
            found[own] |= (imported & found.keys()) - {own}
    return found


def drawing() -> str:
    """The layers as boxes, one on the other, and a table of what each part is and imports."""
    (top, *below), found = layers(), imports()
    rows = [["features/"], [*map(_shown, top), *BESIDE_CLI], *([*map(_shown, layer)] for layer in below)]
    boxes = [_edge("┌", "┐"), *_edge("├", "┤").join(map(_box, rows)).split("\n")[1:-1], _edge("└", "┘")]
    order = [part for layer in layers() for part in layer]
    table = ["| part | what it is | imports |", "|---|---|---|"]
    for part in ("steps", *order):
        shown, meaning = ("steps/", STEPS) if part == "steps" else (_shown(part), _meaning(part))
        imported = ", ".join(one for one in order if one in found[part]) or "nothing of ours"
        table.append(f"| `{shown}` | {meaning} | {imported} |")
    return "\n".join(["```text", *boxes, "```", "", *table, ""])


def page() -> str:
    """The whole document, with the drawing as it is to be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE} has no place for the drawing"
    return f"{before}{BEGIN}{drawing()}{END}{after}"


def _part(module: str) -> str:
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "support" else package


def _file(part: str) -> Path:
    package = ROOT / "support" / part / "__init__.py"
    return package if package.exists() else ROOT / "support" / f"{part}.py"


def _shown(part: str) -> str:
    return f"{part}/" if _file(part).name == "__init__.py" else f"{part}.py"


def _meaning(part: str) -> str:
    """The first sentence of its docstring."""
    said = ast.get_docstring(ast.parse(_file(part).read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s|\n\n", said, maxsplit=1)[0].rstrip(".").replace("\n", " ").replace("|", "\\|")


def _box(parts: Sequence[str]) -> str:
    width, more = divmod(WIDTH - len(parts) - 1, len(parts))
    return f"\n│{'│'.join(part.center(width + (at < more)) for at, part in enumerate(parts))}│\n"


def _edge(left: str, right: str) -> str:
    return f"{left}{'─' * (WIDTH - 2)}{right}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
