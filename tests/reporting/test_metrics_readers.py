"""The metrics as their real readers take them: Prometheus, the Pushgateway and node_exporter."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import requests
import sandboxes
from conftest import free_port
from journals import LAG, READS, WRITES, record_of
from monitoring import program, running
from prometheus_client import parser
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from support.hosts import enter
from support.reporting.journal import RunRecord
from support.reporting.metrics import Publisher
from support.reporting.scenario import ScenarioResult, Verdict
from support.settings import Settings
from support.waiting import NotYet, eventually

ALERTS = Path(__file__).parents[2] / "docs" / "alerts.yml"
LOGINS = 'basic_auth_users: {jo: "$2b$04$.lG1wawfZMmKdkC4NfwmH.5l6MdigaP1TyCK.Ty13/af0P.W6HNOy"}'
PROMETHEUS = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{alerts}"]
scrape_configs:
  - {{job_name: gateway, honor_labels: true, static_configs: [{{targets: ["{gateway}"]}}]}}
  - {{job_name: node, static_configs: [{{targets: ["{node}"]}}]}}
  - {{job_name: page, metrics_path: /accept.prom, static_configs: [{{targets: ["{page}"]}}]}}
"""


class Page(SimpleHTTPRequestHandler):
    """Serves files as OpenMetrics."""

    extensions_map: ClassVar = {".prom": CONTENT_TYPE_LATEST}

    def log_message(self, *_: object) -> None:
        """Nobody is told."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of a Pushgateway that wants no login."""
    with pushgateway(tmp_path_factory.mktemp("gateway")) as address:
        yield address


@contextmanager
def pushgateway(directory: Path, *options: str, login: str = "") -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    command = [program("prometheus-pushgateway"), f"--web.listen-address={address}", *options]
    with running(command, f"http://{login}{address}/-/ready", directory / "log"):
        yield address


@contextmanager
def node_exporter(directory: Path, files: Path) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    collectors = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={files}"]
    command = [program("prometheus-node-exporter"), f"--web.listen-address={address}", *collectors]
    with running(command, f"http://{address}/", directory / "node.log"):
        yield address


@contextmanager
def page(files: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Page, directory=files)) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def prometheus(directory: Path, **targets: str) -> Iterator[str]:
    """The address of a Prometheus that reads from there, and knows the alerts."""
    address, settings = f"127.0.0.1:{free_port()}", directory / "prometheus.yml"
    settings.write_text(PROMETHEUS.format(alerts=ALERTS, **targets))
    options = [f"--config.file={settings}", f"--storage.tsdb.path={directory / 'data'}"]
    command = [program("prometheus"), f"--web.listen-address={address}", *options]
    with running(command, f"http://{address}/-/ready", directory / "prometheus.log"):
        yield f"http://{address}"


def test_prometheus_shows_the_same_by_every_way(tmp_path: Path, gateway: str) -> None:
    files = tmp_path / "files"
    files.mkdir()
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.BROKEN, "lost", 2.5, measures=(LAG,)))
    said = {"accept_metrics": files / "accept.prom", "accept_pushgateway": f"http://{gateway}"}
    told = published(record, **said, accept_pipeline="nightly/all of it")
    assert told == [f"metrics: {files / 'accept.prom'}", f"metrics: http://{gateway}"]
    with (
        node_exporter(tmp_path, files) as node,
        page(files) as openmetrics,
        prometheus(tmp_path, gateway=gateway, node=node, page=openmetrics) as reader,
    ):
        same = {"id": "FO-02", "suite": "failover", "scenario": WRITES.name, "target": "embedded cluster"}
        same |= {"pipeline": "nightly/all of it"}
        for metric, labels, value in (
            ('accept_scenario_verdict{verdict="broken"}', {"severity": "blocker", "verdict": "broken"}, "1"),
            ("accept_measure_seconds", {"measure": "replication lag"}, "0.25"),
            ("accept_measure_limit_seconds", {"measure": "replication lag"}, "0.5"),
            ("accept_scenario_duration_seconds", {}, "2.5"),
        ):
            seen = eventually(partial(of_three, reader, metric), within=30, subject=f"{metric} is read in three ways")
            assert seen == {job: ({**same, **labels}, value) for job in ("accept", "node", "page")}
        assert "seconds" in units_of(reader, "accept_scenario_duration_seconds"), "OpenMetrics was not read as such"

        def alarmed() -> None:
            assert firing(reader) == {("AcceptancePromiseBroken", "FO-02")}

        eventually(alarmed, within=10, subject="the alert fires")


