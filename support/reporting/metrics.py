"""A run as metrics for Prometheus, from its journal: written to a file for node_exporter, or sent to a Pushgateway.

The text is OpenMetrics. As it contains only gauges it is also valid in Prometheus' older text format, for which the
lines "# UNIT" and "# EOF" are comments: Prometheus reads both, but node_exporter's textfile collector and the
Pushgateway (1.5 of each was tried) read only the older one.

Labels identify what was judged, never how it ended or when, so every run has the same series. A verdict is therefore
one series for each possible verdict: 1 for the actual one and 0 for the others."""

import re
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import requests
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest

from support.files import replace_file
from support.hosts import kernel
from support.reporting.journal import RunRecord
from support.reporting.promises import severity_of
from support.reporting.scenario import SEVERITIES, Measure, Verdict
from support.reporting.tally import known_limits, verdicts_on_promises
from support.settings import Settings
from support.timeouts import REST
from support.waiting import describe

READABLE = 0o644
"""For everyone: node_exporter runs as another user."""
JOB = "accept"
ANSWERED = 10 * REST
"""Seconds to look up the name, try each of its addresses, and get the answer."""

_Login = tuple[str, str] | None
UNITS = {"s": ("seconds", 1.0), "ms": ("seconds", 0.001), "/s": ("per_second", 1.0)}
"""Unit of a measure -> the unit in the name of its metric, and the factor that converts its value."""

T = TypeVar("T")


def exposition(record: RunRecord, status: int, pipeline: str) -> bytes:
    """The metrics of a run that ended with this exit status; `pipeline` distinguishes its series from those of others.

    A run that could not begin has the empty record.
    """
    gauges = _Gauges({"pipeline": pipeline, "target": record.facts.get("Target", "")})
    _set_run(gauges, record, status)
    _set_promises(gauges, record)
    _set_scenarios(gauges, record)
    return gauges.text()


class _Gauges:
    """Metric families by name, as the Prometheus client collects them."""

    def __init__(self, everywhere: Mapping[str, str]) -> None:
        """`everywhere`: the labels of every series."""
        self._everywhere = everywhere
        self._families: dict[str, GaugeMetricFamily] = {}

    def set(self, name: str, words: str, value: float, unit: str = "", **labels: str) -> None:
        """Add a series. The same name always has the same unit and labels."""
        labels = {**self._everywhere, **labels}
        full = f"{name}_{unit}" if unit else name
        if full not in self._families:
            self._families[full] = GaugeMetricFamily(full, words, labels=list(labels), unit=unit)
        self._families[full].add_metric(list(labels.values()), value)

    def collect(self) -> Iterable[Metric]:
        """Called by the Prometheus client."""
        return self._families.values()

    def text(self) -> bytes:
        text: bytes = generate_latest(self)  # type: ignore[no-untyped-call]
        return text


def _set_run(gauges: _Gauges, record: RunRecord, status: int) -> None:
    ended = record.ended or time.time()
    counts = Counter(record.verdict_on(one.key) for one in record.selected)
    gauges.set("accept_run_end_timestamp", "When the run ended.", ended, "seconds")
    gauges.set("accept_run_duration", "From its beginning to its end.", ended - (record.began or ended), "seconds")
    gauges.set("accept_run_exit_status", "Its exit status.", status)
    limits = len(known_limits(record))
    gauges.set("accept_run_known_limits", "How many promises the target is not configured to keep.", limits)
    for name, why in record.capabilities.items():
        gauges.set("accept_capability", "1 if the target has it, else 0.", float(not why), capability=name)
        lost = float(name in record.lost)
        gauges.set("accept_capability_lost", "1 if the target had it until the last run.", lost, capability=name)
    for verdict in Verdict:
        gauges.set("accept_run_scenarios", "How many scenarios have this verdict.", counts[verdict], verdict=verdict)


def _set_promises(gauges: _Gauges, record: RunRecord) -> None:
    for id, found in verdicts_on_promises(record).items():
        labels = {"id": id, "severity": _severity(id, record)}
        for verdict in Verdict:
            own = float(verdict is found)
            gauges.set("accept_promise_verdict", "1 for its verdict, 0 for the others.", own, **labels, verdict=verdict)


def _severity(id: str, record: RunRecord) -> str:
    """By the list of promises. Where that lacks it: of its most severe scenario, or of the one that saw it broken."""
    own = [one.severity for one in record.selected if one.promise == id]
    others = [one.scenario.severity for one in record.results if id in one.also_broken]
    return severity_of(id) or min(own or others, key=SEVERITIES.index)


