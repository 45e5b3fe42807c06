"""The documents say what is so: links, commands, settings and metrics in them exist, and their examples work."""

import ast
import operator
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import architecture
import commands_page
import pytest
import typer
from documents import DOCUMENTS, Link, anchors, commands, copy_with_examples, examples, links, prose
from journals import READS, WRITES, record_of
from program import ROOT, Program
from sandboxes import require
from step_code import scenarios, scenarios_that_reach

from support import expectations
from support.cli import bench, promises, steps, suites
from support.cli.main import app, with_default_command
from support.embedded import programs
from support.embedded.swarm_shapes import shape_like
from support.example_app import known_profiles
from support.example_app.profile import Expected
from support.expectations import KEYS
from support.reporting import installing
from support.reporting.metrics import exposition
from support.reporting.scenario import EPICS, Measure, ScenarioResult, Verdict
from support.sabotage import damage
from support.sabotage.catalogue import SABOTAGES, own_sabotages
from support.settings import Settings
from support.target.capabilities import CAPABILITIES
from support.target.discovery import dcs, user_hosts

README, SCENARIOS = ROOT / "README.md", ROOT / "docs" / "writing-scenarios.md"
SETTING = re.compile(r"\b(?:RUVECTOR|HAPROXY|REDIS|PATRONI|ETCD|CITUS|ENABLE|ACCEPT)_[A-Z_]*[A-Z]\b")
_NAME = operator.attrgetter("name")
OWN_TEMPLATE = ROOT / "support" / "cli" / "own_template"
"""What `accept new` puts into a folder of the user's own."""
OF_THE_PROGRAM = {"ACCEPT_TARGET", "ACCEPT_FEATURES", "ACCEPT_REPOSITORY"}
"""Variables that the program reads itself."""
IN_THE_EXAMPLES = re.compile(r'Sabotage\(\s*"([\w-]+)"')
ID = re.compile(r"\b[A-Z]{2}-\d{2}\b")
LIST = re.compile(rf"{ID.pattern}(?:(?:,|,? and|,? or|,? to)\s+{ID.pattern}){{2,}}|{ID.pattern}\s+to\s+{ID.pattern}")
"""Three ids or more, or a range."""
WITH_RESULTS = {ROOT / "docs" / name for name in ("promises.md", "ruvector.md", "trust.md", "versions.md")}
"""Generated, or what runs found."""
DURATIONS = ROOT / "docs" / "performance.md"
"""It has how long a run takes."""
SUBJECT = rf"`?\b(?:{'|'.join(EPICS)})\b`?"
LISTING_SUBJECTS = (
    *(one for one in DOCUMENTS if one != commands_page.PAGE),
    *sorted(OWN_TEMPLATE.glob("**/*.[mt]*")),
    *sorted(ROOT.glob("features/*.toml")),
)
PROPERTIES = {"wants_synchronous": "synchronous", "member_count": "members"}
"""Property of `Expectations` -> the key that it reads."""
READ_BY_THE_FRAME = {"recovery_time"}
FIELD = (
    "failover, switchover, quorum, split brain, fencing, lease, synchronous standby, recovery time, replication lag, "
    "flaky, rerun, sabotage, notice, nemesis, history, ledger, acknowledged write, leader, primary, "
    "replica, member, partition"
).split(", ")
OF_THE_FIRST_BUILD = (
    "ordeal, strike, struck, injury, bitten, cure, steward, leavings, rollcall, testimony, witnesses, reign, "
    "strangers, mishaps, lock share, unsteady, --again, --stand, nothing proved, not proved, proved"
).split(", ")
"""Its private words; each has a better one."""


