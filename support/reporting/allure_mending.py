"""What is mended in allure-behave while it runs; all else is settled in its results afterwards (see `settling`).

Three things cannot wait. A scenario below a `Rule:` is never announced to Allure, so that it has no result and a table
or an attachment there ends the whole run with `KeyError: None`. A scenario's history is found by the names of feature
and scenario, so that equal names hide each other. An attachment outside of any scenario is that KeyError again.
"""

from typing import Any

import allure_commons
from allure_behave import listener
from allure_behave.formatter import AllureFormatter
from allure_behave.listener import AllureListener

from support.reporting.scenario import scenario_of


def install() -> None:
    """Mend allure-behave 2.16 in this process. To be called before behave makes its formatters; again is harmless."""
    AllureFormatter.rule = _announce_rule
    listener.scenario_history_id = _history_id
    AllureListener.attach_data = _attach_data


def _announce_rule(formatter: Any, rule: Any) -> None:
    formatter._wrap_scenario(rule.scenarios)


def _history_id(model: Any) -> str:
    return scenario_of(model).key


@allure_commons.hookimpl
def _attach_data(
    self: Any, body: str | bytes, name: str | None, attachment_type: object, extension: str | None
) -> None:
    reporter: Any = self.logger
    attach = reporter.attach_data if reporter._last_executable() else reporter.global_attach_data
    attach(listener.uuid4(), body, name=name, attachment_type=attachment_type, extension=extension)
