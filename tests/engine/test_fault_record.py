"""What is recorded about a fault: the states of members, as a picture and as data, and what it cost."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import allure_commons
import pytest
from PIL import Image

from support.engine import fault_picture
from support.engine.fault_picture import attach, picture
from support.engine.fault_record import at_epoch, record_of, states_of
from support.engine.history import History, Operation, Outcome, WriterSample
from support.engine.incident import incident_of
from support.faults.nemesis import InjectedFault
from support.reporting.evidence import Evidence, Redactor
from support.reporting.fault_record import MemberState, fault_record_of
from support.reporting.scenario import Measure

KIND = "the host of the leader crashes"
FAULT = InjectedFault("the host pg1 crashes", 110.0, 110.2, healing=125.0, healed=126.0, target_member="pg1", kind=KIND)


def looks(member: str, begun: float, *answers: bool | None) -> list[WriterSample]:
    return [WriterSample(member, begun + number, begun + number + 0.1, one) for number, one in enumerate(answers)]


def operation(ended: float, outcome: Outcome = Outcome.OK, value: str = "v") -> Operation:
    return Operation(0, "append", "k", value, outcome, ended - 0.01, ended)


SAMPLES = [*looks("pg1", 105, True, True, True, True, True, None, None), *looks("pg2", 105, False, False, True)]
HISTORY = History([operation(106.0), operation(109.0), operation(111.0, Outcome.UNKNOWN), operation(121.0)])


class Attachments:
    """Stands where Allure's formatter stands, and keeps what is attached."""

    def __init__(self) -> None:
        self.found: dict[str, str | bytes] = {}

    @allure_commons.hookimpl
    def attach_data(self, body: str | bytes, name: str, attachment_type: object, extension: str | None) -> None:
        self.found[name] = body


@pytest.fixture
def attached() -> Iterator[dict[str, str | bytes]]:
    attachments = Attachments()
    allure_commons.plugin_manager.register(attachments)
    yield attachments.found
    allure_commons.plugin_manager.unregister(attachments)


def test_looks_that_found_the_same_are_one_period_until_the_next_look() -> None:
    assert states_of(looks("pg1", 0, True, True, None, False)) == [
        MemberState("pg1", "writes", 0, 2),
        MemberState("pg1", "silent", 2, 3),
        MemberState("pg1", "reads", 3, 3.1),
    ]


def test_an_answer_that_came_late_counts_from_its_end() -> None:
    thawed = WriterSample("pg1", 2.0, 22.0, True)
    assert states_of([*looks("pg1", 0, None, None), thawed]) == [
        MemberState("pg1", "silent", 0, 22.0),
        MemberState("pg1", "writes", 22.0, 22.0),
    ]


def test_the_looks_at_one_member_do_not_end_the_period_of_another() -> None:
    mixed = [*looks("pg2", 0.5, False, False), *looks("pg1", 0, True, True)]
    assert [(one.member, one.begun, one.ended) for one in states_of(mixed)] == [("pg1", 0, 1.1), ("pg2", 0.5, 1.6)]


@pytest.mark.parametrize("history", [None, History(), HISTORY], ids=["none", "empty", "some"])
@pytest.mark.parametrize(
    "injected_faults", [[], [FAULT], [FAULT, InjectedFault("more", 112, 113)]], ids=["0", "1", "2"]
)
def test_it_is_a_picture_whatever_there_is_to_show(
    history: History | None, injected_faults: list[InjectedFault]
) -> None:
    with Image.open(BytesIO(picture("FO-01", SAMPLES, history, injected_faults))) as image:
        image.load()
        assert image.format == "PNG"
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or ()}
    assert (0x1B, 0x7F, 0x4B) in colours, "no member is seen to take writes"


def test_a_scenario_that_ended_before_the_first_look_has_one_too() -> None:
    assert picture("FO-01", [], None, []).startswith(b"\x89PNG")


