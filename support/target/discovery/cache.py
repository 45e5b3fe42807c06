"""The Redis that the settings name: whether it answers, and in which mode it is run.

A Redis that was not named may be somebody else's: it is not touched.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import redis
from pydantic import SecretStr
from redis.sentinel import MasterNotFoundError

from support.errors import NotAvailable, RequirementMissing, UsageError
from support.settings import Settings
from support.target.discovery.addresses import parsed
from support.target.redis import (
    ERRORS,
    FORBIDDEN,
    client_of,
    facts_of,
    infos_of,
    kept_by,
    primaries_of,
    primary_of,
    replicas_of,
    require_answer,
    role_of,
    sentinel_of,
    unreachable,
)
from support.target.topology import Address, Login, RedisAddress, RedisTls
from support.waiting import describe

NAMING = frozenset({"redis_url", "redis_host", "redis_port", "redis_password", "redis_sentinels"})
PORT, SENTINEL_PORT = 6379, 26379
_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}

# What a failed attempt says -> what the user should check. The first match counts.
_ADVICE = {
    "certificate_required": "it requires a client certificate: set REDIS_CERTFILE and REDIS_KEYFILE",
    "certificate required": "it requires a client certificate: set REDIS_CERTFILE and REDIS_KEYFILE",
    "unsupported certificate": "it rejects the client certificate: check REDIS_CERTFILE and REDIS_KEYFILE",
    "bad certificate": "it rejects the client certificate: check REDIS_CERTFILE and REDIS_KEYFILE",
    "unknown ca": "it rejects the client certificate: check REDIS_CERTFILE and REDIS_KEYFILE",
    "hostname mismatch": "its certificate is for another name: check REDIS_HOST",
    "not valid for": "its certificate is for another name: check REDIS_HOST",
    "certificate_verify_failed": "its certificate was rejected: check REDIS_CAFILE",
    "no such file": "check REDIS_CAFILE, REDIS_CERTFILE and REDIS_KEYFILE",
    "wrong_version_number": "it does not speak TLS: leave REDIS_TLS out, or check REDIS_PORT",
    "wrong version number": "it does not speak TLS: leave REDIS_TLS out, or check REDIS_PORT",
    "db index is out of range": "check REDIS_DB",
    "cluster mode is not enabled": "it is not a Redis Cluster: leave REDIS_CLUSTER out",
    "no permissions": "that user may not use it: check REDIS_USER and its ACL",
    "cannot be connected": "the nodes of a Redis Cluster must be reached at the addresses that they announce",
}


def find(settings: Settings, host: str) -> RedisAddress | None:
    """The Redis that was named; None if none was. `host` is the database's.

    Raises RequirementMissing if it does not answer, UsageError if the settings contradict one another.
    """
    if not settings.model_fields_set & NAMING or ambient_and_unusable(settings):
        return None
    server = _named(settings, host)
    called = ",".join(map(str, server.addresses))
    if server.mode == "sentinel":
        _require_master(server, called)
    try:
        with client_of(server) as client:
            require_answer(client)
            _require_use(client, server, called)
            mode = _mode(client)
        if mode == "sentinel":
            raise UsageError(
                f"at {called} is a Sentinel, not a cache: name it in REDIS_SENTINELS, and its master in REDIS_SERVICE"
            )
        if mode == "cluster" and server.mode == "standalone":
            server = replace(server, mode="cluster")
            with client_of(server) as client:
                require_answer(client)
    except redis.AuthenticationError as error:
        raise _missing(
            "REDIS_HOST", f"Redis at {called} refuses the login ({error}): check REDIS_USER and REDIS_PASSWORD"
        ) from None
    except ERRORS as error:
        why = describe(error)
        at = f"the master of {called}" if server.mode == "sentinel" else called
        raise _missing(
            "REDIS_HOST",
            f"no Redis answers at {at} ({why}): {_advice(why.lower(), server)}{_unverified(settings, why)}",
        ) from None
    return server


def why_none(settings: Settings) -> str:
    """Why `find` finds no Redis."""
    if unusable := ambient_and_unusable(settings):
        return f"no Redis was named (REDIS_HOST): {unusable}"
    return "no Redis was named (REDIS_HOST)"


def ambient_and_unusable(settings: Settings) -> str:
    """Why REDIS_URL cannot be used, if it comes from the environment and no other setting names a Redis; else empty.

    Many programs use a variable of that name, some with their own kinds of URL.
    """
    others = settings.model_fields_set & (NAMING - {"redis_url"})
    return _unusable(settings) if settings.redis_url_is_ambient and not others else ""


PERMISSIONS = ("cache_state", "cache_keys", "cache_settings", "small_cache", "volatile_cache")
"""The capabilities that depend on what the user may do in Redis, and on its settings."""


def lacking(server: RedisAddress, own_repository: bool) -> dict[str, str]:
    """What the login may not do, or the server cannot do: capability -> why.

    Everything is tried in a way that changes nothing.
    """
    key, user = f"accept-{token_hex(8)}", server.user or "default"
    with client_of(server) as client:
        state = _forbidden(user, "INFO", lambda: client.info("server"))
        large = state or _too_large(client)
        kept = "" if state else _kept(client)
        keys = next(filter(None, (_forbidden(user, *one) for one in _key_commands(client, key, own_repository))), "")
    found = {"cache_state": state, "small_cache": large, "volatile_cache": kept, "cache_keys": keys}
    found["cache_settings"] = _refused_settings(server, user)
    return {name: why for name, why in {**found, "redis_failover": _no_failover(server, user)}.items() if why}


def _too_large(client: redis.Redis) -> str:
    try:
        return unreachable(facts_of(client))
    except NotAvailable as error:
        return describe(error)
    except AssertionError:  # no answer: scenarios will notice that
        return ""


def _kept(client: redis.Redis) -> str:
    """Why a restart does not empty Redis; empty if it does, or if that is not known: the scenario will see that."""
    try:
        return next(filter(None, map(kept_by, infos_of(client))), "")
    except ERRORS:
        return ""


def _require_use(client: redis.Redis, server: RedisAddress, called: str) -> None:
    """Raises RequirementMissing where the user may run nothing of what every client of a cache runs."""
    key, user = f"accept-{token_hex(8)}", server.user or "default"
    usual: dict[str, Callable[[], object]] = {
        "PING": client.ping,
        "GET": lambda: client.get(key),
        "SET": lambda: client.set(key, "", ex=1, xx=True),
    }
    refused = [_forbidden(user, name, attempt) for name, attempt in usual.items()]
    if all(why.startswith(f"{user} may not run") for why in refused):
        raise _missing(
            "REDIS_HOST", f"at {called}, {refused[0]}: that user may not use it: check REDIS_USER and its ACL"
        )


def _key_commands(client: redis.Redis, key: str, own_repository: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """The commands that the suite, or its own cache, needs for its keys; tried with a key that nobody has."""
    yield "SET", lambda: client.set(key, "", ex=1, xx=True)  # only if it exists
    yield "GET", lambda: client.get(key)
    yield "DEL", lambda: client.delete(key)
    yield "UNLINK", lambda: client.unlink(key)
    yield "PTTL", lambda: client.pttl(key)
    yield "SCAN", lambda: client.scan(count=1)
    if own_repository:
        yield "EVALSHA and SCRIPT|LOAD", lambda: client.register_script("return redis.call('GET', KEYS[1])")([key])


def _forbidden(user: str, commands: str, attempt: Callable[[], object]) -> str:
    """Why the user may not do that; empty if it may, or if something else went wrong, which scenarios will notice."""
    try:
        attempt()
    except FORBIDDEN as error:
        what, rules = f"run {commands}", " ".join(f"+{one.lower()}" for one in commands.split(" and "))
        if "access a key" in str(error) or "access one of the keys" in str(error):
            what, rules = "use keys of the suite", "~accept-*"
        return f"{user} may not {what} in Redis: ACL SETUSER {user} {rules}, or give another REDIS_USER"
    except ERRORS:
        pass
    return ""


def _refused_settings(server: RedisAddress, user: str) -> str:
    """Why its settings cannot be changed; empty if they can. Tries to set one that does not exist."""
    try:
        with client_of(primary_of(server)) as client:
            if why := _forbidden(user, "CONFIG|GET", lambda: client.config_get("maxmemory")):
                return why
            if why := _forbidden(user, "CONFIG|SET", lambda: client.config_set(_NOBODYS, "1")):
                return why
            client.config_get("maxmemory")
    except ERRORS as error:
        return f"Redis does not let its settings be changed: {describe(error)}"
    return ""


_NOBODYS = "accept-nobody-has-this"


def _no_failover(server: RedisAddress, user: str) -> str:
    """Why Redis cannot be told to fail over; empty if it can.

    Tries the command with a name that does not exist, so that nothing fails over even if the user may send it.
    """
    if server.mode == "standalone":
        return (
            "nothing makes a replica of Redis take over; if Sentinel does, set REDIS_SENTINELS and REDIS_SERVICE, and "
            "if it is a Redis Cluster, REDIS_CLUSTER"
        )
    try:
        if len(replicas_of(server)) < len(primaries_of(server)):
            return "not every primary of Redis has a replica that could take over"
        with client_of(primary_of(server)) as primary:
            role_of(primary)
        if server.mode == "sentinel":
            user = (server.sentinel_login.user if server.sentinel_login else "") or "default"
            told: redis.Redis = sentinel_of(server).sentinels[0]
        else:
            told = client_of(primary_of(server))
        kind = "SENTINEL" if server.mode == "sentinel" else "CLUSTER"
        with told:
            return _forbidden(user, f"{kind}|FAILOVER", lambda: told.execute_command(kind, "FAILOVER", _NOBODYS))
    except FORBIDDEN as error:
        return f"whether Redis has a replica that could take over may not be asked ({error}): ACL SETUSER {user} +role"
    except ERRORS as error:
        return f"whether Redis has a replica that could take over is not known: {describe(error)}"


def _advice(said: str, server: RedisAddress) -> str:
    """What the user should check. A server that refuses a handshake may just close the connection."""
    hung_up = any(sign in said for sign in ("eof occurred", "connection closed", "connection reset", "broken pipe"))
    if hung_up and server.tls is None:
        return "if it requires TLS, set REDIS_TLS, or use a rediss:// URL"
    if hung_up and server.tls and server.tls.certificate:
        return "it may have rejected the client certificate: check REDIS_CERTFILE and REDIS_KEYFILE"
    if server.tls and "timeout" in said:  # it may wait for the end of what it takes for a command
        return "if it does not speak TLS, leave REDIS_TLS out; or check REDIS_HOST and REDIS_PORT"
    if hung_up:
        return "if it requires a client certificate, set REDIS_CERTFILE and REDIS_KEYFILE"
    asked = re.search(r"not valid for '([^']+)'", said)
    if server.mode == "cluster" and asked and asked[1] not in {one.host.lower() for one in server.addresses}:
        return (
            f"its nodes announce addresses that their certificates are not for ({asked[1]}): set "
            "cluster-announce-hostname, and cluster-preferred-endpoint-type to hostname, or add the addresses to the "
            "certificates"
        )
    return next((advice for sign, advice in _ADVICE.items() if sign in said), "check REDIS_HOST and REDIS_PORT")


def _unverified(settings: Settings, why: str) -> str:
    """A hint that the application may not mind a certificate that the suite rejects."""
    lax = settings.redis_url is not None and _parts(settings).get("ssl_cert_reqs", "required") != "required"
    return "; the suite verifies it, ignoring ssl_cert_reqs in REDIS_URL" if lax and "verify" in why.lower() else ""


def _mode(client: redis.Redis) -> str:
    """The mode of the server; empty where it may not be asked."""
    try:
        info: Mapping[str, Any] = client.info("server")
        return str(info.get("server_mode", info.get("redis_mode", "")))
    except ERRORS:
        return ""


def _named(settings: Settings, host: str) -> RedisAddress:
    """The Redis as the settings say it."""
    url = _parts(settings)
    user, password = settings.redis_user or url.get("username"), _secret(settings.redis_password) or url.get("password")
    files = (
        settings.redis_cafile or url.get("ssl_ca_certs"),
        settings.redis_certfile or url.get("ssl_certfile"),
        settings.redis_keyfile or url.get("ssl_keyfile"),
    )
    own_files = [name for name in ("redis_cafile", "redis_certfile", "redis_keyfile") if getattr(settings, name)]
    if settings.redis_tls is False and own_files:
        raise UsageError(f"REDIS_TLS=false says that Redis is reached without TLS: leave out {own_files[0].upper()}")
    encrypted = (url.get("tls", False) or any(files)) if settings.redis_tls is None else settings.redis_tls
    port = settings.redis_port if "redis_port" in settings.model_fields_set else url.get("port", settings.redis_port)
    hosts = (settings.redis_host or url.get("host") or host).split(",")
    common = RedisAddress(
        Address("", 0),
        password=password,
        user=user,
        database=settings.redis_db if settings.redis_db is not None else url.get("db", 0),
        tls=RedisTls(*files) if encrypted else None,
    )
    if settings.redis_sentinels:
        if not settings.redis_service:
            raise UsageError("REDIS_SENTINELS needs REDIS_SERVICE, the name by which the Sentinels know their master")
        first, *others = (parsed(one, SENTINEL_PORT) for one in settings.redis_sentinels)
        own = _secret(settings.redis_sentinel_password)
        login = Login(settings.redis_sentinel_user or "", own) if own else None
        return replace(
            common,
            address=first,
            further=tuple(others),
            mode="sentinel",
            service=settings.redis_service,
            sentinel_login=login,
        )
    first, *others = (parsed(one.strip(), port) for one in hosts if one.strip())
    if others and settings.redis_cluster is False:
        raise UsageError("REDIS_HOST names several hosts: they are the nodes of a Redis Cluster (REDIS_CLUSTER)")
    clustered = settings.redis_cluster or bool(others)
    if clustered and common.database:
        raise UsageError("a Redis Cluster has database 0 only: leave REDIS_DB out")
    return replace(common, address=first, further=tuple(others), mode="cluster" if clustered else "standalone")


def _parts(settings: Settings) -> dict[str, Any]:
    """The parts of REDIS_URL, as redis-py parses it."""
    if settings.redis_url is None:
        return {}
    if why := _unusable(settings):
        if settings.redis_url_is_ambient:  # another setting names the Redis; this URL is not about it
            return {}
        raise UsageError(why)
    scheme, rest = settings.redis_url.get_secret_value().split("://", 1)
    scheme = _SCHEMES[scheme.lower()]
    return dict(redis.connection.parse_url(f"{scheme}://{rest}")) | {"tls": scheme == "rediss"}


def _unusable(settings: Settings) -> str:
    """Why REDIS_URL cannot be used, and what to set instead; empty if it can. Never quotes it."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    if not url:
        return ""
    usual = "REDIS_URL should be like redis://user:password@host:6379/0, or rediss:// for TLS"
    scheme, _, rest = url.partition("://")
    if "sentinel" in scheme.lower():
        return f"{usual}; behind Sentinel, set REDIS_SENTINELS and REDIS_SERVICE"
    if scheme.lower() == "unix":
        return f"{usual}; a Unix socket cannot be used"
    try:
        if "," in urlsplit(url).netloc.rpartition("@")[2]:
            return f"{usual}; several hosts, nodes of a Redis Cluster, belong in REDIS_HOST"
        if urlsplit(url).port == 0:
            return usual
        redis.connection.parse_url(f"{_SCHEMES[scheme.lower()]}://{rest}")
    except (ValueError, KeyError):
        return usual
    return ""


