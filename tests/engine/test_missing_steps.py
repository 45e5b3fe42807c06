"""A step whose Given is missing ends as an error that names one, not as a broken promise or a puzzle."""

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
from behave.step_registry import registry
from program import ROOT

from support.cache.handover import CacheHandover
from support.cli.handed_over import exchange
from support.cli.new import TEMPLATE
from support.cli.steps import matching, steps
from support.engine.world import World
from support.errors import MissingStep
from support.failover.handover import FailoverHandover
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology


def _sentences() -> Iterator[tuple[str, str, str]]:
    """Sentences quoted in error messages: where each is, the handed-over value it is about, if any, and its text."""
    for file in (*ROOT.glob("support/**/*.py"), *ROOT.glob("steps/**/*.py")):
        where, text = ".".join(file.relative_to(ROOT).with_suffix("").parts), file.read_text(encoding="utf-8")
        if "Handover" not in text and "missing" not in text:  # most files, whose parsing takes seconds
            continue
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.ClassDef(name=name, bases=[ast.Name("Handover")]):
                    kind = getattr(import_module(where), name)
                    for value, hint in get_type_hints(kind, include_extras=True).items():
                        for sentence in getattr(hint, "__metadata__", ()):
                            yield f"{where} {value}", value, sentence
                case ast.Call(func=ast.Name("missing"), args=[ast.Constant(str(what)), ast.Constant(str(sentence))]):
                    yield f"{where} {what}", "", sentence


@contextmanager
def _registry_unchanged() -> Iterator[None]:
    """behave does not keep steps imported here: those of `accept new` would be ambiguous with a user's own."""
    before = {kind: [*known] for kind, known in registry.steps.items()}
    try:
        yield
    finally:
        registry.steps.update(before)


with _registry_unchanged():
    SENTENCES = list(_sentences())
    STEPS = (*steps(), *steps(TEMPLATE / "steps"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    topology = Topology(database="d", application=Login("jo", "x"), write=Address("127.0.0.1", 1))
    return World(Run("id", tmp_path, tmp_path, 1), Cluster(topology), Evidence())


@pytest.mark.parametrize(
    ("use", "named"),
    [
        (lambda world: world.experiment, "Given a healthy cluster"),
        (lambda world: world.clients, "clients appending to a ledger"),
        (lambda world: world.history, "clients appending to a ledger"),
        (lambda world: world.session, "When the application logs in"),
        (lambda world: world.error, "is stored"),
        (lambda world: world.handover(FailoverHandover).requested_candidate, "a switchover to a replica"),
        (lambda world: world.readers, "clients reading through the read endpoint"),
        (lambda world: world.handover(CacheHandover).client, "Given 2 clients of the cache"),
    ],
)
def test_what_no_step_has_provided_is_named_with_one_that_does(
    world: World, use: Callable[[World], object], named: str
) -> None:
    with pytest.raises(MissingStep, match=named):
        use(world)


@pytest.mark.parametrize(("value", "sentence"), [one[1:] for one in SENTENCES], ids=[one[0] for one in SENTENCES])
def test_a_sentence_that_is_named_is_a_step_and_provides_the_value(value: str, sentence: str) -> None:
    keyword, _, words = sentence.partition(" ")
    (step,) = matching(words, [one for one in STEPS if one.keyword in (keyword.lower(), "step")])
    provided = exchange(f"{step.file}:{step.line}")
    assert not value or value in provided.sets | {one.name for one in provided.provides}


def test_one_client_is_not_any_of_several(world: World) -> None:
    world.handover(CacheHandover).clients = [None, None]  # type: ignore[list-item]
    with pytest.raises(MissingStep, match=r"a single client.*Given a client of the cache"):
        _ = world.handover(CacheHandover).client


def test_an_attempt_that_succeeded_is_known(world: World) -> None:
    world.error = None
    assert world.error is None
    refused = ValueError("no")
    world.error = refused
    assert world.error is refused


def test_a_step_goes_on_for_longer_than_a_later_one_needs_to_judge_it(world: World) -> None:
    assert world.time_for("caching", 15) == 15
    world.stated = {"caching": 60}
    assert world.time_for("caching", 15) == 72
    world.ids, world.limits = ("OU-01",), {"OU-01.caching": 100}
    assert world.time_for("caching", 15) == 120
    world.limits = {"OU-01.caching": 1}
    assert world.time_for("caching", 15) == 15
