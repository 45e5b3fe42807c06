"""The step catalogue as a page: complete, with the parameters and examples of each step, and from nowhere else."""

import re
from html import unescape
from pathlib import Path

import pytest

from support.cli import step_page, steps
from support.cli.feature_files import Outline, read

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


def test_kinds_of_parameters_have_their_article() -> None:
    meanings = {one.meaning for each in CATALOGUE for one in step_page.parameters(each)}
    assert {"an event", "an attempt", "an isolation level", "an outage of Redis"} <= meanings
    assert [one for one in meanings if re.match("a [aeiou]|an [^aeiou]", one)] == []
    assert "a servers" not in meanings


def test_the_page_tells_what_a_step_needs(page: str) -> None:
    text = unescape(page)
    needs = [need for one in CATALOGUE for need in steps.needs_of(one)]
    assert len(needs) > len(CATALOGUE) / 2
    assert [need for need in needs if f"<li>{need}</li>" not in text] == []


def test_a_step_for_any_keyword_is_shown_with_those_that_features_use(page: str) -> None:
    assert [one.said_with for one in CATALOGUE if one.keyword == "step"] == ["Given/When", "When/Then"]
    assert step("the host of {role:Role} crashes").said_with == "When"
    assert ">Step<" not in page
    assert 'data-copy="When another member leads"' in page


def test_what_a_step_needs_is_provided_by_a_step_that_a_scenario_has_before_it() -> None:
    found = list(steps.needs_of(step("the login fails within {seconds:g} seconds")))
    assert [one for one in found if "is read 200 times" in one] == []
    assert 'measurement, such as "When the application logs in there with a limit of 2 seconds"' in " ".join(found)
    for one in CATALOGUE:
        needs = list(steps.needs_of(one))
        assert len(needs) == len(set(needs)), "each once"


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
