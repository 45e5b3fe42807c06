"""`accept status`."""

from support.cli.options import ClusterName


def command(name: ClusterName = None) -> None:
    """Show members, roles, lag, memory and endpoints of a running cluster."""
    from support.cli import clusters
    from support.cli.status import show, show_connections

    cluster = clusters.find(name)
    clusters.continue_inside(cluster, ["status", "--name", cluster.name])
    show(cluster)
    show_connections(cluster)
