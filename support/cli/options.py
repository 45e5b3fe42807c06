"""Options that several commands share, and the settings that they set."""

import shlex
from collections.abc import Callable
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from support import own_folder
from support.cli import completion, paths
from support.errors import UsageError

Target = Annotated[
    str | None,
    typer.Option(
        envvar="ACCEPT_TARGET",
        autocompletion=completion.CLUSTER,
        help="The cluster to test: a TOML file (or its text), a postgresql:// address, or the name of a cluster "
        "started with `accept up`.",
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        envvar="ACCEPT_FEATURES",
        metavar="DIR",
        help="A folder with features and steps of your own, as `accept new` makes it. They run with all of the "
        "suite's steps.",
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CAPABILITY",
        help="Fail if the target lacks this capability: redis, citus, ...",
        autocompletion=completion.CAPABILITY,
    ),
]
Members = Annotated[int | None, typer.Option(help="Members of an embedded cluster (default: 3).")]
Workers = Annotated[
    int | None, typer.Option(help="Citus worker groups of an embedded cluster (default: 2; 0 without Citus).")
]
WorkerMembers = Annotated[int | None, typer.Option(help="Members of each worker group (default: 2).")]
Etcd = Annotated[int | None, typer.Option(help="etcd nodes of an embedded cluster (default: 3).")]
Dcs = Annotated[
    str | None,
    typer.Option(help="DCS of an embedded cluster: etcd3 (default), etcd (v2 API), zookeeper or raft."),
]
SandboxKind = Annotated[
    str | None,
    typer.Option(
        "--sandbox", help="How its hosts are isolated: auto, namespaces or loopback.", autocompletion=completion.SANDBOX
    ),
]
Bindir = Annotated[
    Path | None,
    typer.Option("--pg-bindir", help="Directory of the PostgreSQL programs to use (16 or newer, with pgvector)."),
]
Postgres = Annotated[
    int | None,
    typer.Option(help="Major version of its PostgreSQL, 16 or newer; 18 is installed on first use."),
]
OwnSchema = Annotated[
    bool,
    typer.Option(
        "--own-schema", help="On your cluster: create the suite's own tables, in a schema that is dropped at the end."
    ),
]
Vector = Annotated[
    str | None,
    typer.Option(
        help="Vector extension of an embedded cluster: pgvector, ruvector, or auto (RuVector if it is installed).",
        autocompletion=completion.VECTOR,
    ),
]
Like = Annotated[
    str | None,
    typer.Option(
        metavar="SHAPE",
        autocompletion=completion.SHAPE,
        help="Boot a cluster shaped like another installation, and reach it from outside through published ports: "
        "swarm, swarm-unified, swarm-citus, swarm-ha or swarm-minimal; or like the suite's own with TLS everywhere: "
        "secured.",
    ),
]
Ports = Annotated[
    str | None,
    typer.Option(
        help="Ports that --like publishes: usual (those of the installation, if they are free) or free.",
        autocompletion=completion.PORTS,
    ),
]
Metrics = Annotated[
    Path | None,
    typer.Option(help="Write the run's metrics to this file in OpenMetrics format (*.prom: for node_exporter)."),
]
Pushgateway = Annotated[str | None, typer.Option(metavar="URL", help="Push the run's metrics to this Pushgateway.")]
Folders = Annotated[
    list[Path] | None, typer.Argument(metavar="DIR", help="Folders with the allure-results of other runs.")
]
Summary = Annotated[Path | None, typer.Option(help="Append the table of promises to this file, as Markdown.")]
Pipeline = Annotated[
    str | None,
    typer.Option(help="Name of the pipeline in the metrics, to distinguish kinds of runs (default: accept)."),
]
ClusterName = Annotated[
    str | None, typer.Option("--name", help="Which cluster, if several are up.", autocompletion=completion.CLUSTER)
]
Host = Annotated[
    str, typer.Argument(help="A host of the cluster: pg1, etcd1, haproxy, redis, ...", autocompletion=completion.HOST)
]
Size = dict[str, object]
"""Size and kind of an embedded cluster, as settings; see `with_size_options`."""


def size_settings(
    members: Members = None,
    workers: Workers = None,
    worker_members: WorkerMembers = None,
    etcd: Etcd = None,
    dcs: Dcs = None,
    sandbox: SandboxKind = None,
    pg_bindir: Bindir = None,
    postgres: Postgres = None,
    vector: Vector = None,
) -> Size:
    """The settings for an embedded cluster that the command line gave."""
    return _given(
        accept_members=members,
        accept_workers=workers,
        accept_worker_members=worker_members,
        accept_etcd=etcd,
        accept_embedded_dcs=dcs,
        accept_sandbox=sandbox,
        accept_pg_bindir=paths.from_command_line(pg_bindir) if pg_bindir else None,
        accept_postgres=postgres,
        accept_vector=vector,
    )


def with_size_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter `size` by the options of `size_settings`; the command gets the settings."""
    own, options = signature(command).parameters, signature(size_settings).parameters

    @wraps(command)
    def with_size(**given: Any) -> None:
        size = size_settings(**{name: given.pop(name) for name in options})
        command(**given, size=size)

    parameters = [one for name in own for one in (options.values() if name == "size" else (own[name],))]
    with_size.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_size.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_size


_OF_TARGET = frozenset({"target", "own_schema", "like", "ports", *signature(size_settings).parameters})
"""The parameters of `accept run` that say what is tested."""


def options_of_target(context: typer.Context) -> str:
    """The options of the command line that say what is tested, as a shell reads them.

    An address or a file's text may hold a password, so a word stands in its place. The user's own folder is among them,
    however it was named.
    """
    own, options = own_folder.given(), {one.name: one.opts[0] for one in context.command.params}
    kept = ["--features", shlex.quote(str(own.directory))] if own else []
    for name, value in context.params.items():  # in the order in which they were typed
        source = context.get_parameter_source(name)
        if name in _OF_TARGET and source is not None and source.name == "COMMANDLINE":
            kept += [options[name]] if value is True else [options[name], _without_secret(str(value))]
    return " ".join(kept)


def _without_secret(value: str) -> str:
    return "YOUR-TARGET" if "://" in value or "\n" in value else shlex.quote(value)


def number_of_jobs(text: str) -> int | None:
    """What --jobs asks for; None for "auto". Raises UsageError for anything else."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(
            f"--jobs {text}: write a number of at least 1, or auto: as many clusters as the machine can handle"
        )
    return int(text)


def shape_settings(like: str | None, ports: str | None) -> Size:
    """The settings for a cluster shaped like another installation that the command line gave."""
    return _given(accept_like=like, accept_ports=ports)


def metrics_settings(metrics: Path | None, pushgateway: str | None, pipeline: str | None) -> Size:
    """The settings for the metrics that the command line gave."""
    file = paths.from_command_line(metrics) if metrics else None
    return _given(accept_metrics=file, accept_pushgateway=pushgateway, accept_pipeline=pipeline)


def _given(**settings: object) -> Size:
    return {name: value for name, value in settings.items() if value is not None}
