"""The types of settings: how users write a value, in TOML and in the environment, and what it becomes; and back."""

import json
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from support import setting_files

MOST_MEMBERS = 9
"""The most members of a group of an embedded cluster."""
Port = Annotated[int, Field(ge=1, le=65535)]


def _split(names: object) -> object:
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several names; in the environment separated by commas."""


def _with_ports(places: Any) -> Any:
    """Hosts, each perhaps with a port, which has to be one. An IPv6 address without brackets has none."""
    for place in map(str.strip, places.split(",") if isinstance(places, str) else places):
        host, colon, port = place.rpartition(":")
        is_port = port.isdecimal() and (":" not in host.removeprefix("https:").removeprefix("http:") or "]" in host)
        if colon and is_port and not place.startswith(("/", "@")) and not 1 <= int(port) <= 65535:
            raise PydanticCustomError("port", "{port} is not a port number (1 to 65535)", {"port": port})
    return places


def _web_address(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PydanticCustomError("address", "should be like http://user:password@host:9091")
    return secret


def _located_url(secret: SecretStr) -> SecretStr:
    return SecretStr(setting_files.in_url(secret.get_secret_value()))


def _pairs(given: object) -> object:
    """`name=address, name=address` or JSON from the environment as a mapping; a mapping unchanged."""
    if not isinstance(given, str) or given.lstrip().startswith("{"):
        return json.loads(given) if isinstance(given, str) else given
    pairs = [one.partition("=") for one in given.split(",") if one.strip()]
    if wrong := [number for number, (_, equals, _) in enumerate(pairs, 1) if not equals]:
        words = "should be like name=host:port, name=host:port; there is no = in part {number}"
        raise PydanticCustomError("pairs", words, {"number": wrong[0]})
    return {name.strip(): address.strip() for name, _, address in pairs}


def _count_or_addresses(given: object) -> object:
    if isinstance(given, str) and given.strip().isdigit():
        given = int(given)
    if isinstance(given, int) and not 1 <= given <= MOST_MEMBERS:
        raise PydanticCustomError("count", "an embedded cluster can have 1 to {most} members", {"most": MOST_MEMBERS})
    return given if isinstance(given, int) else _pairs(given)


def _table(given: object) -> object:
    """A table; in the environment as JSON."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise PydanticCustomError("table", 'should be JSON, such as {"synchronous": true}') from None


def _schema(given: object) -> object:
    """A table; in the environment as JSON. Or the name of a TOML file that has it, with or without [schema]."""
    if not isinstance(given, str) or not given.strip().endswith(".toml"):
        return _table(given)
    file = Path(setting_files.of_schema(given))
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PydanticCustomError("file", "cannot be read: {why}", {"why": error.strerror or ""}) from None
    except ValueError as error:
        raise PydanticCustomError("file", "is not TOML: {why}", {"why": str(error)}) from None
    return said.get("schema", said)


def _limits(given: object) -> object:
    """A table in which `PF-01.p95 = 50` is the same as `"PF-01.p95" = 50`; in the environment as JSON."""
    given = _table(given)
    if not isinstance(given, Mapping):
        return given
    found = dict[str, object]()
    for name, value in given.items():
        inner = value.items() if isinstance(value, Mapping) else (("", value),)
        found |= {f"{name}.{measure}".rstrip("."): limit for measure, limit in inner}
    return found


Limits = Annotated[
    Mapping[str, Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]], NoDecode, BeforeValidator(_limits)
]
Table = Annotated[Mapping[str, Any], NoDecode, BeforeValidator(_table)]
Dcs = Annotated[Mapping[str, Any], NoDecode, BeforeValidator(_table), AfterValidator(setting_files.of_dcs)]
Variables = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_table)]
Schema = Annotated[Mapping[str, Any], NoDecode, BeforeValidator(_schema)]
Addresses = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_pairs)]
"""Name -> address; in the environment `name=address, name=address`."""
Parameters = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_pairs), AfterValidator(setting_files.of_libpq)]
"""Parameter of libpq -> value, likewise."""
Hosts = Annotated[Mapping[str, Any], NoDecode, BeforeValidator(_pairs)]
Programs = Annotated[Mapping[str, Path], NoDecode, BeforeValidator(_pairs), AfterValidator(setting_files.of_programs)]
Members = Annotated[int | Mapping[str, str], NoDecode, BeforeValidator(_count_or_addresses)]
Places = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_with_ports)]
"""Several hosts, each as `host` or `host:port`; likewise."""
Place = Annotated[str, AfterValidator(_with_ports)]
"""A host, with or without a port; or several, separated by commas."""
File = Annotated[Path, AfterValidator(setting_files.located)]
"""A file or folder; absolute, so that it is found from any folder."""
FileName = Annotated[str, AfterValidator(setting_files.located)]
Authorities = Annotated[str, AfterValidator(partial(setting_files.parameter, "sslrootcert"))]
"""The authorities that libpq trusts: a file, or `system`."""
Key = Annotated[str, AfterValidator(partial(setting_files.parameter, "sslkey"))]
Url = Annotated[SecretStr, AfterValidator(_located_url)]
"""A URL, which may hold a password, and name files."""
WebAddress = Annotated[SecretStr, AfterValidator(_web_address)]
"""The URL of a page or gateway; never shown, as it may hold a password."""


def toml(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, SecretStr):
        return toml(value.get_secret_value())
    if isinstance(value, Path):
        return toml(str(value.absolute()))
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{bare(name)} = {toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def bare(name: str) -> str:
    """A key, in quotes where it needs them."""
    plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain else toml(name)
