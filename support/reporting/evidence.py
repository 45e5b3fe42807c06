"""What a scenario leaves for the report: figures and attachments."""

import json
from typing import Any

import allure

from support.reporting.verdict import Measure


class Evidence:
    """Collects the figures of one scenario, and attaches texts, tables and pictures to its Allure result."""

    def __init__(self) -> None:
        self.measures: list[Measure] = []

    def measure(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        """Keep a figure; shown in the scenario's own text, with the limit in force."""
        self.measures.append(Measure(name, value, unit, limit))

    def attach(self, name: str, text: str) -> None:
        """Attach a text. Passwords are masked when it is written (see `redaction`)."""
        allure.attach(text, name=name, attachment_type=allure.attachment_type.TEXT)

    def attach_json(self, name: str, facts: Any) -> None:
        allure.attach(json.dumps(facts, indent=2, default=str), name=name, attachment_type=allure.attachment_type.JSON)

    def attach_picture(self, name: str, png: bytes) -> None:
        allure.attach(png, name=name, attachment_type=allure.attachment_type.PNG)
