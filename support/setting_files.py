"""Files that settings name, and where their relative paths begin.

In a file with settings, they begin in the folder of that file. Elsewhere (in the environment, on the command line),
they begin in the folder where the user started the program, which works in another one.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from support.places import STARTED_IN

_OF_LIBPQ = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile")
_OF_REDIS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OF_DCS = ("cacert", "cert", "key")
_IN_URL = re.compile(rf"(?<=[?&])({'|'.join((*_OF_LIBPQ, *_OF_REDIS))})=([^&#]+)")


def located(path: Any, folder: Path = STARTED_IN) -> Any:
    """The path of a file, made absolute; what is no path, or says that there is no file, is returned as it is."""
    if isinstance(path, Path):
        return folder / path
    return str(folder / path) if isinstance(path, str) and path.strip() else path


def parameter(name: str, value: Any, folder: Path = STARTED_IN) -> Any:
    """A parameter of libpq or of a Redis URL, made absolute if it names a file.

    `sslrootcert=system` names none, nor does a key that is kept by an engine of OpenSSL, as `sslkey=engine:id`.
    """
    is_file = name in _OF_LIBPQ or name in _OF_REDIS
    is_word = (name == "sslrootcert" and value == "system") or (name == "sslkey" and ":" in str(value))
    return located(value, folder) if is_file and not is_word else value


def of_libpq(parameters: Any, folder: Path = STARTED_IN) -> Any:
    """libpq's parameters, whose files are made absolute."""
    if not isinstance(parameters, Mapping):
        return parameters
    return {name: parameter(name, value, folder) for name, value in parameters.items()}


def of_dcs(said: Any, folder: Path = STARTED_IN) -> Any:
    """[dcs], whose certificates are made absolute."""
    if not isinstance(said, Mapping):
        return said
    return {
        name: _section(section, folder) if isinstance(section, Mapping) else section for name, section in said.items()
    }


def _section(section: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {name: located(value, folder) if name in _OF_DCS else value for name, value in section.items()}


def of_programs(said: Any, folder: Path = STARTED_IN) -> Any:
    """[programs], whose paths are made absolute."""
    return {name: located(path, folder) for name, path in said.items()} if isinstance(said, Mapping) else said


def of_schema(said: Any, folder: Path = STARTED_IN) -> Any:
    """The file that describes the application's tables, made absolute; a description itself is returned as it is."""
    return located(said.strip(), folder) if isinstance(said, str) and said.strip().endswith(".toml") else said


def in_url(url: Any, folder: Path = STARTED_IN) -> Any:
    """A URL, in whose query files are made absolute."""
    if not isinstance(url, str):
        return url

    def absolute(found: re.Match[str]) -> str:
        said = unquote(found[2])
        path = parameter(found[1], said, folder)
        return found[0] if path == said else f"{found[1]}={quote(path)}"

    return _IN_URL.sub(absolute, url)


_LOCATED: Mapping[str, Callable[[Any, Path], Any]] = {
    **{f"ruvector_{name}": partial(parameter, name) for name in ("sslrootcert", "sslcert", "sslkey")},
    **dict.fromkeys(("redis_cafile", "redis_certfile", "redis_keyfile", "haproxy_stats_cacert"), located),
    **dict.fromkeys(("patroni_ctl_cacert", "patroni_ctl_certfile", "patroni_ctl_keyfile"), located),
    **dict.fromkeys(("accept_pg_bindir", "accept_metrics"), located),
    **dict.fromkeys(("ruvector_url", "ruvector_read_url", "redis_url"), in_url),
    **dict.fromkeys(("accept_dcs", "dcs"), of_dcs),
    **dict.fromkeys(("accept_programs", "programs"), of_programs),
    **dict.fromkeys(("accept_schema", "schema"), of_schema),
    "ruvector_options": of_libpq,
}


def beside(said: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a file in that folder says, with its settings' files made absolute."""
    return {name: _LOCATED[name](value, folder) if name in _LOCATED else value for name, value in said.items()}