def test_what_clients_did_is_attached_as_json_lines_without_passwords(attached: dict[str, str | bytes]) -> None:
    history = History([operation(106.0, value="secret-of-app")])
    attach(Evidence(Redactor(["secret-of-app"])), "FO-01", SAMPLES, history, [FAULT])
    packed = attached["what clients did"]
    assert isinstance(packed, bytes)
    (line,) = gzip.decompress(packed).decode().splitlines()
    assert json.loads(line)["action"] == "append"
    assert "secret-of-app" not in line
    assert "what happened" in attached


def test_a_picture_that_cannot_be_drawn_is_said_and_raises_nothing(
    attached: dict[str, str | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise MemoryError("no room for a figure")

    monkeypatch.setattr(fault_picture, "picture", broken)
    attach(Evidence(), "FO-01", SAMPLES, HISTORY, [FAULT])
    assert attached == {"what happened could not be drawn": "MemoryError: no room for a figure"}


def test_a_fault_of_a_worker_group_is_about_its_own_leader() -> None:
    samples = [
        *looks("pg1", 98, *[True] * 30),
        *looks("pg2", 98, *[False] * 30),
        *looks("w1", 98, True, True),
        *looks("w2", 98, *[False] * 20, True),
    ]
    crash = InjectedFault("the host w1 crashes", begun=100.0, took_effect=100.2, target_member="w1")
    found = incident_of(
        samples, None, [crash], [], groups=[["pg1", "pg2"], ["w1", "w2"]], redundant_at=None, planned=False
    )
    assert found is not None
    assert found.new_leader_after == pytest.approx(18.1)


def test_what_a_fault_cost_is_taken_from_what_was_seen() -> None:
    samples = [*looks("pg1", 98, True, True), *looks("pg2", 98, *[False] * 20, True)]
    history = History(
        [
            operation(99.0),
            operation(99.9),
            operation(119.0),
            operation(119.5, Outcome.UNKNOWN),
            operation(111.0, Outcome.FAIL),
        ]
    )
    measures = [
        Measure("clients were interrupted for", 19.1, "s", 30.0),
        Measure("acknowledged writes", 3, ""),
        Measure("unknown writes", 1, ""),
        Measure("lost writes", 0, "", 0),
        Measure("acknowledged writes on the leader that was frozen", 7, ""),
        Measure("lost writes on the leader that was frozen", 5, "", 0),
        Measure("oldest lost write, acknowledged before the fault by", 2.5, "s"),
    ]
    found = incident_of(samples, history, [FAULT], measures, groups=[["pg1", "pg2"]], redundant_at=140.0, planned=False)
    assert found is not None
    assert found.kind == KIND
    assert found.without_writes == pytest.approx(119.0 - 99.9)
    assert found.new_leader_after == pytest.approx(118.1 - FAULT.begun)
    assert (found.acknowledged, found.lost, found.unanswered, found.limit) == (10, 5, 1, 30.0)
    assert (found.redundant_after, found.redundant_after_repair) == (140.0 - FAULT.begun, 140.0 - FAULT.healing)
    assert (found.refused, found.lost_reach_back) == (1, 2.5)
    assert not found.until_healed
    stuck = [operation(99.0), operation(FAULT.healing + 3.0)]
    waited = incident_of(
        samples, History(stuck), [FAULT], measures, groups=[["pg1", "pg2"]], redundant_at=140.0, planned=False
    )
    assert waited is not None
    assert waited.until_healed
    silent = incident_of(samples, None, [FAULT], [], groups=[["pg1"]], redundant_at=None, planned=True)
    assert silent is not None
    assert (silent.without_writes, silent.lost, silent.new_leader_after) == (None, None, None)
    assert incident_of(samples, history, [], [], groups=[], redundant_at=None, planned=False) is None


PREPARED = [
    InjectedFault("nothing gets from pg1 to pg2", 80.0, 80.2, healing=131.0, healed=131.1, preparation=True),
    InjectedFault("the host pg1 crashes", 100.0, 100.2, healing=130.0, healed=130.5, target_member="pg1", kind=KIND),
]


def test_what_a_preparation_takes_is_not_charged_to_the_fault() -> None:
    samples = [*looks("pg1", 78, *[True] * 22), *looks("pg2", 78, *[False] * 32, True)]
    history = History([operation(79.0), operation(99.0), operation(111.0)])
    found = incident_of(samples, history, PREPARED, [], groups=[["pg1", "pg2"]], redundant_at=140.0, planned=False)
    assert found is not None
    assert (found.kind, found.fault) == (KIND, "the host pg1 crashes")
    assert found.at == pytest.approx(at_epoch(100.0), abs=0.5)
    assert (found.without_writes, found.new_leader_after) == (pytest.approx(12.0), pytest.approx(10.1))
    assert (found.redundant_after, found.redundant_after_repair) == (40.0, 10.0)
    only = incident_of(samples, history, PREPARED[:1], [], groups=[], redundant_at=None, planned=False)
    assert only is None, "no fault came after it"


def test_a_fault_that_was_never_in_effect_is_shown_and_costs_nothing() -> None:
    halfway = InjectedFault("the host pg1 freezes", 100.0, healing=105.0, healed=105.5)
    assert incident_of(SAMPLES, HISTORY, [halfway], [], groups=[], redundant_at=None, planned=False) is None
    (span,) = record_of("FO-01", SAMPLES, HISTORY, [halfway]).faults
    assert (span.begun, span.in_effect, span.healing) == (0.0, None, 5.0)
    assert picture("FO-01", SAMPLES, HISTORY, [halfway]).startswith(b"\x89PNG")


def test_second_zero_is_the_fault_and_not_what_prepared_it(attached: dict[str, str | bytes]) -> None:
    attach(Evidence(), "FO-07", SAMPLES, HISTORY, PREPARED)
    found = fault_record_of(attached["what happened, as data"])
    assert found is not None
    assert [(one.begun, one.preparation) for one in found.faults] == [(-20.0, True), (0.0, False)]
    assert "what happened" in attached


def test_the_data_say_what_the_picture_says(attached: dict[str, str | bytes]) -> None:
    attach(Evidence(), "FO-01", SAMPLES, HISTORY, [FAULT], [(at_epoch(FAULT.begun + 1), "pg2", "promoted")])
    found = fault_record_of(attached["what happened, as data"])
    assert found is not None
    assert {one.state for one in found.periods} <= {"writes", "reads", "silent"}
    assert found.faults[0].begun == 0.0
    assert [(round(one.at, 1), one.host, one.words) for one in found.events] == [(1.0, "pg2", "promoted")]
    assert fault_record_of("{}") is None


def test_readers_are_drawn_beside_writers_and_alone(attached: dict[str, str | bytes]) -> None:
    reads = History([replace(operation(ended), action="lookup") for ended in (109.0, 109.2, 112.0)])
    attach(Evidence(), "FO-90", SAMPLES, None, [FAULT], reads=reads)
    alone = fault_record_of(attached["what happened, as data"])
    assert alone is not None
    assert alone.rates is None
    assert alone.reads is not None
    assert alone.reads.acknowledged == ((-1.0, 2), (2.0, 1))
    packed = attached["what readers did"]
    assert isinstance(packed, bytes)
    assert gzip.decompress(packed).count(b"lookup") == 3
    heights = [
        Image.open(BytesIO(picture("FO-90", SAMPLES, *those))).height
        for those in ((None, [FAULT]), (None, [FAULT], reads), (HISTORY, [FAULT], reads))
    ]
    assert heights == sorted({*heights}), "a panel more each"


def test_what_an_older_run_recorded_can_be_read() -> None:
    """As version 1 wrote it: without preparations, and under its original name."""
    older = (
        '{"promise":"FO-01","zero":1764500000.0,"ended":60.0,"periods":[{"member":"pg1","state":"writes","begun":-8.0,'
        '"ended":0.1}],"faults":[{"words":"the host pg1 crashes","begun":0.0,"in_effect":0.2,"healing":30.0,'
        '"healed":31.0}],"rates":null,"gap":[0.0,20.0],"events":[],"groups":[["pg1","pg2"]],'
        '"format":"accept timeline 1"}'
    )
    found = fault_record_of(older)
    assert found is not None
    assert (found.words, found.prepared, found.faults[0].in_effect) == ("the host pg1 crashes", "", 0.2)
    assert fault_record_of(older.replace("timeline 1", "timeline 9")) is None
