"""Names and values that users write: the nearest known one, slips of the keyboard, and the kinds of values."""

import ast
import re
from pathlib import Path

import pytest
from program import ROOT

from support.cli.step_advice import explain, nearest_steps
from support.cli.steps import columns_of, function_at, steps
from support.failover.succession import LOSSES, let_one_lag
from support.faults.roles import ROLE
from support.vocabulary import QUOTED, Columns, Kind, counted, is_slip, nearest, suggestion

SEVERAL = [
    "lint.py: {len(outline.steps)} steps",
    "new.py: {PROGRAM_FILE} steps",
    "comparison.py: {chance.ENOUGH} runs",
    "dashboard.py: {kept} promises",
    "glance.py: {trends.TELLING} runs",
    "trends.py: {_LATEST} runs",
    "trends.py: {_LATEST} runs",
]
"""Never one of them, or no number."""


@pytest.mark.parametrize("name", ["HOTS", "HOSTT", "HOS", "HXST", "OHST", "HOST"])
def test_a_slip_is_one_character_away(name: str) -> None:
    assert is_slip(name, "HOST")
    assert is_slip("HOST", name)


@pytest.mark.parametrize("name", ["PORT", "URL", "HO", "HOSTSS", "TSOH"])
def test_another_word_is_no_slip(name: str) -> None:
    assert not is_slip(name, "HOST")


def test_the_nearest_name_ignores_case() -> None:
    assert nearest("redis_hots", ["REDIS_HOST", "REDIS_PORT"]) == "REDIS_HOST"
    assert nearest("xyzzy", ["REDIS_HOST"]) == ""


def test_a_message_suggests_the_nearest_name_in_one_wording() -> None:
    assert suggestion("CAHCE", ["cache", "security"], QUOTED) == "; did you mean 'cache'?"
    assert suggestion("redsi", ["redis"], "@{}") == "; did you mean @redis?"
    assert suggestion("xyzzy", ["redis"]) == ""
    assert suggestion("xyzzy", ["redis"], otherwise="; there is redis") == "; there is redis"


def test_a_kind_has_its_values_and_no_other() -> None:
    mode = Kind("mode", ("cluster", "standalone"))
    assert mode.allows("cluster")
    assert not mode.allows("standalon")
    assert not mode.allows("cluster or standalone")
    assert mode.complaint("standalon") == (
        "unknown mode 'standalon'; did you mean 'standalone'? (known: cluster; standalone)"
    )
    assert ROLE.allows("the leader of worker group 12")
    assert not ROLE.allows("the leader of worker group")


def test_a_table_has_the_columns_and_values_that_its_step_declares() -> None:
    columns = Columns({"who": ROLE}, others=Kind("state", ("up", "down")), headings=Kind("endpoint", ("read", "write")))
    assert list(columns.misfits(["who", "read"], [["the leader", "up"], ["a replica", "up or down"]])) == []
    wrong = list(columns.misfits(["who", "raed"], [["the leadr", "upp"]]))
    assert len(wrong) == 3, wrong
    assert "unknown endpoint 'raed'; did you mean 'read'" in wrong[0]
    assert "unknown role of a member 'the leadr'; did you mean 'the leader'" in wrong[1]
    assert "unknown state 'upp'; did you mean 'up'" in wrong[2]
    assert "needs a column 'who', and has 'whho'" in next(columns.misfits(["whho"], []))


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("the host of the replicca crashes", "unknown role of a member 'the replicca'; did you mean 'a replica'"),
        ("Redis is in standalon mode", "unknown mode of Redis 'standalon'; did you mean 'standalone'"),
        ("the switchovr interrupts clients for less than 10 seconds", "unknown event 'switchovr'"),
        ("it is refused as a unique violatoin", "did you mean 'unique violation'"),
        ("every Endpoint asks for SCRAM authentication", "unknown place to log in 'Endpoint'; did you mean 'endpoint'"),
        ("nothing like any step there is at all, by far", ""),
    ],
)
def test_a_sentence_without_a_step_is_explained(sentence: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = explain(f"When {sentence}", steps())
    assert words in said
    assert bool(words) == bool(said), said


def test_a_misspelt_sentence_is_near_to_the_step_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert nearest_steps("When Redis is a primry", steps())[0].wording == "Redis is a primary"


def test_the_values_of_a_kind_are_those_that_its_step_knows() -> None:
    file = ROOT / "steps/failover/succession_steps.py"
    (line,) = [one.line for one in steps(ROOT / "steps") if "one leader after another is lost" in one.wording]
    first = min(node.decorator_list[0].lineno for node in _functions(file) if node.lineno == line)
    columns = columns_of(file, first)
    assert columns is not None
    assert columns.kinds["how"].values == tuple(LOSSES)


def test_a_function_that_a_step_file_imports_is_none_of_its_steps() -> None:
    """It may begin at the same line of its own file."""
    file = ROOT / "steps/failover/succession_steps.py"
    assert function_at(file, let_one_lag.__code__.co_firstlineno) is not let_one_lag


def test_every_parameter_of_a_step_is_a_number_or_has_a_kind() -> None:
    free = [f"{one.file.name}: {one.wording}" for one in steps(ROOT / "steps") if _free_text(one.wording)]
    assert free == [], "free text as a parameter: a misspelt value would be found after the boot"


def _free_text(wording: str) -> bool:
    fields = [part.partition("}")[0] for part in wording.split("{")[1:]]
    return any(":" not in field for field in fields)


def _functions(file: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize(("number", "said"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1200, "1,200 runs")])
def test_one_is_not_said_in_the_plural(number: int, said: str) -> None:
    assert counted(number, "run") == said


def test_no_message_of_a_command_counts_by_a_plural_alone() -> None:
    """`f"{len(found)} steps"` says "1 steps": `counted` says it right, unless there are always several."""
    nouns = "scenario|step|finding|promise|row|host|run|worker|episode|cluster|figure|sabotage|alarm"
    kinds = "more|earlier|healthy|false"
    pattern = re.compile(rf"(?<!of )\{{(?:len\(|sum\()?[\w.]+\)?(?::,)?\}} (?:(?:{kinds}) )?(?:{nouns})s\b")
    found = [
        f"{path.name}: {match[0]}"
        for part in ("cli", "reporting", "load", "embedded")
        for path in sorted((ROOT / "support" / part).rglob("*.py"))
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == SEVERAL
