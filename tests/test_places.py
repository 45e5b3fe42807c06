"""Paths as the user reaches them from where the program was started."""

from pathlib import Path

import pytest

from support import places


def test_a_path_is_relative_to_where_the_program_was_started_or_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "STARTED_IN", tmp_path / "mine")
    assert places.as_seen(Path("mine/steps/a_steps.py")) == "steps/a_steps.py"
    assert places.as_seen(Path("allure-report/dashboard.html")) == f"{tmp_path}/allure-report/dashboard.html"
