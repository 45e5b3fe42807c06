"""The map of shards is drawn in the colours of the nodes, and an error in drawing it fails nothing."""

from io import BytesIO

import pytest
from PIL import Image

from support.reporting.evidence import Evidence
from support.sharding import shard_map
from support.sharding.placement_checks import Placement
from support.sharding.shard_map import COLOURS, picture

ONE, TWO = "worker group 1", "worker group 2"


def shards(*nodes: str, active: bool = True) -> list[Placement]:
    return [
        Placement("t", number, node, 10 * number, 10 * number + 9, active=active) for number, node in enumerate(nodes)
    ]


def colours(png: bytes) -> set[str]:
    with Image.open(BytesIO(png)) as image:
        return {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in image.convert("RGB").getcolors(1 << 20) or ()}


def test_each_node_has_its_colour() -> None:
    found = colours(picture("shards", {"now": shards(ONE, TWO, ONE)}))
    assert {COLOURS[0], COLOURS[1]} <= found


def test_a_node_has_one_colour_before_and_after() -> None:
    found = colours(picture("shards", {"before": shards(TWO, TWO), "after": shards(TWO, TWO)}))
    assert COLOURS[0] in found
    assert COLOURS[1] not in found


def test_an_inactive_placement_is_seen() -> None:
    assert "#d1495b" in colours(picture("shards", {"now": shards(ONE, TWO, active=False)}))


@pytest.mark.parametrize("maps", [{}, {"now": []}])
def test_a_picture_of_nothing_is_one_too(maps: dict[str, list[Placement]]) -> None:
    assert picture("shards", maps).startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_drawn_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {}

    def broken(*_: object) -> bytes:
        raise MemoryError("no room for a figure")

    monkeypatch.setattr(shard_map, "picture", broken)
    monkeypatch.setattr(Evidence, "attach", lambda _, name, text: said.update({name: text}))
    shard_map.attach(Evidence(), "shards", {"now": shards(ONE)})
    assert said == {"the map of shards could not be drawn": "MemoryError: no room for a figure"}