COMMANDS = [(document, words) for document in DOCUMENTS for words in commands(document)]
LINKS = [link for document in DOCUMENTS for link in links(document)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A copy of the project in which the examples of all documents are in place."""
    return copy_with_examples(tmp_path_factory.mktemp("examples"))


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.document.name}-{link.path}#{link.anchor}")
def test_links_lead_somewhere(link: Link) -> None:
    assert link.target.exists(), f"{link.document.name}: {link.path}"
    assert not link.anchor or link.anchor in anchors(link.target), (
        f"{link.path} has the headings {anchors(link.target)}"
    )


def test_the_readme_says_what_is_installed_and_how_long_a_run_takes_as_it_is_said_elsewhere() -> None:
    readme, script = README.read_text(encoding="utf-8"), (ROOT / "accept").read_text(encoding="utf-8")
    (groups,) = re.findall(r"^declare -A megabytes=\((.+?)\)", script, re.M)
    sizes = {f"{size} MB" for size in re.findall(r"=(\d+)", groups)}
    assert set(re.findall(r"\d+ MB", readme)) == sizes | {installing.TAKES, installing.TAKES_WITH_NODE}
    *_, minutes = re.findall(r"^\| [\d-]+ \| `\w+` \| \d+ \| \d+ \| (\d+) \|$", prose(DURATIONS), re.M)
    assert f"A whole run takes [{minutes} minutes on 2 cores]" in readme


@pytest.mark.parametrize("document", sorted(set(DOCUMENTS) - WITH_RESULTS - {DURATIONS}), ids=lambda one: one.name)
def test_one_page_says_how_many_scenarios_there_are_and_how_long_they_take(document: Path) -> None:
    """Its figures have a date; elsewhere they are soon out of date."""
    text = document.read_text(encoding="utf-8")
    assert re.findall(r"\b\d{2,} scenarios\b|\bscenarios took\b", text) == []


def test_the_table_of_durations_is_in_order() -> None:
    dates = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| `", prose(DURATIONS), re.M)
    assert dates
    assert dates == sorted(dates), "the last one is the newest"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_a_paragraph_after_a_block_of_code_begins_a_sentence(document: Path) -> None:
    begun = re.findall(r"^```\n\n?([a-z].*)", document.read_text(encoding="utf-8"), re.M)
    assert begun == []


@pytest.mark.parametrize("file", LISTING_SUBJECTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_a_list_of_the_subjects_has_all_of_them(file: Path) -> None:
    lists = re.findall(rf"(?:{SUBJECT}(?:, |,? and |,? or |\s*\|\s*)){{2,}}{SUBJECT}", file.read_text(encoding="utf-8"))
    assert [one for one in lists if set(re.findall(SUBJECT, one)) != set(EPICS)] == []


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {link.target.resolve() for link in links(README)}
    assert [one.name for one in DOCUMENTS if one not in linked | {README}] == []


@pytest.mark.parametrize(
    ("document", "words"), COMMANDS, ids=lambda one: " ".join(one) if isinstance(one, list) else one.name
)
def test_commands_are_understood(document: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command, *rest = with_default_command(words)
    root: Any = typer.main.get_command(app)
    assert command in root.commands or command in ("--help", "--install-completion")
    if command not in root.commands or "--help" in rest:
        return
    with root.commands[command].make_context(command, list(rest)) as context:
        said = context.params
        assert command in ("test", "psql") or context.args == []
    assert set(said.get("require") or ()) <= CAPABILITIES.keys()
    if said.get("like"):
        shape_like(said["like"])
    assert set(said.get("also") or ()) <= _ids_of_scenarios()
    given = [word for word in said.get("words") or () if not word.isupper() or "-" in word]
    unknown = [word for word in given if word.startswith("-")]
    assert unknown == [], "run passes these on to behave"
    _require_known(command, given, said)


def _require_known(command: str, words: list[str], said: dict[str, Any]) -> None:
    """What the words of a command name is there."""
    match command:
        case "run":
            suites.select(words, said["tags"] or (), said["name"] or ())
            wanted = [*re.findall(r"@id\.[A-Z]+-\d+", " ".join(said["tags"] or ())), *(said["name"] or ())]
            assert [one for one in wanted if one not in _scenarios()] == []
        case "prove":
            own = said["features"]  # with such a folder, nobody has put the examples into the suite
            there = [*SABOTAGES.values(), *(own_sabotages(OWN_TEMPLATE / "sabotages.py") if own else ())]
            names = {one.name for one in there} | (set[str]() if own else _in_the_examples())
            assert set(words) <= names | {id for one in there for id in one.ids}
        case "bench":
            bench.chosen(words)
        case "steps":
            assert not words or steps.search(" ".join(words), steps.steps())
        case "promises":
            known = set(words) <= _ids_of_scenarios()
            assert not words or known or promises.search(" ".join(words), promises.listed())


def _scenarios() -> str:
    """The text of all features: ours, those in examples, and those of a new folder of the user's own."""
    files = [*(ROOT / "features").rglob("*.feature"), *OWN_TEMPLATE.rglob("*.feature")]
    return "".join(one.read_text(encoding="utf-8") for one in files) + "".join(one.text for one in examples("gherkin"))


def _ids_of_scenarios() -> set[str]:
    return set(re.findall(r"@id\.([A-Z]{2}-\d{2})", _scenarios()))


def _in_the_examples() -> set[str]:
    """The names of the sabotages in examples."""
    return {name for one in examples("python") for name in IN_THE_EXAMPLES.findall(one.text)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_settings_exist(document: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | OF_THE_PROGRAM
    assert set(SETTING.findall(document.read_text(encoding="utf-8"))) - known == set()


def test_every_setting_is_documented() -> None:
    said = {name for one in DOCUMENTS for name in SETTING.findall(one.read_text(encoding="utf-8"))} | {"LIMITS"}
    programs_own = {"ACCEPT_RUN", "ACCEPT_LIBPQ", "ACCEPT_AMBIENT", "ACCEPT_NAMED_BY"}
    assert {name.upper() for name in Settings.model_fields} - said == programs_own


TABLES: Mapping[str, tuple[str, Iterable[str]]] = {
    "hosts.NAME": ("your-cluster", user_hosts.KEYS),
    "hosts.NAME.programs": ("your-cluster", user_hosts.PROGRAMS),
    "dcs": ("your-cluster", dcs.KEYS),
    "programs": ("embedded-cluster", programs.CHOICES),
    "expect": ("expectations", expectations.KEYS),
    "schema": ("schema", known_profiles.KEYS),
    **{f"schema.{name}": ("schema", known_profiles.keys_of(part)) for name, part in known_profiles.CLASSES.items()},
    "schema.tables.NAME": ("schema", map(_NAME, fields(Expected))),
}
"""Table of accept.toml -> the page about it, and the keys that the program knows."""


@pytest.mark.parametrize("table", TABLES)
def test_every_key_of_a_table_is_documented(table: str) -> None:
    page, keys = TABLES[table]
    document = ROOT / "docs" / f"{page}.md"
    written = [example.text for example in examples("toml", among=(document,))]
    written += re.findall(r"`([^`\n]+)`", prose(document))
    assert set(keys) - {word for text in written for word in re.findall(r"[\w-]+", text)} == set()


@pytest.mark.parametrize("example", list(examples("toml")), ids=lambda one: one.document.name)
def test_settings_in_toml_are_accepted(example: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = tomllib.loads(example.text)
    if example.place:
        return  # lint reads it
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    tables = {"members", "nodes", "schema", "expect", "hosts", "limits", "haproxy_servers", "dcs", "programs"}
    assert given.keys() <= Settings.model_fields.keys() | tables
    Settings.load(given)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_promises_that_documents_name_exist(document: Path) -> None:
    known = {one.promise.id for one in promises.listed(ROOT / "features")}
    template = (OWN_TEMPLATE / "features" / "promises.toml").read_text(encoding="utf-8")
    known |= set(ID.findall("".join([template, *(one.text for one in examples("toml"))])))
    assert set(ID.findall(document.read_text(encoding="utf-8"))) - known <= {"AB-12"}, "AB-12 stands for any id"


@pytest.mark.parametrize("document", sorted(set(DOCUMENTS) - WITH_RESULTS), ids=lambda one: one.name)
def test_no_document_lists_promises_by_hand(document: Path) -> None:
    """Such a list is soon out of date. A tag says the same, and `run --plan` lists the scenarios that have it."""
    assert [found[0] for found in LIST.finditer(prose(document))] == []


@pytest.mark.parametrize("key", KEYS)
def test_who_uses_an_expectation_is_documented(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the code that the steps reach. An id in the table uses that key, and all that use it are named, or tagged.

    What the frame around every scenario reads is documented in words.
    """
    monkeypatch.chdir(ROOT)
    (row,) = re.findall(rf"^\| `{key}` \|.*\| (.+?) \|$", (ROOT / "docs/expectations.md").read_text("utf-8"), re.M)

    def reads(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Attribute(attr="expectations") | ast.Name(id="expected"), attr=name):
                return PROPERTIES.get(name, name) == key
        return False

    using = {id for scenario in scenarios_that_reach(reads) for id in scenario.ids}
    named, tags = set(ID.findall(row)), set(re.findall(r"`@(\w+)`", row))
    tagged = {id for scenario in scenarios() for id in scenario.ids if scenario.tags & tags}
    assert named <= using
    assert using <= named | tagged or key in READ_BY_THE_FRAME
    assert bool(tags) == bool(tagged)


def test_metrics_exist(tmp_path: Path) -> None:
    figures = (Measure("p95", 3.0, "ms", 100), Measure("reads", 7.0, "/s", 1))
    results = [ScenarioResult(one, Verdict.PASSED, measures=figures) for one in (WRITES, READS)]
    published = exposition(record_of(tmp_path, *results), 0, "nightly").decode()
    names = re.findall(r"`(accept_\w+)`", (ROOT / "docs/pipelines.md").read_text(encoding="utf-8"))
    assert names
    assert [name for name in names if f"\n{name}{{" not in published] == []


def test_every_capability_is_documented() -> None:
    section = prose(SCENARIOS).partition("## Tags")[2].partition("\n## ")[0]
    named = set(re.findall(r"`@(\w+)`", section.partition("| capabilities |")[2]))
    assert named == CAPABILITIES.keys()


def test_means_of_sabotage_exist() -> None:
    section = prose(SCENARIOS).partition("## Break it on purpose")[2]
    named = re.findall(r"^\| `(\w+)\(", section, re.M)
    assert named
    assert [name for name in named if not hasattr(damage, name)] == []


def test_the_glossary_has_the_terms_of_the_field_in_order() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.M)
    assert terms == sorted(terms, key=str.lower)
    assert set(FIELD) <= set(terms)


def test_cross_references_of_the_glossary_exist() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = {term.lower() for term in re.findall(r"^\| \*\*(.+?)\*\* \|", text, re.M)}
    named = {name.lower() for name in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", text.partition("| term |")[2])}
    unknown = [name for name in named if not terms & {name, *(name.removesuffix(end) for end in ("s", "ed", "ned"))}]
    assert unknown == []


def test_examples_are_well_written(project: Program) -> None:
    """By the project's own rules, behave's dry run (which imports every step), and the linters of the code."""
    ended = project.run("lint")
    assert ended.status == 0, str(ended)
    written = sorted({str(one.path) for one in examples() if one.path and one.path.suffix == ".py"})
    for check in (["ruff", "check"], ["ruff", "format", "--check", "--diff"], ["mypy"]):
        done = subprocess.run(
            [sys.executable, "-m", *check, *written], cwd=project.project, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cluster(project: Program) -> Iterator[None]:
    """One called main, on which the scenarios of all examples can run."""
    require("namespaces")
    up = project.run("up", "--etcd", "1", "--workers", "0")
    try:
        assert up.status == 0, str(up)
        yield
    finally:
        project.run("down", "main")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cluster")
def test_the_scenarios_of_the_examples_pass(project: Program) -> None:
    ids = {id for example in examples("gherkin") for id in re.findall(r"@id\.([A-Z]{2}-\d{2})", example.text)}
    assert {"RC-90", "CL-90", "FO-90"} <= ids
    wanted = " or ".join(f"@id.{id}" for id in sorted(ids))
    ran = project.run("run", "--target", "main", "--tags", wanted, timeout=400)
    assert (ran.status, ran.last_line) == (0, f"{len(ids)} passed, 0 failed, 0 skipped"), str(ran)
    assert "RC-90 memory in use" in ran.out, str(ran)
    assert "CL-90 slowest login" in ran.out, str(ran)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("cluster")
def test_the_example_of_the_readme_fails_on_its_sabotage_and_what_is_said_of_that_is_so(project: Program) -> None:
    proved = project.run("prove", "redis-nearly-full", "--target", "main", timeout=200)
    assert proved.status == 0, str(proved)
    (printed,) = (one.text for one in examples("text", among=(SCENARIOS,)) if "redis-nearly-full" in one.text)
    figures = re.compile(r"^\d+ s(, .*?)?  |(?<=was )[\d.]+$")
    said = iter([figures.sub("", line.strip()) for line in proved.err.splitlines()])
    missing = [line for line in printed.splitlines() if figures.sub("", line.strip()) not in said]
    assert missing == [], f"in this order: {proved}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cluster")
def test_a_scenario_in_an_own_folder_notices_the_sabotages_that_are_said_to_break_it(
    project: Program, tmp_path: Path
) -> None:
    """By the commands of the page, as they are there."""
    own = tmp_path / "checks"
    assert project.run("new", str(own)).status == 0
    lines = [words for words in commands(SCENARIOS) if words[0] == "prove" and "--target" in words and "OW-01" in words]
    assert len(lines) == 2
    for words in lines:
        proved = project.run(*(str(own) if word == "~/checks" else word for word in words), timeout=200)
        assert proved.status == 0, str(proved)
        assert "OW-01 A burst of 20 sessions is served in less than two seconds: noticed: " in proved.err, str(proved)


def test_the_drawing_of_the_house_is_up_to_date() -> None:
    assert architecture.PAGE.read_text(encoding="utf-8") == architecture.page(), "run tests/architecture.py"
    assert "cli" not in architecture.imports()["steps"], "they are drawn side by side"


def test_the_page_of_the_commands_is_up_to_date() -> None:
    assert commands_page.PAGE.read_text(encoding="utf-8") == commands_page.page(), "run tests/commands_page.py"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_the_words_are_those_of_the_field(document: Path) -> None:
    said = prose(document).lower()
    assert [word for word in OF_THE_FIRST_BUILD if re.search(rf"(?<!\w){word}(?!\w)", said)] == []


def test_documents_that_messages_point_to_exist() -> None:
    sources = [
        file.read_text(encoding="utf-8") for part in ("support", "steps") for file in (ROOT / part).rglob("*.py")
    ]
    named = {
        name for text in sources for name in re.findall(r"\bdocs/[\w-]+\.\w+", text) if name.endswith((".md", ".yml"))
    }
    assert "docs/schema.md" in named
    assert not any("README.md" in text for text in sources), "it is too short for what a message wants to say"
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("document", "quoted", "spelt"),
    [
        ("ruvector.md", "the database reports corruption", "the database reports corruption"),
        ("ruvector.md", "the server gave no answer within 45 s; connection closed", "gave no answer within"),
        ("schema.md", "judged on tables of the suite's own", "judged on tables of the suite's own"),
        ("schema.md", "is of type uuid, but text is needed", "but text is needed"),
        ("expectations.md", "was declared ([expect] synchronous = true)", "was declared ([expect] {key}"),
        ("expectations.md", "the scenario states 30 s", "the scenario states {stated:g} s"),
        ("embedded-cluster.md", "is not installed for PostgreSQL 16 (looked in", "is not installed for PostgreSQL {"),
        ("your-cluster.md", "HAProxy's backend primary", "HAProxy's backend {"),
    ],
)
def test_messages_that_documents_quote_are_in_the_code(document: str, quoted: str, spelt: str) -> None:
    text = " ".join((ROOT / "docs" / document).read_text(encoding="utf-8").split())
    assert quoted in text
    assert any(spelt in file.read_text(encoding="utf-8") for file in (ROOT / "support").rglob("*.py"))
