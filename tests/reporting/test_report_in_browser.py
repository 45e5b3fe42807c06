"""A real browser opens the pages from disk and does what readers do: clicks, hovers, zooms, searches, prints.

playwright-core comes by npm, as the renderer does, and drives the Chromium of the machine; without one this is skipped.
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import npm
import pytest
from journals import READS, WRITES
from program import ROOT

from support.errors import NotAvailable
from support.reporting import past, promises
from support.reporting.comparison import Side, compare
from support.reporting.fault_record import NAME, Event, FaultRecord, FaultSpan, MemberState, Rates
from support.reporting.journal import Journal, read
from support.reporting.pages.costs import KEY_FIGURES
from support.reporting.pages.printing import browser
from support.reporting.pages.site import Knowledge, write_comparison, write_pages
from support.reporting.scenario import Incident, Measure, Scenario, ScenarioResult, Verdict

pytestmark = pytest.mark.long  # it renders a report with node and opens its pages
WANTED = ROOT / "tests" / "browser"
CRASH = Incident("the host of the leader crashes", "the host pg1 crashes", 1000.0, 21.5, 20.0, 4.0, 900, 2, 3, 30.0)
LINE = "promoted self to leader by acquiring session lock"


def recorded(promise: str, *groups: tuple[str, ...]) -> FaultRecord:
    return FaultRecord(
        promise,
        zero=1000.0,
        ended=30.0,
        periods=(
            MemberState("pg1", "writes", -3.0, 0.0),
            MemberState("pg1", "silent", 0.0, 30.0),
            MemberState("pg2", "reads", -3.0, 20.0),
            MemberState("pg2", "writes", 20.0, 30.0),
        ),
        faults=(
            FaultSpan("pg3 is tagged nofailover", -2.0, -1.5, 22.5, 22.6, preparation=True),
            FaultSpan("the host pg1 crashes", 0.0, 0.2, 22.0, 22.5),
        ),
        rates=Rates(0.5, ((-1.0, 400), (20.5, 300)), ((1.0, 4),), ((0.5, 3),)),
        gap=(0.0, 21.5),
        events=(Event(1.0, "pg2", LINE),),
        groups=groups,
        reads=Rates(0.5, ((-1.0, 100), (2.5, 80))) if groups else None,
    )


def left_by(scenario: Scenario, folder: Path, status: str, **attachments: str) -> None:
    """What Allure's formatter leaves of a scenario."""
    for name, text in attachments.items():
        (folder / f"{scenario.key}-{name}").write_text(text)
    names = {"data.json": NAME, "view.txt": "Patroni's view", "log.txt": "log of pg2"}
    result = {
        "historyId": scenario.key,
        "start": 1,
        "steps": [{"name": "When the host of the leader crashes", "status": status}],
        "attachments": [{"name": names[name], "source": f"{scenario.key}-{name}"} for name in attachments],
    }
    (folder / f"{scenario.key}-result.json").write_text(json.dumps(result))


def write_whole_run(folder: Path, output: Path) -> None:
    """The pages of a run of every promise, with as many faults, figures and known limits as a real one has."""
    listed = promises.load(ROOT / "features" / promises.FILE)
    kinds = (
        "the hosts of the leader and a replica crash at once",
        "the host of the leader of a worker group crashes",
        "the leader cut off from etcd, haproxy, redis, replicas",
        "the data directory of the leader is destroyed",
        "Patroni on the leader dies while the leader hands over to a replica",
    )
    costs = [
        Incident(kind, kind, 1000.0, 38.2 - n, 38.0, 52.7, 7477, 0, 24, n % 2 * 60.0 or None, False, 14.3, 11_793)
        for n, kind in enumerate((*kinds, *(f"{kind}, again" for kind in kinds), *kinds))
    ]
    figures = [Measure(name, 12.3, "ms", 100.0) for _, name, _, _ in KEY_FIGURES]
    limits = [f"{word} {'what is not promised is told in a sentence of some length, ' * 4}" for word in "abcdefghi"]
    folder.mkdir()
    journal = Journal(folder / "journal.jsonl")
    facts = {"Target": "embedded cluster", "Sandbox": "namespaces", "Members": "pg1 (leader), pg2 and pg3 (replicas)"}
    run = [
        Scenario(f"features/{one.capability}/x.feature", "X", f"{one.id} is kept", tags=(f"id.{one.id}",))
        for one in listed.values()
    ]
    journal.begin(run, facts, at=990.0, known_limits=limits)
    measured = {id: figure for (id, *_), figure in zip(KEY_FIGURES, figures, strict=True)}
    for number, one in enumerate(run):
        measures = (measured[one.promise],) if one.promise in measured else ()
        incident = costs[number] if number < len(costs) else None
        verdict = Verdict.PASSED if number else Verdict.SKIPPED
        journal.record(ScenarioResult(one, verdict, "", 4.0, 1000.0 + number, measures, incident=incident))
    journal.end(at=2000.0)
    record = read(journal.path)
    before = [replace(past.run_of(record), began=float(number)) for number in range(3)]
    write_pages(record, folder, output, "Acceptance of the cluster", Knowledge(ROOT / "features"), before)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    measures = (Measure("reads, 95 in 100", 12.0, "ms", 100.0),)
    journal = Journal(folder / "journal.jsonl")
    journal.begin([WRITES, READS], {"Target": "embedded cluster"}, at=990.0)
    found = ScenarioResult(WRITES, Verdict.BROKEN, "2 writes <lost>", 40.0, 995.0, final=True, incident=CRASH)
    journal.record(found)
    journal.record(ScenarioResult(READS, Verdict.PASSED, "", 40.0, 1040.0, measures, incident=replace(CRASH, lost=0)))
    journal.end(at=1090.0)
    log = f"1970-01-01 00:16:41,000 INFO: {LINE}\n1970-01-01 00:16:42,000 INFO: no action. I am a replica\n"
    data = recorded("FO-02").json
    left_by(WRITES, folder, "failed", **{"data.json": data, "view.txt": "pg2: leader, running", "log.txt": log})
    groups = ("c1", "c2"), ("pg1",), ("pg2",)
    left_by(READS, folder, "passed", **{"data.json": recorded("PF-01", *groups).json})
    record = read(journal.path)
    run = past.run_of(record)
    before = [replace(run, began=float(number), promises={"FO-02": "passed"}) for number in range(8)]
    knowledge = Knowledge(ROOT / "features", {"FO-02": ["fsync is off"]})
    write_pages(record, folder, folder / "report", "Acceptance", knowledge, before)
    both = compare(Side("one", (run,)), Side("two", (replace(run, began=1.0, promises={"FO-02": "passed"}),)))
    write_comparison(both, folder / "report" / "compare.html", "Acceptance", {})
    write_whole_run(folder / "whole", folder / "report" / "whole")
    return folder / "report"


