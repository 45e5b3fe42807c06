"""The figures of docs/trust.md: what the last whole `./accept prove` found, and what has been added since.

`.venv/bin/python tests/trust_page.py .accept/trust.jsonl COMMIT "2 cores" ["A remark."]` keeps the result of a run in
docs/trust.json and updates the page; without arguments it only updates the page.
"""

import datetime
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.reporting.trust import read
from support.sabotage.catalogue import PART_OF
from support.vocabulary import counted

DOCS = Path(__file__).parent.parent / "docs"
KEPT, PAGE = DOCS / "trust.json", DOCS / "trust.md"
BEGIN, END = "<!-- figures: made by tests/trust_page.py -->\n", "<!-- end of figures -->"


def kept_of(trust: Path, commit: str, machine: str, remark: str = "") -> dict[str, Any]:
    """What is kept of the result of `prove` in the file `trust`. `remark` is a sentence about the run."""
    found = read(trust)
    day = datetime.datetime.fromtimestamp(trust.stat().st_mtime, tz=datetime.UTC).date()
    return {
        "date": day.isoformat(),
        "commit": commit,
        "machine": machine,
        "minutes": round(found.seconds / 60),
        **({"remark": remark} if remark else {}),
        "sabotages": {
            proof.sabotage: {
                "noticed": sum(one.noticed for one in proof.heard) if not proof.failed else 0,
                "of": len(proof.heard),
                **({"repeated": True} if proof.repeated else {}),
                **({"missed": missed} if (missed := [one.scenario for one in proof.heard if not one.noticed]) else {}),
            }
            for proof in found.proofs
        },
        "not tried": sorted({*found.missing} & {*PART_OF}),
        "healthy": {
            "runs": len(found.healthy),
            "scenarios": sum(run.scenarios for run in found.healthy),
            "destructive": sum(run.destructive for run in found.healthy),
            "alarms": [alarm.split(":")[0] for alarm in found.alarms],
        },
        "scenarios": sum(not one.lacking for one in found.scenarios),
        "never seen to fail": sorted(one.title for one in found.never_seen),
    }


def block(kept: Mapping[str, Any]) -> str:
    """The part of the page between BEGIN and END."""
    tried = {name: one for name, one in kept["sabotages"].items() if name in PART_OF}
    rows = [f"| {part} | {_told(tried, part)} |" for part in dict.fromkeys(PART_OF.values())]
    since = [name for name in PART_OF if name not in kept["sabotages"] and name not in kept["not tried"]]
    healthy = kept["healthy"]
    lines = [
        f"The last run of all sabotages: {kept['date']}, commit {kept['commit']}, {kept['machine']}, "
        f"{kept['minutes']} minutes. {kept.get('remark', '')}".rstrip(),
        "",
        "| part | sabotages tried | noticed by every scenario that must notice | notices |",
        "|---|---|---|---|",
        *rows,
        f"| all | {_told(tried)} |",
        "",
        f"On the healthy cluster: {counted(healthy['runs'], 'run')}, {counted(healthy['scenarios'], 'scenario')} "
        f"({healthy['destructive']} of them destructive), {_listed('false alarm', healthy['alarms'])}.",
        "",
        f"Seen to fail: {kept['scenarios'] - len(kept['never seen to fail'])} of {kept['scenarios']} scenarios that "
        f"this machine can run. {_never(kept['never seen to fail'])}".rstrip(),
        "",
        *[f"- Missed `{name}`: {title}." for name, one in tried.items() for title in one.get("missed", ())],
        *([f"- Not tried in that run: {_names(kept['not tried'])}."] if kept["not tried"] else []),
        *([f"- Added since, and not in these figures: {_names(since)}."] if since else []),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _told(tried: Mapping[str, Any], part: str = "") -> str:
    those = [one for name, one in tried.items() if not part or PART_OF[name] == part]
    whole = sum(one["noticed"] == one["of"] for one in those)
    return f"{len(those)} | {whole} | {sum(one['noticed'] for one in those)} of {sum(one['of'] for one in those)}"


def _listed(what: str, found: list[str]) -> str:
    return f"{len(found) or 'no'} {what}{'s' if len(found) != 1 else ''}" + (f" ({'; '.join(found)})" if found else "")


def _never(titles: list[str]) -> str:
    return f"Never seen to fail: {'; '.join(titles)}." if titles else ""


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def page() -> str:
    """The text of the page, with the figures that are kept, as the catalogue is now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + block(json.loads(KEPT.read_text(encoding="utf-8"))) + END + rest.partition(END)[2]


if __name__ == "__main__":
    if sys.argv[1:]:
        KEPT.write_text(json.dumps(kept_of(Path(sys.argv[1]), *sys.argv[2:]), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
