"""A picture of which node has which shard: a strip for each table, a cell for each shard, coloured by its node."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from support.reporting.evidence import Evidence
from support.sharding.placement_checks import Placement
from support.waiting import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLOURS = ("#3a6ea5", "#e0a030", "#1b7f4b", "#7a3b8f", "#5fb3b3", "#a65628", "#888888", "#d46a9f")
_INACTIVE = "#d1495b"


def attach(evidence: Evidence, title: str, maps: Mapping[str, Sequence[Placement]]) -> None:
    """Attach the picture. Raises nothing: an error is attached in place of the picture."""
    try:
        evidence.attach_picture(title, picture(title, maps))
    except Exception as error:
        evidence.attach("the map of shards could not be drawn", f"{type(error).__name__}: {describe(error)}")


def picture(title: str, maps: Mapping[str, Sequence[Placement]]) -> bytes:
    """A PNG with the maps below one another, each under its name ("before", "after"); a node has one colour in all."""
    from matplotlib.figure import Figure  # here: it takes a second, and most scenarios need no picture

    nodes = sorted({one.node for placements in maps.values() for one in placements})
    rows = sum(1 + len(_tables(placements)) for placements in maps.values())
    figure = Figure(figsize=(12, 1.2 + 0.45 * rows), layout="constrained")
    panels = figure.subplots(max(1, len(maps)), 1, sharex=True, squeeze=False).flat
    for panel, (when, placements) in zip(panels, maps.items(), strict=False):
        _draw(panel, placements, nodes)
        panel.set_title(when, loc="left", fontsize="medium")
    figure.suptitle(title)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return drawn.getvalue()


def _draw(panel: "Axes", placements: Sequence[Placement], nodes: Sequence[str]) -> None:
    """Tables from top to bottom, shards from left to right by their hashes; inactive placements are red."""
    tables = _tables(placements)
    for number, node in enumerate(nodes):
        here = [one for one in placements if one.node == node]
        for row, table in enumerate(tables):
            cells = [one for one in here if one.table == table]
            panel.broken_barh(
                [(one.lowest, one.highest - one.lowest + 1) for one in cells],
                (row - 0.4, 0.8),
                facecolors=[COLOURS[number % len(COLOURS)] if one.active else _INACTIVE for one in cells],
                edgecolor="white",
            )
        panel.bar([0], [0], color=COLOURS[number % len(COLOURS)], label=f"{node}: {len(here)}")
    panel.set_yticks(range(len(tables)), tables)
    panel.invert_yaxis()
    panel.set_xticks([])
    panel.set_xlabel("shards, by the hashes that they hold")
    panel.spines[:].set_visible(False)
    if nodes:
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _tables(placements: Sequence[Placement]) -> list[str]:
    return list(dict.fromkeys(one.table for one in placements))
