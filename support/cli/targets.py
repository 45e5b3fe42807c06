"""`--target`: which cluster to test. Without it the settings decide, or an embedded cluster is booted."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support import libpq, setting_files
from support.cli import clusters
from support.cli.clusters import KeptCluster
from support.cli.paths import from_command_line
from support.errors import UsageError

EMBEDDED = "embedded"
"""An embedded cluster, for pipelines that always give a target."""


def choose(target: str | None) -> tuple[Mapping[str, Any], KeptCluster | None]:
    """The settings that `--target` stands for, which override all others, or the running cluster that it names.

    `target` is a file with the keys of accept.toml, the text of such a file, the address of a database, or the name of
    a cluster that `accept up` started ("up": the newest). "embedded" is the same as None where no PG* variable and no
    DATABASE_URL names a database, which it overrules. A cluster shaped like another installation is reached through its
    target file. Raises UsageError if it is none of these.
    """
    if target is None:
        return {}, None
    if target == EMBEDDED:
        return {"accept_ambient": False}, None
    if not target.strip():
        raise UsageError("--target is empty: give it a value, or leave it out")
    if libpq.is_url(target):
        return libpq.settings_of(target, "--target") or {"ruvector_options": {}}, None
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
    if libpq.is_url(place):
        return libpq.settings_of(place, "ADDRESS")
    host, port = _split_place(place, "database.example.org:5432")
    return {"ruvector_host": host} | ({"ruvector_port": port} if port else {})


def redis_of_place(place: str) -> Mapping[str, Any]:
    """The settings that `host`, `host:port` or the URL of a Redis stands for. Raises UsageError for anything else."""
    if place.startswith(("redis://", "rediss://", "valkey://", "valkeys://")):
        return {"redis_url": place}
    host, port = _split_place(place, "cache.example.org:6379")
    return {"redis_host": host} | ({"redis_port": port} if port else {})


def _split_place(place: str, example: str) -> tuple[str, int | None]:
    if "@" in place:  # before that, there may be a password
        raise UsageError(f"an address has no login in front of it; write it like {example}")
    try:
        parts = urlsplit(f"//{place}" if place.count(":") < 2 or "[" in place else f"//[{place}]")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{place!r}: {error}; write it like {example}") from None
    if not host or parts.path or parts.query or port == 0:
        raise UsageError(f"{place!r} is not an address; write it like {example}")
    return host, port


def of_file(path: Path) -> Mapping[str, Any]:
    """The settings in a target file, in whose folder relative paths begin. Raises UsageError if it cannot be read."""
    try:
        said = _of_text(path.read_text(encoding="utf-8"), f"--target {path}")
        return setting_files.beside(said, path.parent.absolute())
    except OSError as error:
        raise UsageError(f"--target {path} cannot be read: {error.strerror}") from None


def _of_text(text: str, source: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{source} is not TOML: {error}") from None
