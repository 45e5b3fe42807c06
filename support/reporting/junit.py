"""The verdicts of a run as JUnit XML, which CI servers read: a test suite for each capability."""

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree as xml

from support.reporting.journal import RunRecord
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.tally import in_order, why_unfinished

OUTCOMES = {
    Verdict.BROKEN: "failure",
    Verdict.INCONCLUSIVE: "error",
    Verdict.ERROR: "error",
    Verdict.SKIPPED: "skipped",
}
"""Verdict -> JUnit element; a scenario that passed needs none."""

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(record: RunRecord) -> bytes:
    """The whole file. A required capability that is missing, and a scenario without a result, are errors.

    A promise that a scenario of another one saw broken is a failure of its own, beside that scenario.
    A flaky scenario that fails the run has the outcome of its first verdict.
    """
    root = xml.Element("testsuites", name="promises")
    suites: dict[str, xml.Element] = {}
    for scenario in in_order(record.selected):
        if scenario.epic not in suites:
            suites[scenario.epic] = xml.SubElement(root, "testsuite", name=scenario.epic, timestamp=_began(record))
        _add_scenario(suites[scenario.epic], scenario, record.by_key.get(scenario.key), record)
    if record.troubles:
        whole = xml.SubElement(root, "testsuite", name="The run as a whole", timestamp=_began(record))
        for number, trouble in enumerate(record.troubles, 1):
            case = xml.SubElement(whole, "testcase", classname="run", name=f"trouble {number}", time="0")
            _add_outcome(case, "error", Verdict.ERROR, trouble.message)
    for suite in root:
        _count(suite, [suite])
    _count(root, list(root))
    del root.attrib["skipped"]  # the usual schema has it only for a suite
    xml.indent(root)
    return bytes(xml.tostring(root, encoding="utf-8", xml_declaration=True))


def write(record: RunRecord, path: Path) -> None:
    """Write the file. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(junit(record))


def _add_scenario(suite: xml.Element, scenario: Scenario, ended: ScenarioResult | None, record: RunRecord) -> None:
    case = xml.SubElement(
        suite,
        "testcase",
        classname=_clean(f"{scenario.suite}.{scenario.feature}"),
        name=_clean(scenario.title),
        time=f"{ended.seconds if ended else 0:.3f}",
    )
    if ended is None:
        what = "it did not end" if scenario.key in record.started else "it did not begin"
        _add_outcome(case, "error", record.verdict_on(scenario.key), f"{what}: {why_unfinished(record, scenario)}")
    elif ended in record.required_and_missing:
        _add_outcome(case, "error", "required but missing", ended.reason)
    elif ended.verdict in OUTCOMES:
        _add_outcome(case, OUTCOMES[ended.verdict], ended.verdict, ended.reason, ended.trace)
    first = record.earlier.get(scenario.key)
    if first and record.fail_on_flaky and ended in record.flaky:
        why = f"passed only on the rerun; {first.verdict} at first: {first.reason}"
        _add_outcome(case, OUTCOMES.get(first.verdict, "error"), "flaky", why, first.trace)
    notes = [f"measured {one}" for one in ended.measures] if ended else []
    if first:
        notes.append(f"rerun; {first.verdict} at first: {first.reason}")
    if notes:
        xml.SubElement(case, "system-out").text = _clean("\n".join(notes))
    if ended:
        _add_also_broken(suite, ended)


def _add_also_broken(suite: xml.Element, ended: ScenarioResult) -> None:
    """The promises that are not its own: the servers show failures by name, and the scenario's names only its own."""
    scenario = ended.scenario
    for id in ended.also_broken:
        if id not in scenario.ids:
            name, of = f"{id}, seen in {scenario.title}", f"{scenario.suite}.{scenario.feature}"
            case = xml.SubElement(suite, "testcase", classname=_clean(of), name=_clean(name), time="0")
            _add_outcome(case, OUTCOMES[Verdict.BROKEN], Verdict.BROKEN, ended.reason, ended.trace)


def _add_outcome(case: xml.Element, outcome: str, kind: str, message: str, trace: str = "") -> None:
    xml.SubElement(case, outcome, type=kind, message=_clean(message)).text = _clean(trace)


def _count(element: xml.Element, suites: Iterable[xml.Element]) -> None:
    cases = [case for suite in suites for case in suite.iter("testcase")]
    counts: Mapping[str, int] = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    element.attrib.update({name: str(count) for name, count in counts.items()})
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _began(record: RunRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.began))


def _clean(text: str) -> str:
    """The text without characters that are illegal in XML, such as terminal colours."""
    return _NOT_IN_XML.sub("�", text)
