"""Histories as elle-cli reads them."""

import json

from support.engine.history import History, Operation, Outcome
from support.engine.ledger import as_set


def append(client: int, value: str, begun: float, ended: float, outcome: Outcome = Outcome.OK) -> Operation:
    return Operation(client, "append", value, value, outcome, begun, ended)


READ = Operation(-1, "read", "namespace", ["0-0", "1-1"], Outcome.OK, 9.0, 9.5)


def test_every_operation_is_invoked_and_ends_one_event_a_line_in_the_order_of_time() -> None:
    text = as_set(History([append(1, "1-0", 1.5, 2.0, Outcome.FAIL), append(0, "0-0", 1.0, 3.0), READ]))
    assert text.count("\n") == 6
    assert [tuple(event.values()) for event in json.loads(text)] == [
        (0, "invoke", 0, "add", "0-0", 1_000_000_000),
        (1, "invoke", 1, "add", "1-0", 1_500_000_000),
        (2, "fail", 1, "add", "1-0", 2_000_000_000),
        (3, "ok", 0, "add", "0-0", 3_000_000_000),
        (4, "invoke", 2, "read", None, 9_000_000_000),
        (5, "ok", 2, "read", ["0-0", "1-1"], 9_500_000_000),
    ]
    assert list(json.loads(text)[0]) == ["index", "type", "process", "f", "value", "time"]


def test_a_process_that_does_not_know_what_came_of_it_is_not_heard_of_again() -> None:
    events = json.loads(as_set(History([append(0, "0-0", 1, 2, Outcome.UNKNOWN), append(0, "0-1", 3, 4)])))
    assert [(event["type"], event["process"]) for event in events] == [
        ("invoke", 0),
        ("info", 0),
        ("invoke", 1),
        ("ok", 1),
    ]


def test_what_the_model_does_not_know_is_left_out() -> None:
    assert json.loads(as_set(History([Operation(0, "look", "pg1", True, Outcome.OK, 1, 2)]))) == []