def test_a_run_takes_the_place_of_its_pipelines_last_one(tmp_path: Path, gateway: str) -> None:
    for pipeline, scenario in (("a", WRITES), ("b", WRITES), ("b", READS)):
        record = record_of(tmp_path / pipeline / scenario.promise, ScenarioResult(scenario, Verdict.PASSED))
        published(record, accept_pushgateway=f"http://{gateway}", accept_pipeline=pipeline)
    kept = {(one["pipeline"], one["id"]) for one in held(gateway, "accept_scenario_duration_seconds")}
    assert {one for one in kept if one[0] in "ab"} == {("a", "FO-02"), ("b", "PF-01")}


@pytest.mark.parametrize("kind", ["namespaces", "loopback"])
def test_a_run_that_lives_in_a_sandbox_reaches_the_gateway(tmp_path: Path, gateway: str, kind: str) -> None:
    sandboxes.require(kind)

    def run() -> None:
        said = {"accept_pushgateway": f"http://{gateway}", "accept_pipeline": kind}
        with Publisher(Settings.load(said)) as publisher, enter(kind, tmp_path) as sandbox:
            if kind == "namespaces":
                with pytest.raises(requests.ConnectionError):
                    requests.get(f"http://{gateway}", timeout=2)
            assert publisher.publish(RunRecord(), 3) == [f"metrics: http://{gateway}"]
            sandbox.close()
            assert publisher.publish(RunRecord(), 3) == [f"metrics: http://{gateway}"]

    assert sandboxes.in_a_process(run) == 0
    assert kind in {one["pipeline"] for one in held(gateway, "accept_run_exit_status")}


def test_a_gateway_with_a_login(tmp_path: Path) -> None:
    logins = tmp_path / "web.yml"
    logins.write_text(LOGINS)
    with pushgateway(tmp_path, f"--web.config.file={logins}", login="jo:open%20sesame@") as gateway:
        assert published(RunRecord(), accept_pushgateway=f"http://jo:open%20sesame@{gateway}") == [
            f"metrics: http://{gateway}"
        ]
        assert published(RunRecord(), accept_pushgateway=f"http://jo:close%20sesame@{gateway}") == [
            f"no metrics in http://{gateway}: it answered 401 Unauthorized: Unauthorized"
        ]


def published(record: RunRecord, **said: object) -> list[str]:
    with Publisher(Settings.load(said)) as publisher:
        return publisher.publish(record, 1)


def held(gateway: str, name: str) -> list[dict[str, str]]:
    """The labels of the series of that name which a gateway holds."""
    text = requests.get(f"http://{gateway}/metrics", timeout=5).text
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    return [one.labels for one in families[name].samples]


def of_three(reader: str, metric: str) -> dict[str, tuple[dict[str, str], str]]:
    """A metric as Prometheus has it from each of three jobs: its labels and the value. NotYet when one is missing."""
    answer = requests.get(f"{reader}/api/v1/query", {"query": metric}, timeout=5).json()
    found = {one["metric"].pop("job"): (one["metric"], one["value"][1]) for one in answer["data"]["result"]}
    if len(found) < 3:
        raise NotYet(f"only of {sorted(found)}")
    return {job: (_own(labels), value) for job, (labels, value) in found.items()}


def _own(labels: dict[str, str]) -> dict[str, str]:
    """Without what Prometheus and the gateway add."""
    return {name: value for name, value in labels.items() if name not in ("__name__", "instance")}


def units_of(reader: str, metric: str) -> set[str]:
    """What Prometheus learnt of a metric's unit; the older format cannot tell it."""
    known = requests.get(f"{reader}/api/v1/metadata", {"metric": metric}, timeout=5).json()["data"][metric]
    return {one["unit"] for one in known}


def firing(reader: str) -> set[tuple[str, str]]:
    """The alerts that fire, and of which promise."""
    alerts = requests.get(f"{reader}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
    return {(one["labels"]["alertname"], one["labels"].get("id", "")) for one in alerts if one["state"] == "firing"}