@pytest.fixture(scope="module")
def seen(report: Path) -> dict[str, Any]:
    try:
        program = browser()
    except NotAvailable as missing:
        pytest.skip(str(missing))
    node, libraries = npm.installed(WANTED)
    command = [node, WANTED / "clicks.mjs", libraries, program, report]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nothing_is_fetched_and_no_script_fails(seen: dict[str, Any]) -> None:
    assert (seen["requests"], seen["errors"]) == ([], [])


def test_the_answer_and_a_promise_are_there(seen: dict[str, Any]) -> None:
    assert seen["answer"] == "No: the cluster breaks 1 promise."
    assert "broken: 2 writes <lost>" in seen["told"]
    assert (seen["expanded"], seen["closed"]) == ("true", True)


def test_a_failover_is_drawn_and_explains_itself_where_the_mouse_is(seen: dict[str, Any]) -> None:
    assert seen["bars"] > 10
    assert {"pg1", "pg2", "nothing for 21.5 s", "peak 800", "load ends"} <= set(seen["words"])
    assert {"prepared: pg3 is tagged nofailover", "the host pg1 crashes"} <= set(seen["words"])
    assert "1.00 s after the fault" in seen["tip"]
    assert "pg1 no answer, pg2 read-only" in seen["tip"]
    assert f"pg2: {LINE}" in seen["tip"]
    assert (seen["zoomed"], seen["dragged"]) == (True, True)
    assert seen["second"] > 10
    assert seen["run"] == 2


def test_the_evidence_of_a_failure_is_one_click_away(seen: dict[str, Any]) -> None:
    failure = seen["failure"]
    order = ["Promised:", "Seen: 2 writes <lost>", "./accept run --tags @id.FO-02", "Steps", "What happened"]
    order += ["Patroni's view", "pg2: leader, running", "Log lines that matter", LINE, "Files:"]
    places = [failure.find(words) for words in order]
    assert -1 not in places, failure
    assert places == sorted(places), "in the order of reading"
    assert "(prepared: pg3 is tagged nofailover)" in failure
    assert "no action" not in failure
    assert seen["failurePicture"] > 10
    assert seen["copied"] in ("copied", "selected: press Ctrl-C")
    assert seen["attachment"]


def test_each_group_of_a_sharded_cluster_has_its_leader(seen: dict[str, Any]) -> None:
    assert seen["ledAlone"] == ["who led"]
    assert seen["led"] == ["leader, group 1", "leader, group 2"], "nobody looked at group 0"


def test_readers_have_a_row_of_their_own(seen: dict[str, Any]) -> None:
    assert {"reads", "peak 200"} <= set(seen["secondWords"])
    assert "reads" not in seen["words"], "nobody read there"


def test_scenarios_are_searched_and_opened(seen: dict[str, Any]) -> None:
    assert seen["found"] == "1 found"
    assert seen["steps"] == 1
    assert seen["figures"]


def test_whoever_is_on_call_gets_to_the_guide(seen: dict[str, Any]) -> None:
    assert "Usual causes" in seen["guide"]
    assert "fsync is off" in seen["guide"]
    assert (seen["folded"], seen["unfolded"]) == (True, True), "what did not fail is folded until it is looked for"


def test_it_fits_a_phone_the_dark_and_two_sheets_of_paper(seen: dict[str, Any]) -> None:
    assert {name: wide for name, wide in seen["overflow"].items() if wide > 0} == {}
    assert len(set(seen["colours"])) == 2
    assert max(seen["sheets"]) <= 2


def test_the_promises_of_a_whole_run_are_seen_without_scrolling(seen: dict[str, Any]) -> None:
    assert seen["cells"] > 120
    assert seen["gridBegins"] < 520


def test_the_library_is_pinned_and_names_no_registry() -> None:
    lock = json.loads((WANTED / "package-lock.json").read_text())
    wanted = json.loads((WANTED / "package.json").read_text())["dependencies"]
    assert {
        name.removeprefix("node_modules/"): one["version"] for name, one in lock["packages"].items() if name
    } == wanted
    assert not [one for one in lock["packages"].values() if "resolved" in one]
