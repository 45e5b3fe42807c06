"""Options that several commands have, and the settings that they stand for."""

from collections.abc import Callable
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from support.cli import places

Target = Annotated[
    str | None,
    typer.Option(
        envvar="ACCEPT_TARGET",
        help="What to test: a TOML file (or its text), a postgresql:// address, or a cluster that is up, by name.",
    ),
]
Require = Annotated[list[str] | None, typer.Option(help="Fail if the target lacks this: redis, citus, ...")]
Members = Annotated[int | None, typer.Option(help="How many members an embedded cluster has; 3 unless said.")]
Workers = Annotated[
    int | None, typer.Option(help="How many Citus worker groups it has; 2 unless said, 0 without Citus.")
]
WorkerMembers = Annotated[int | None, typer.Option(help="How many members each worker group has; 2 unless said.")]
Etcd = Annotated[int | None, typer.Option(help="How many etcd nodes it has; 3 unless said.")]
SandboxKind = Annotated[
    str | None, typer.Option("--sandbox", help="What its hosts are made of: auto, namespaces, loopback.")
]
Bindir = Annotated[Path | None, typer.Option("--pg-bindir", help="The PostgreSQL to use (16 or newer, with vector).")]
OwnSchema = Annotated[
    bool,
    typer.Option("--own-schema", help="On your cluster: work on tables of the suite's own, in a schema for the run."),
]
Vector = Annotated[
    str | None,
    typer.Option(help="The vector extension of an embedded cluster: pgvector, ruvector, auto (RuVector if there)."),
]
Like = Annotated[
    str | None,
    typer.Option(
        metavar="SHAPE",
        help="An embedded cluster in the shape of another installation, met from outside by published ports as its "
        "users meet it: swarm, swarm-unified, swarm-citus, swarm-ha, swarm-minimal (another name lists them).",
    ),
]
Ports = Annotated[
    str | None, typer.Option(help="Where --like publishes: usual (that installation's ports, where free), or free.")
]
Metrics = Annotated[
    Path | None, typer.Option(help="Write the run's metrics there, in OpenMetrics; for node_exporter a file *.prom.")
]
Pushgateway = Annotated[str | None, typer.Option(metavar="URL", help="Push the run's metrics to this Pushgateway.")]
Folders = Annotated[
    list[Path] | None, typer.Argument(metavar="DIR", help="What runs left: allure-results, or a folder with it.")
]
Summary = Annotated[Path | None, typer.Option(help="Append the table of promises to this file, in Markdown.")]
Pipeline = Annotated[str | None, typer.Option(help="What the metrics call runs of this kind; accept unless said.")]
Size = dict[str, object]
"""How an embedded cluster is to be, as settings; see `sized`."""
ClusterName = Annotated[str | None, typer.Option("--name", help="Which cluster, if several are up.")]


def embedded(
    members: Members = None,
    workers: Workers = None,
    worker_members: WorkerMembers = None,
    etcd: Etcd = None,
    sandbox: SandboxKind = None,
    pg_bindir: Bindir = None,
    vector: Vector = None,
) -> Size:
    """The settings of an embedded cluster that the command line gave."""
    given = {
        "accept_members": members,
        "accept_workers": workers,
        "accept_worker_members": worker_members,
        "accept_etcd": etcd,
        "accept_sandbox": sandbox,
        "accept_pg_bindir": places.named_by_user(pg_bindir) if pg_bindir else None,
        "accept_vector": vector,
    }
    return {name: value for name, value in given.items() if value is not None}


def shaped(like: str | None, ports: str | None) -> Size:
    """The settings of a cluster in the shape of another installation that the command line gave."""
    given = {"accept_like": like, "accept_ports": ports}
    return {name: value for name, value in given.items() if value is not None}


def sized(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `embedded` in place of its parameter `size`, which gets what they come to."""
    own, options = signature(command).parameters, signature(embedded).parameters

    @wraps(command)
    def with_size(**given: Any) -> None:
        size = embedded(**{name: given.pop(name) for name in options})
        command(**given, size=size)

    parameters = [one for name in own for one in (options.values() if name == "size" else (own[name],))]
    with_size.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_size.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_size


def publishing(metrics: Path | None, pushgateway: str | None, pipeline: str | None) -> dict[str, object]:
    """The settings of where the metrics go that the command line gave."""
    given = {
        "accept_metrics": places.named_by_user(metrics) if metrics else None,
        "accept_pushgateway": pushgateway,
        "accept_pipeline": pipeline,
    }
    return {name: value for name, value in given.items() if value is not None}
