"""`--target`: which cluster to test. Without it the settings decide, or an embedded cluster is booted."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from support.cli import clusters
from support.cli.clusters import KeptCluster
from support.cli.paths import from_command_line
from support.errors import UsageError

EMBEDDED = "embedded"
"""The same as no target, for pipelines that always give one."""
_SCHEMES = ("postgresql://", "postgres://")
_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")


def choose(target: str | None) -> tuple[Mapping[str, Any], KeptCluster | None]:
    """The settings that `--target` stands for, which override all others, or the running cluster that it names.

    `target` is a file with the keys of accept.toml, the text of such a file, the address of a database, or the name of
    a cluster that `accept up` started ("up": the newest). "embedded" is the same as None. A cluster shaped like another
    installation is reached through its target file. Raises UsageError if it is none of these.
    """
    if target is None or target == EMBEDDED:
        return {}, None
    if not target.strip():
        raise UsageError("--target is empty: give it a value, or leave it out")
    if target.startswith(_SCHEMES):
        return _of_address(target), None
    if target.endswith(".toml"):
        return of_file(from_command_line(Path(target))), None
    if "=" in target:
        return _of_text(target, "--target"), None
    try:
        cluster = clusters.find(target)
    except UsageError as error:
        raise UsageError(
            f"--target {target!r} is neither a .toml file nor a postgresql:// address nor a cluster that is up: {error}"
        ) from None
    return (of_file(cluster.target), None) if cluster.target.exists() else ({}, cluster)


def of_place(place: str) -> Mapping[str, Any]:
    """The settings that `host`, `host:port` or the address of a database stands for.

    The port is left out where none is given. Raises UsageError for anything else.
    """
    if place.startswith(_SCHEMES):
        return _of_address(place)
    host, port = _split_place(place, "database.example.org:5432")
    return {"ruvector_host": host} | ({"ruvector_port": port} if port else {})


def redis_of_place(place: str) -> Mapping[str, Any]:
    """The settings that `host` or `host:port` of a Redis stands for. Raises UsageError for anything else."""
    host, port = _split_place(place.removeprefix("redis://"), "cache.example.org:6379")
    return {"redis_host": host} | ({"redis_port": port} if port else {})


def _split_place(place: str, example: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{place}" if place.count(":") < 2 or "[" in place else f"//[{place}]")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{place!r}: {error}; write it like {example}") from None
    if not host or parts.path or parts.query or parts.username or port == 0:
        raise UsageError(f"{place!r} is no address; write it like {example}")
    return host, port


def of_file(path: Path) -> Mapping[str, Any]:
    """The settings in a target file. Raises UsageError if it cannot be read."""
    try:
        return _of_text(path.read_text(encoding="utf-8"), f"--target {path}")
    except OSError as error:
        raise UsageError(f"--target {path} cannot be read: {error.strerror}") from None


def _of_text(text: str, source: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{source} is not TOML: {error}") from None


def _of_address(address: str) -> Mapping[str, Any]:
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError as error:
        raise UsageError(f"--target: {error}; write it like postgresql://user:password@host:5432/database") from None
    query = dict(parse_qsl(parts.query))
    if unknown := sorted(query.keys() - set(_TLS)):
        raise UsageError(
            f"--target: unknown parameter {', '.join(unknown)} in the address; known are {', '.join(_TLS)}"
        )
    settings = {
        "ruvector_host": parts.hostname or "localhost",
        "ruvector_port": port,
        "ruvector_db": unquote(parts.path.removeprefix("/")) or None,
        "ruvector_user": unquote(parts.username) if parts.username else None,
        "ruvector_password": unquote(parts.password) if parts.password else None,
        **{f"ruvector_{name}": value for name, value in query.items()},
    }
    return {name: value for name, value in settings.items() if value is not None}
