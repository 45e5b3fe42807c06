"""What whole runs of the program publish: whatever becomes of the metrics, the run's word and status stay."""

from pathlib import Path

import pytest
from conftest import free_port
from program import Program, copy, target
from prometheus_client.openmetrics import parser

from support import sql

FEATURE = """
@normal
Feature: Sums
  @id.ZZ-01
  Scenario: One and one
    Given a sum
    Then one and one are 2
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = copy(tmp_path_factory.mktemp("project"))
    program.write_features({"cluster/a.feature": FEATURE})
    return program


def published(file: Path) -> dict[tuple[str, ...], float]:
    """Name and, where it has one, verdict of each series -> its value."""
    families = parser.text_string_to_metric_families(file.read_text())
    found = [one for family in families for one in family.samples]
    return {tuple(filter(None, (one.name, one.labels.get("verdict")))): one.value for one in found}


def test_a_run_publishes_to_a_file_and_says_what_it_could_not(
    program: Program, postgres: sql.Endpoint, tmp_path: Path
) -> None:
    nobody = f"http://jo:secret@127.0.0.1:{free_port()}"
    file = tmp_path / "accept.prom"
    said = ("--metrics", str(file), "--pushgateway", nobody, "--pipeline", "nightly")
    ended = program.run(*said, **target(postgres))
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)
    assert f"metrics: {file}" in ended.out
    assert f"no metrics in {nobody.replace('jo:secret@', '')}: Connection refused" in ended.out
    assert "secret" not in ended.out + ended.err
    assert 'pipeline="nightly"' in file.read_text()
    first = published(file)
    assert first["accept_scenario_verdict", "passed"] == first["accept_run_scenarios", "passed"] == 1
    file.unlink()
    again = program.run("report", "--metrics", str(file))
    assert (again.status, again.last_line) == (ended.status, ended.last_line), again
    assert published(file) == first


def test_a_run_that_cannot_begin_publishes_that(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "accept.prom"
    ended = program.run(RUVECTOR_HOST="127.0.0.1", RUVECTOR_PORT=str(free_port()), ACCEPT_METRICS=str(file))
    assert ended.status == 3, str(ended)
    found = published(file)
    assert found["accept_run_exit_status",] == 3
    assert found["accept_run_scenarios", "passed"] == found["accept_run_scenarios", "broken"] == 0


def test_an_address_that_is_none_is_wrong_usage_and_not_shown(program: Program) -> None:
    ended = program.run("--pushgateway", "jo:secret@gateway:9091")
    assert ended.status == 2, str(ended)
    assert ended.complaints == ["accept: ACCEPT_PUSHGATEWAY should be like http://user:password@host:9091"], str(ended)
    assert "secret" not in ended.out + ended.err
