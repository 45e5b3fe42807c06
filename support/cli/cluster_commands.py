"""The commands about clusters that are up: start one, look at it, go into it, end it."""

from typing import Annotated

import typer

from support.cli.options import ClusterName, Like, Ports, Size, shaped, sized


@sized
def up(
    name: Annotated[str, typer.Option(help="How to call it.")] = "main",
    like: Like = None,
    ports: Ports = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Start a cluster to play with; it stays until `accept down`.

    With --like it has the shape of another installation: its names, ports, schema, timing. Then the variables that
    its users have are printed, ready to be pasted into a shell, and are in .accept/clusters/NAME/target.toml.
    """
    from support.cli import clusters, reaching, upkeep
    from support.settings import Settings

    cluster = clusters.kept(name)
    status = upkeep.up(cluster, Settings.load({**size, **shaped(like, ports)}))
    if status == 0:
        reaching.show(cluster)
    raise typer.Exit(status)


def down(
    name: Annotated[str | None, typer.Argument(help="Which one, if several are up.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are up.")] = False,
) -> None:
    """End a cluster that `accept up` started."""
    from support.cli import clusters, upkeep
    from support.cli.console import say

    for cluster in clusters.living() if every else (clusters.find(name),):
        upkeep.down(cluster)
        say(f"cluster {cluster.name} is down")
    clusters.sweep()


def status(name: ClusterName = None) -> None:
    """Members, roles, lag, memory and endpoints of a cluster that is up."""
    from support.cli import clusters, reaching, status

    cluster = clusters.find(name)
    reaching.go_inside(cluster, ["status", "--name", cluster.name])
    status.show(cluster)
    reaching.show(cluster)


def psql(
    context: typer.Context,
    where: Annotated[str, typer.Argument(help="write, read, or a member.")] = "write",
    name: ClusterName = None,
) -> None:
    """Log in with psql, as the application; further options are psql's."""
    from support import sql
    from support.cli import clusters, reaching

    cluster = clusters.find(name)
    endpoint = reaching.endpoint(cluster, where)
    reaching.replace_by(
        reaching.inside(cluster, [str(cluster.psql), *context.args]), sql.login_variables(endpoint, "accept psql")
    )


def shell(
    host: Annotated[str, typer.Argument(help="pg1, etcd1, haproxy, redis, ...")],
    name: ClusterName = None,
) -> None:
    """A shell on a host of the cluster."""
    from support.cli import clusters, reaching

    there = reaching.host(clusters.find(name), host)
    # Ctrl-C is for what runs in the shell: the program that waits for it would end at once and leave it alone.
    shell = there.argv(["env", "--default-signal=INT", "bash", "--norc", "-i"])
    reaching.replace_by(["env", "--ignore-signal=INT", *shell])


def logs(
    host: Annotated[str, typer.Argument(help="pg1, etcd1, haproxy, redis, ...")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 200,
    name: ClusterName = None,
) -> None:
    """What the programs of a host wrote."""
    from support.cli import clusters, reaching

    there = reaching.host(clusters.find(name), host)
    files = [str(process.log) for process in there.processes.values() if process.log.exists()]
    reaching.replace_by(["tail", f"--lines={lines}", *(["-F"] if follow else []), *files])
