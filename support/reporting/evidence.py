"""What a scenario leaves for the report: figures and attachments."""

import gzip
import json
from typing import Any

import allure

from support.reporting.redaction import Redactor
from support.reporting.verdict import Measure


class Evidence:
    """Collects the figures of one scenario, and attaches texts, tables and pictures to its Allure result."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self.measures: list[Measure] = []
        self._redactor = redactor or Redactor()

    def measure(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        """Keep a figure; shown in the scenario's own text, with the limit in force."""
        self.measures.append(Measure(name, value, unit, limit))

    def attach(self, name: str, text: str) -> None:
        """Attach a text; passwords are masked."""
        allure.attach(self._redactor.mask(text), name=name, attachment_type=allure.attachment_type.TEXT)

    def attach_json(self, name: str, facts: Any) -> None:
        """Attach facts as JSON; passwords are masked."""
        text = self._redactor.mask(json.dumps(facts, indent=2, default=str))
        allure.attach(text, name=name, attachment_type=allure.attachment_type.JSON)

    def attach_lines(self, name: str, text: str, extension: str = "jsonl") -> None:
        """Attach lines of JSON, packed: there can be megabytes of them; passwords are masked."""
        packed = gzip.compress(self._redactor.mask(text).encode())
        allure.attach(packed, name=name, attachment_type="application/gzip", extension=f"{extension}.gz")

    def attach_picture(self, name: str, png: bytes) -> None:
        allure.attach(png, name=name, attachment_type=allure.attachment_type.PNG)