def _require_master(server: RedisAddress, called: str) -> None:
    """Raises RequirementMissing unless the Sentinels know the master, and it is reached from here."""
    known, silent = set[str](), list[str]()
    for one in sentinel_of(server).sentinels:
        try:
            known |= {str(name) for name in one.sentinel_masters()}
        except redis.AuthenticationError as error:
            raise _missing(
                "REDIS_SENTINELS",
                f"a Sentinel at {called} refuses the login ({error}): check REDIS_SENTINEL_PASSWORD",
            ) from None
        except FORBIDDEN as error:
            raise _missing(
                "REDIS_SENTINELS",
                f"a Sentinel at {called} does not list its masters ({error}): check the ACL of REDIS_SENTINEL_USER",
            ) from None
        except ERRORS as error:
            silent.append(describe(error))
        except TypeError:  # what a server that is none answers cannot be read
            silent.append("it is not a Sentinel")
    if server.service not in known:
        why = f"they know {', '.join(sorted(known)) or 'none'}" if known or not silent else "; ".join(silent)
        advice = "check REDIS_SERVICE" if known or not silent else "check REDIS_SENTINELS"
        raise _missing(
            "REDIS_SENTINELS", f"the Sentinels at {called} know no master {server.service} ({why}): {advice}"
        )
    try:
        primary_of(server)
    except MasterNotFoundError as error:
        raise _missing("REDIS_SENTINELS", f"the master {server.service} of {called} is down ({error})") from None


def _missing(setting: str, why: str) -> RequirementMissing:
    return RequirementMissing(f"{setting} declares something that does not exist: {why}")


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None
