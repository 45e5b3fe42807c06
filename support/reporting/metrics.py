"""A run as metrics: what Prometheus is told of it. All of it comes from the run's journal.

The text is OpenMetrics. As it holds nothing but gauges it is Prometheus' older text format too, which takes the lines
"# UNIT" and "# EOF" for comments: Prometheus itself reads both, but node_exporter's textfile collector and the
Pushgateway (1.5 of each was tried) read the older one alone.

Labels tell what was judged, never how it went nor when: the series of one run are those of the next. So a verdict is
one series for each verdict that there is, 1 for the scenario's own and 0 for the others.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest

from support.reporting.journal import RunRecord
from support.reporting.verdict import Measure, Verdict

UNITS = {"s": ("seconds", 1.0), "ms": ("seconds", 0.001), "/s": ("per_second", 1.0)}
"""Unit of a measure -> how the name of its metric ends, and what its value is multiplied by for that."""

T = TypeVar("T")


def exposition(record: RunRecord, status: int, pipeline: str) -> bytes:
    """The metrics of a run that ended with this exit status; `pipeline` tells its series from those of other runs.

    The empty record is that of a run that could not begin.
    """
    gauges = _Gauges({"pipeline": pipeline, "target": record.facts.get("Target", "")})
    _set_run(gauges, record, status)
    _set_scenarios(gauges, record)
    return gauges.text()


class _Gauges:
    """Gauges, by name."""

    def __init__(self, everywhere: Mapping[str, str]) -> None:
        """`everywhere`: labels that each series has."""
        self._everywhere = everywhere
        self._families: dict[str, GaugeMetricFamily] = {}

    def set(self, name: str, words: str, value: float, unit: str = "", **labels: str) -> None:
        """One series. A name stands for one unit, and for the same labels each time."""
        labels = {**self._everywhere, **labels}
        full = f"{name}_{unit}" if unit else name
        if full not in self._families:
            self._families[full] = GaugeMetricFamily(full, words, labels=list(labels), unit=unit)
        self._families[full].add_metric(list(labels.values()), value)

    def collect(self) -> Iterable[Metric]:
        """What the Prometheus client asks for."""
        return self._families.values()

    def text(self) -> bytes:
        text: bytes = generate_latest(self)  # type: ignore[no-untyped-call]
        return text


def _set_run(gauges: _Gauges, record: RunRecord, status: int) -> None:
    ended = record.ended or time.time()
    counts = Counter(record.verdict_on(one.key) for one in record.selected)
    gauges.set("accept_run_end_timestamp", "When the run ended.", ended, "seconds")
    gauges.set("accept_run_duration", "From its first scenario to its end.", ended - (record.began or ended), "seconds")
    gauges.set("accept_run_exit_status", "What it said to the shell.", status)
    limits = len(record.known_limits)
    gauges.set("accept_run_known_limits", "How much the target is not configured to promise.", limits)
    for verdict in Verdict:
        gauges.set("accept_run_scenarios", "How many scenarios have this verdict.", counts[verdict], verdict=verdict)


def _set_scenarios(gauges: _Gauges, record: RunRecord) -> None:
    flaky = {result.scenario.key for result in record.flaky}
    for title, scenario in _distinct((one.name, one) for one in record.selected):
        labels = {"id": scenario.promise, "suite": scenario.suite, "scenario": title}
        result = record.by_key.get(scenario.key)
        for verdict in Verdict:
            own = float(verdict is record.verdict_on(scenario.key))
            states = {"severity": scenario.severity, "verdict": verdict}
            gauges.set("accept_scenario_verdict", "1 for its verdict, 0 for the others.", own, **labels, **states)
        twice = float(scenario.key in flaky)
        gauges.set("accept_scenario_flaky", "1 if it passed only on the rerun.", twice, **labels)
        if result is not None:
            gauges.set("accept_scenario_duration", "How long it took.", result.seconds, "seconds", **labels)
            _set_measures(gauges, result.measures, labels)


def _set_measures(gauges: _Gauges, measures: Iterable[Measure], labels: Mapping[str, str]) -> None:
    for name, measure in _distinct((one.name, one) for one in measures):
        unit, factor = UNITS.get(measure.unit) or (_as_suffix(measure.unit), 1.0)
        of = {**labels, "measure": name}
        gauges.set("accept_measure", "What a scenario measured.", measure.value * factor, unit, **of)
        if measure.limit is not None:
            gauges.set("accept_measure_limit", "The limit in force for it.", measure.limit * factor, unit, **of)


def _as_suffix(unit: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", unit.lower()).strip("_")


def _distinct(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """The same, the second of a name called "name (2)": readers refuse a text in which two series are alike."""
    seen: Counter[str] = Counter()
    for name, thing in named:
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name} ({seen[name]})"), thing
