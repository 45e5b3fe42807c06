"""Logins and requests that fail although their password is right, to see what is said about them."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from support import sql
from support.errors import Inconclusive
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.redis import client_of

_NOBODY_LISTENS = 1
"""A port."""


def messages(cluster: Cluster, stranger: str) -> Iterator[tuple[str, bytes]]:
    """Each mishap and all that is said about it, down to the first cause; then how the cluster describes itself.

    `stranger` is a name that no role has. Raises Inconclusive if one of them does not fail.
    """
    for name, mishap in mishaps(cluster, stranger).items():
        try:
            mishap()
        except Exception as error:
            yield name, "".join(traceback.format_exception(error)).encode()
        else:
            raise Inconclusive(f"{name} did not fail")
    yield "the description of the cluster", repr(cluster.topology).encode()


def mishaps(cluster: Cluster, stranger: str) -> Mapping[str, Callable[[], object]]:
    """What is told -> what fails."""
    write, topology = cluster.write, cluster.topology
    failing: dict[str, Callable[[], object]] = {
        "a login to a database that is not there": lambda: sql.connect(replace(write, database=stranger)),
        "a login as a role that is not there": lambda: sql.connect(replace(write, user=stranger)),
        "a login where nobody listens": lambda: sql.connect(replace(write, port=_NOBODY_LISTENS)),
        "a login to a host that is not there": lambda: sql.connect(replace(write, host=f"{stranger}.invalid")),
        "a login with an option that is unknown": lambda: sql.connect(replace(write, options={"sslmode": stranger})),
        "a statement that is none": lambda: sql.execute(write, stranger),
    }
    page, cache = topology.statistics, topology.redis
    if page:
        nowhere = page.url.replace("//", f"//{stranger}.")
        failing["a page that is not there"] = lambda: haproxy.servers(replace(page, url=nowhere))
    if cache:
        elsewhere = replace(cache.address, port=_NOBODY_LISTENS)
        failing["a cache where nobody listens"] = lambda: client_of(replace(cache, address=elsewhere)).ping()
    if cache and (password := cache.password):
        failing["a cache that refuses a login"] = lambda: cluster.redis().auth(password, stranger)
    return failing