def _set_scenarios(gauges: _Gauges, record: RunRecord) -> None:
    flaky = {result.scenario.key for result in record.flaky}
    for title, scenario in _distinct((one.name, one) for one in record.selected):
        labels = {"id": scenario.promise, "suite": scenario.suite, "scenario": title}
        result = record.by_key.get(scenario.key)
        for verdict in Verdict:
            own = float(verdict is record.verdict_on(scenario.key))
            states = {"severity": scenario.severity, "verdict": verdict}
            gauges.set("accept_scenario_verdict", "1 for its verdict, 0 for the others.", own, **labels, **states)
        own = float(scenario.key in flaky)
        gauges.set("accept_scenario_flaky", "1 if it passed only on the rerun.", own, **labels)
        if result is not None:
            gauges.set("accept_scenario_duration", "How long it took.", result.seconds, "seconds", **labels)
            _set_measures(gauges, result.measures, labels)


def _set_measures(gauges: _Gauges, measures: Iterable[Measure], labels: Mapping[str, str]) -> None:
    for name, measure in _distinct((one.name, one) for one in measures):
        unit, factor = UNITS.get(measure.unit) or (_as_suffix(measure.unit), 1.0)
        of = {**labels, "measure": name}
        gauges.set("accept_measure", "What a scenario measured.", measure.value * factor, unit, **of)
        if measure.limit is not None:
            gauges.set("accept_measure_limit", "Its limit.", measure.limit * factor, unit, **of)


def _as_suffix(unit: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", unit.lower()).strip("_")


def _distinct(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Calls the second of a name "name (2)": readers refuse a text with two equal series."""
    seen: Counter[str] = Counter()
    for name, thing in named:
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name} ({seen[name]})"), thing


class Publisher:
    """Publishes runs where the settings say. Create it before a sandbox is entered, see `Pushgateway`."""

    def __init__(self, settings: Settings) -> None:
        url = settings.accept_pushgateway
        self._pipeline, self._file = settings.accept_pipeline, settings.accept_metrics
        self._gateway = Pushgateway(url.get_secret_value()) if url else None

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        if self._gateway is not None:
            self._gateway.close()

    def publish(self, record: RunRecord, status: int) -> list[str]:
        """Publish a run that ended with this exit status; returns a line for each place, with the error if it failed.

        Never raises: metrics that cannot be published do not change the outcome of the run.
        """
        text = exposition(record, status, self._pipeline)
        return [_published(where, partial(send, text)) for where, send in self._places()]

    def _places(self) -> Iterator[tuple[str, Callable[[bytes], None]]]:
        if self._file is not None:
            yield str(self._file), partial(replace, self._file)
        if self._gateway is not None:
            yield str(self._gateway), partial(self._gateway.put, self._pipeline)


def replace(file: Path, text: bytes) -> None:
    """Write a file in one step, readable by everyone. Raises OSError."""
    if file.exists() and not file.is_file():
        raise OSError("it exists and is not a file")
    replace_file(file, text, READABLE)


def _published(where: str, send: Callable[[], None]) -> str:
    try:
        send()
    except (OSError, EOFError) as error:
        return f"no metrics in {where}: {getattr(error, 'strerror', None) or describe(error)}"
    return f"metrics: {where}"


class Pushgateway:
    """Prometheus' Pushgateway, which keeps the metrics of a finished job until Prometheus fetches them.

    In a sandbox of namespaces only its own hosts can be reached, and the program is inside once it has booted one. So
    this forks a process that stays outside and sends what it is given. It ends with its parent, or on `close`.
    """

    def __init__(self, url: str) -> None:
        """`url` may contain a login, and a path below which the gateway is served."""
        self._where, self._login = _parse(url)
        self._line, its = Pipe()
        kernel.fork(lambda: _stay_outside(its))
        its.close()

    def __str__(self) -> str:
        return self._where

    def put(self, pipeline: str, text: bytes) -> None:
        """Replace what the gateway has of this pipeline. Raises OSError when it does not accept the metrics."""
        # In base64, because a name may contain characters that a URL may not.
        url = f"{self._where}/metrics/job/{JOB}/pipeline@base64/{urlsafe_b64encode(pipeline.encode()).decode()}"
        self._line.send((url, text, self._login))
        if not self._line.poll(ANSWERED):
            self.close()  # an answer that comes late must not be taken for the next one
            raise TimeoutError("no answer")
        if trouble := self._line.recv():
            raise OSError(trouble)

    def close(self) -> None:
        self._line.close()


def _parse(url: str) -> tuple[str, _Login]:
    """The address, which may be shown, and the login, which may not."""
    parts = urlsplit(url)
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}", login


def _stay_outside(line: Connection) -> None:
    kernel.stand_alone("accept-courier", keep=[line.fileno()])
    kernel.die_with_parent()
    while True:
        try:
            url, text, login = line.recv()
        except EOFError:
            return
        line.send(_put(url, text, login))


def _put(url: str, text: bytes, login: _Login) -> str:
    """What went wrong; empty on success."""
    headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    try:
        answer = requests.put(url, text, headers=headers, auth=login, timeout=REST)
    except requests.RequestException as error:
        return _cause(error)
    said = " ".join(answer.text.split())[:200]
    return "" if answer.ok else f"it answered {answer.status_code} {answer.reason}: {said}"


def _cause(error: BaseException) -> str:
    """The error of the system call, without the layers above it."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error)
