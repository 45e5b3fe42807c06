"""The step catalogue as a page: complete, with the parameters and examples of each step, and from nowhere else."""

import re
from html import unescape
from pathlib import Path

import pytest

from support.cli import step_page, steps
from support.cli.lint import Outline, read

OUTLINES = read(sorted(Path("features").rglob("*.feature")))[0]
CATALOGUE = steps.steps()


@pytest.fixture(scope="module")
def page() -> str:
    return step_page.page(CATALOGUE, OUTLINES)


def step(wording: str) -> steps.Step:
    (found,) = [one for one in CATALOGUE if one.wording == wording]
    return found


def outline(text: str, file: Path = Path("a.feature")) -> Outline:
    (found,), errors = read_text(text, file)
    assert errors == ()
    return found


def read_text(text: str, file: Path) -> tuple[tuple[Outline, ...], tuple[object, ...]]:
    file.write_text(text, encoding="utf-8")
    return read([file])


def test_every_step_is_on_the_page_with_its_place(page: str) -> None:
    text = unescape(page)
    assert page.count('<article class="step"') == len(CATALOGUE)
    assert [one for one in CATALOGUE if f"{one.file}:{one.line}" not in text] == []
    assert [one for one in CATALOGUE if one.meaning and one.meaning.splitlines()[0] not in text] == []


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    assert "default-src 'none'" in page
    assert re.findall(r"""(?:src|href)=["']?(?!data:)[^"' >]+""", page) == []


def test_parameters_are_told_with_their_kinds() -> None:
    found = step_page.parameters(step("another member leads within {seconds:g} seconds"))
    assert found == (step_page.Parameter("seconds", "a number"),)
    (role,) = step_page.parameters(step("the host of {role:Role} crashes"))
    assert role.meaning == "a role of a member"
    assert {"the leader", "a replica"} <= set(role.values)


def test_nearly_every_step_has_an_example_and_each_example_is_its_own() -> None:
    found = step_page.examples(CATALOGUE, OUTLINES)
    assert len([one for one in CATALOGUE if found[one]]) >= 0.95 * len(CATALOGUE)
    for one, used in found.items():
        assert len(used) <= step_page.EXAMPLES
        for example in used:
            file, _, line = example.location.rpartition(":")
            assert example.sentence in Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
            if "<" not in example.sentence:
                assert one in steps.matching(example.sentence, [one])


def test_a_value_that_a_parameter_cannot_have_is_no_example(tmp_path: Path) -> None:
    text = "Feature: A\n  Scenario: B\n    When the host of the router crashes\n"
    crashes = step("the host of {role:Role} crashes")
    assert step_page.examples([crashes], [outline(text, tmp_path / "a.feature")])[crashes] == []
    text = text.replace("the router", "the leader")
    assert [one.sentence for one in step_page.examples([crashes], [outline(text, tmp_path / "a.feature")])[crashes]]


def test_markup_in_a_step_is_text(tmp_path: Path) -> None:
    (tmp_path / "a_steps.py").write_text(
        'from behave import given\n\n@given("<b>{who}</b> & \'co\'")\ndef a(context, who):\n    """<script>x"""\n'
    )
    page = step_page.page(steps.steps(tmp_path), ())
    assert "&lt;b&gt;<var>who</var>&lt;/b&gt; &amp;" in page
    assert "<script>x" not in page
