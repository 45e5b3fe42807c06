"""Settings; the only reader of our environment variables, accept.toml and behave's -D.

A setting has the same name everywhere: `RUVECTOR_HOST` in the environment, `ruvector_host` in accept.toml and with -D.
The command line overrides the environment, which overrides accept.toml. What none of them says of the login, PG*
variables and DATABASE_URL may say. A name that is not known is an error, and so is a setting of the target that is
given without a value.
"""

import importlib
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from support import libpq, own_folder, setting_files
from support.errors import UsageError
from support.expectations import Expectations
from support.places import WRITES_IN
from support.setting_values import (
    Addresses,
    Authorities,
    Dcs,
    File,
    FileName,
    Hosts,
    Key,
    Limits,
    Members,
    Names,
    Parameters,
    Place,
    Places,
    Port,
    Programs,
    Schema,
    Table,
    Url,
    Variables,
    WebAddress,
)
from support.vocabulary import OWN, is_slip, nearest, suggestion

TARGET_FIELDS = frozenset(
    "ruvector_url ruvector_read_url ruvector_options ruvector_host ruvector_port ruvector_db ruvector_user "
    "ruvector_password ruvector_sslmode redis_host redis_port redis_password "
    "redis_sentinels haproxy_primary_port haproxy_replica_port enable_patroni patroni_hosts patroni_port enable_citus "
    "citus_coordinator citus_workers".split()
)
"""If any of these is set, the user's cluster is tested, and none is booted."""


_TABLES = {name: f"accept_{name}" for name in ("members", "nodes", "schema", "expect", "hosts", "dcs", "programs")}
"""Table of a target file -> its setting. In the environment, only the setting's name is known."""

_OUR_PREFIXES = ("ACCEPT_", "RUVECTOR_")
"""Variables with these prefixes are ours: any other than a setting is an error."""
_SHARED_PREFIXES = ("REDIS_", "HAPROXY_", "PATRONI_", "ETCD_", "CITUS_", "ENABLE_")
"""Variables with these prefixes can belong to other programs: one is an error only if it is a misspelt setting."""
_COMMON_PREFIXES = ("REDIS_", "HAPROXY_", "ETCD_")
"""And of these, REDIS_URI and the like are usual: one is an error only if a target is, or was meant to be, named."""
_NO_SETTINGS = frozenset({"ACCEPT_TARGET", own_folder.VARIABLE, "ACCEPT_EULA"})
"""Variables with our prefixes that are no settings: of options, and one that other makers' images require."""
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
"""The beginning of what Kubernetes says of a Service in `<SERVICE>_PORT`, one of several variables in every pod."""
_OF_SERVICE = re.compile(r"(\w+?)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
_NEEDS_VALUE = (
    *_SHARED_PREFIXES,
    "RUVECTOR_",
    "ACCEPT_TARGET",
    "ACCEPT_MEMBERS",
    "ACCEPT_NODES",
    "ACCEPT_HOSTS",
    "ACCEPT_DCS",
)
"""Beginnings of the settings that say where the target is: given without a value, one is an error."""


_SECRET = ("PASSWORD", "PUSHGATEWAY", "_URL", "ACCEPT_DCS", "_LIBPQ", "_OPTIONS")
"""Ends of the names of settings whose values may be, or contain, a password: no message shows them."""
_QUOTED = re.compile(r"'([^']*)'")
_UNREADABLE = "accept.toml cannot be read: {}"
_LIMITS: TypeAdapter[Mapping[str, float]] = TypeAdapter(Limits)


class Settings(BaseSettings):
    """All settings; frozen. Times are in seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", toml_file="accept.toml", env_ignore_empty=True)

    # The target
    ruvector_url: Url | None = None
    """The write endpoint as libpq's URL; it stands for the settings below."""
    ruvector_read_url: Url | None = None
    """The read endpoint likewise, where HAProxy's ports do not say it."""
    ruvector_host: Place | None = None
    """A host, host:port, an IPv6 address, the folder of a Unix socket; or several of these, separated by commas."""
    ruvector_port: Port = 5432
    ruvector_db: str = "postgres"
    ruvector_user: str = "postgres"
    ruvector_password: SecretStr | None = None
    ruvector_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    ruvector_sslrootcert: Authorities | None = None
    ruvector_sslcert: FileName | None = None
    ruvector_sslkey: Key | None = None
    ruvector_options: Parameters = Field(default_factory=dict)
    """Further parameters of libpq, such as target_session_attrs."""
    redis_url: Url | None = None
    """redis:// or rediss:// (or valkey). It selects no target by itself, as many programs use this variable."""
    redis_host: Place | None = None
    """A host; or nodes of a Redis Cluster, separated by commas."""
    redis_port: Port = 6379
    redis_user: str | None = None
    redis_password: SecretStr | None = None
    redis_db: Annotated[int, Field(ge=0)] | None = None
    redis_tls: bool | None = None
    """Whether Redis is reached by TLS; by default, if the URL says so, or a certificate is given."""
    redis_cafile: FileName | None = None
    redis_certfile: FileName | None = None
    redis_keyfile: FileName | None = None
    redis_cluster: bool | None = None
    """Whether it is a Redis Cluster; by default, what the server says."""
    redis_sentinels: Places = ()
    redis_service: str | None = None
    """The name by which the Sentinels know the master."""
    redis_sentinel_user: str | None = None
    redis_sentinel_password: SecretStr | None = None
    haproxy_host: str | None = None
    """HAProxy's host, if not the database's."""
    haproxy_replica_host: str | None = None
    """The host of the read endpoint, if not HAProxy's."""
    haproxy_primary_port: Port | None = None
    haproxy_replica_port: Port | None = None
    haproxy_stats_url: str | None = None
    haproxy_stats_user: str | None = None
    haproxy_stats_password: SecretStr | None = None
    haproxy_stats_cacert: File | None = None
    """The authority that signed the certificate of a page that is served by https."""
    haproxy_write_backend: Names = ()
    """HAProxy's names of the backends behind the write endpoint, if they cannot be found by observation."""
    haproxy_read_backend: Names = ()
    haproxy_servers: Addresses = Field(default_factory=dict)
    """HAProxy's name of a server -> the member that it is, if that cannot be found out."""
    haproxy_balance: str | None = None
    """HAProxy's algorithm for reads (roundrobin, leastconn, source, ...), if its statistics do not show it."""
    enable_patroni: bool | None = None
    patroni_hosts: Places = ()
    patroni_port: Port = 8008
    patroni_restapi_username: str | None = None
    """The login with which Patroni's REST API accepts commands, if it asks for one; named as in Patroni."""
    patroni_restapi_password: SecretStr | None = None
    patroni_ctl_cacert: File | None = None
    """The authority that signed the certificates of Patroni's REST APIs; named as in patronictl, like the next two."""
    patroni_ctl_certfile: File | None = None
    patroni_ctl_keyfile: File | None = None
    etcd_hosts: Places = ()
    """etcd's client addresses, as host or host:port, if it needs neither TLS nor a login; else see [dcs]."""
    accept_dcs: Dcs = Field(default_factory=dict, repr=False)
    """[dcs]: the DCS as in Patroni's own configuration: the section of its kind, and `namespace`."""
    enable_citus: bool | None = None
    citus_coordinator: Place | None = None
    citus_workers: Places = ()
    accept_nodes: Addresses = Field(default_factory=dict)
    """[nodes]: Citus node (`host` or `host:port` in pg_dist_node) -> where it is reached from here."""
    accept_schema: Schema = Field(default_factory=dict)
    """[schema]: the application's tables, if they are of no known schema; see docs/schema.md."""
    accept_own_schema: bool = False
    """Work on tables of the suite's own; scenarios about the application's tables are skipped."""
    accept_expect: Table = Field(default_factory=dict)
    """[expect]: what the cluster is declared to be; see docs/expectations.md."""
    accept_hosts: Hosts = Field(default_factory=dict)
    """[hosts]: host -> how the suite reaches into it, to break it; see docs/your-cluster.md."""
    accept_admin_user: str | None = None
    """A superuser of the target, for promises that an ordinary role cannot check."""
    accept_admin_password: SecretStr | None = None

    # The embedded cluster
    accept_sandbox: Literal["auto", "namespaces", "loopback"] = "auto"
    accept_members: Members = 3
    """The number of members of an embedded cluster; or [members] of the user's: member -> where it is reached."""
    accept_workers: Annotated[int, Field(ge=0, le=20)] | None = None
    """The number of Citus worker groups; by default 2 where Citus is installed."""
    accept_worker_members: Annotated[int, Field(ge=1, le=9)] = 2
    accept_embedded_dcs: Literal["etcd3", "etcd", "zookeeper", "raft"] | None = None
    """Its DCS, named as in Patroni's configuration."""
    accept_etcd: Annotated[int, Field(ge=1, le=7)] = 3
    accept_pg_bindir: File | None = None
    accept_postgres: Annotated[int, Field(ge=16, le=99)] | None = None
    """The major version of its PostgreSQL, instead of the directory of its programs."""
    accept_programs: Programs = Field(default={})
    """[programs]: etcd, haproxy, redis, pgbouncer or patroni -> the program to run for it."""
    accept_vector: Literal["auto", "pgvector", "ruvector"] | None = None
    """The vector extension; auto is RuVector if it is there, else pgvector. By default as in the shape."""
    accept_like: str | None = None
    """The shape of another installation, see support/embedded/swarm_shapes.py; by default the suite's own."""
    accept_ports: Literal["usual", "free"] = "usual"
    """The ports of 127.0.0.1 on which a cluster of such a shape is published: its usual ones, or any."""

    # The run
    accept_cache_repository: str = "support.example_app.cache:open_repository"
    """The cache under test: "package.module:callable"; its interface is in support/example_app/cache/interface.py."""
    accept_pool: str = "support.example_app.pool:open_pool"
    """The connection pool under test, likewise; its interface is in support/example_app/pool.py."""
    accept_destructive: str | None = None
    """The name of the target's database, as the user's permission to run destructive scenarios against it."""
    accept_timeout_multiplier: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    """The factor for waits on a slow machine; does not apply to promised times."""
    limits: Limits = Field(default_factory=dict)
    """The id of a promise, or id and measure ("DQ-03.p95") -> the limit that replaces the scenario's, in its unit."""

    # Its metrics
    accept_metrics: File | None = None
    """A file for node_exporter's textfile collector, which reads *.prom."""
    accept_pushgateway: WebAddress | None = None
    accept_pipeline: Annotated[str, Field(min_length=1)] = "accept"
    """The pipeline of a run: its metrics replace those of the pipeline's previous run."""

    # Set by the program
    accept_run: Path | None = None
    """The run, for the behave that `accept run` starts."""
    accept_libpq: Variables = Field(default_factory=dict, repr=False)
    """The PG* variables that the program was started with."""
    accept_ambient: bool = True
    """Whether PG* variables and DATABASE_URL may name the target."""
    accept_named_by: str = ""
    """The variable that names the target, if none of our settings does."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls), _File(settings_cls), _Ambient(settings_cls)

    @classmethod
    def load(cls, said: Mapping[str, Any] | None = None) -> "Settings":
        """From all sources; `said` is from the command line or -D.

        Raises UsageError with a line for each setting that is not known, needs a value, or has a wrong one.
        """
        given = {name.lower(): value for name, value in (said or {}).items() if value is not None}
        file: Mapping[str, Any] = {}
        try:
            file = _File(cls).written
            if complaints := [*_misspelt(given, file, os.environ), *_empty(given, file, os.environ)]:
                raise UsageError("\n".join(complaints))
            settings = cls(**_with_url(_by_setting(given), "RUVECTOR_URL"))
            if settings.external and settings.ignored_variables:
                raise UsageError("\n".join(_not_a_setting(*one) for one in settings.ignored_variables.items()))
            Expectations.parse(settings.accept_expect)
            libpq.require_known(settings.ruvector_options, "RUVECTOR_OPTIONS")
            return settings
        except ValidationError as error:
            said_elsewhere = {*_by_setting(given), *map(str.lower, os.environ)}
            in_file = {_TABLES.get(one, one): one for one in file if _TABLES.get(one, one) not in said_elsewhere}
            raise UsageError("\n".join(_complaint(one, in_file) for one in error.errors())) from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(_UNREADABLE.format(error)) from None

    @classmethod
    def limits_in_file(cls) -> Mapping[str, float]:
        """The [limits] in accept.toml. Raises UsageError as `load` does."""
        try:
            return _LIMITS.validate_python(_File(cls).written.get("limits", {}))
        except ValidationError as error:
            wrong = ({**one, "loc": ("limits", *one["loc"])} for one in error.errors())
            raise UsageError("\n".join(_complaint(one, {"limits": "limits"}) for one in wrong)) from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(_UNREADABLE.format(error)) from None

    @property
    def embedded_members(self) -> int:
        """The number of members of an embedded cluster."""
        return self.accept_members if isinstance(self.accept_members, int) else 3

    @property
    def member_addresses(self) -> Mapping[str, str]:
        """[members]: member -> where it is reached from here, as written (see docs/your-cluster.md)."""
        return {} if isinstance(self.accept_members, int) else self.accept_members

    @property
    def expectations(self) -> Expectations:
        """[expect], already validated by `load`."""
        declared = {"redis_mode": "cluster"} if self.redis_cluster else {}
        return Expectations.parse({**declared, **self.accept_expect})

    @property
    def redis_url_is_ambient(self) -> bool:
        """Whether REDIS_URL comes only from the environment, where it may be meant for another program."""
        said = self.redis_url.get_secret_value() if self.redis_url else ""
        return bool(said) and setting_files.in_url(os.environ.get("REDIS_URL")) == said

    @property
    def ignored_variables(self) -> Mapping[str, Sequence[str]]:
        """Variables that are one typo away from a setting that names no target -> these settings."""
        return {variable: meant for variable, meant in _slips(os.environ).items() if _is_usual(variable, meant)}

    @property
    def external(self) -> bool:
        """Whether the target is a cluster of the user's."""
        named = self.model_fields_set.intersection(TARGET_FIELDS) or self.member_addresses or self.accept_named_by
        return bool(named)


def settings_file() -> Path:
    """The accept.toml that counts: that of the user's own folder if it has one. It need not exist."""
    own = own_folder.given()
    return own.settings if own and own.settings.exists() else WRITES_IN / own_folder.SETTINGS


class _File(TomlConfigSettingsSource):
    """accept.toml, with its tables under the names of their settings."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        file = settings_file()
        self._folder = file.parent.absolute()
        super().__init__(settings_cls, file)

    @property
    def written(self) -> dict[str, Any]:
        """What the file holds, as it is written, but for the paths of files, which begin in its folder."""
        return setting_files.beside(super().__call__(), self._folder)

    def __call__(self) -> dict[str, Any]:
        return _with_url(_by_setting(self.written), "ruvector_url in accept.toml")


class _Environment(EnvSettingsSource):
    """The environment; a URL there stands for settings of the same rank.

    Kubernetes' REDIS_PORT=tcp://10.96.0.10:6379 tells of a Service that is called redis, and is no setting.
    """

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        links = [name for name, value in found.items() if name.endswith("_port") and _SERVICE_LINK.match(str(value))]
        return _with_url({name: value for name, value in found.items() if name not in links}, "RUVECTOR_URL")


class _Ambient(PydanticBaseSettingsSource):
    """What is not said to us in particular: the PG* variables, and DATABASE_URL where no setting names a database."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        said, url = self.current_state, os.environ.get(libpq.URL, "")
        if str(said.get("accept_ambient", True)).lower() in ("false", "0", "no"):
            return {}
        variables = libpq.given(os.environ)
        found: dict[str, Any] = {"accept_libpq": variables}
        named = TARGET_FIELDS & said.keys() or isinstance(said.get("accept_members"), Mapping)
        by = next((name for name in libpq.NAMING if name in variables), "")
        if libpq.is_url(url) and not said.keys() & {"ruvector_host", "citus_coordinator"}:
            found |= libpq.settings_of(url, libpq.URL)
            by = libpq.URL
        return found if named else found | {"accept_named_by": by}


def _with_url(said: dict[str, Any], called: str) -> dict[str, Any]:
    """The settings, with those that `ruvector_url` stands for. What is said beside the URL replaces its parts."""
    url = said.get("ruvector_url")
    if not isinstance(url, str) or not url.strip():
        return said
    return {**libpq.settings_of(url.strip(), called), **said}


def variable_of(name: str) -> str:
    """The environment variable of a setting, or of a table of a target file."""
    return _TABLES.get(name, name).upper()


def _by_setting(said: Mapping[str, Any]) -> dict[str, Any]:
    return {_TABLES.get(name, name): value for name, value in said.items()}


def _misspelt(said: Mapping[str, Any], file: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each name that is not a setting."""
    known = {*Settings.model_fields, *_TABLES}
    for where, names in (("on the command line or in the target file", said), ("in accept.toml", file)):
        for name in names:
            if name not in known and not name.startswith(OWN):
                table = isinstance(names[name], Mapping)
                shown = f"[{name}]" if table else name
                yield f"{shown} {where} is not a setting{_meant(name, known, brackets=table)}"
    for variable in _unknown(environment):
        if variable.upper().startswith(_OUR_PREFIXES):
            yield f"{variable} in the environment is not a setting{_meant(variable.upper(), _variables())}"
    yield from (
        _not_a_setting(variable, meant)
        for variable, meant in _slips(environment).items()
        if not _is_usual(variable, meant)
    )


def _variables() -> set[str]:
    return {name.upper() for name in Settings.model_fields} | _NO_SETTINGS


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    """The variables that are neither settings nor of a Service, in their order."""
    known = _variables()
    for variable in sorted(environment):
        if variable.upper() not in known and not _tells_of_a_service(variable.upper(), environment):
            yield variable


def _slips(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Variable with a prefix that is not ours alone -> the settings from which it is one typo away."""
    found = {
        variable: [one for one in sorted(_variables()) if is_slip(variable.upper(), one)]
        for variable in _unknown(environment)
        if variable.upper().startswith(_SHARED_PREFIXES)
    }
    return {variable: meant for variable, meant in found.items() if meant}


def _is_usual(variable: str, meant: Collection[str]) -> bool:
    """Whether it is taken to be another program's as long as no target is named.

    If it was meant to name one, an embedded cluster would be tested in place of that target.
    """
    return variable.upper().startswith(_COMMON_PREFIXES) and not TARGET_FIELDS & {one.lower() for one in meant}


def _not_a_setting(variable: str, meant: Collection[str]) -> str:
    return f"{variable} in the environment is not a setting{suggestion(variable.upper(), meant)}"


def _tells_of_a_service(variable: str, environment: Mapping[str, str]) -> bool:
    """Whether Kubernetes has set it, for a Service whose name begins like our settings."""
    found = _OF_SERVICE.fullmatch(variable)
    return found is not None and bool(_SERVICE_LINK.match(environment.get(f"{found[1]}_PORT", "")))


def _meant(name: str, known: Collection[str], brackets: bool = False) -> str:
    table = brackets and nearest(name, known) in {*_TABLES, "limits", "haproxy_servers"}
    return suggestion(name, known, "[{}]" if table else "{}", "; docs/your-cluster.md lists the settings")


def _empty(said: Mapping[str, Any], file: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each setting of the target that is given without a value, such as a secret that a pipeline lacks."""
    for where, given in (("", said), (" in accept.toml", file), (" in the environment", environment)):
        for name, value in given.items():
            variable = variable_of(name)
            is_ours = variable.lower() in Settings.model_fields or variable == "ACCEPT_TARGET"
            is_empty = _says_nothing(value, is_secret=variable.endswith(_SECRET))
            if is_ours and is_empty and variable.startswith(_NEEDS_VALUE):
                yield f"{name}{where} is empty: give it a value, or leave it out"


def _says_nothing(value: Any, is_secret: bool) -> bool:
    """Whether a setting has no value: none at all, or nothing but the commas between several."""
    if isinstance(value, str):
        return not value.strip() if is_secret else not value.replace(",", " ").strip()
    return isinstance(value, list | tuple) and not any(one.strip() if isinstance(one, str) else True for one in value)


def _complaint(error: Mapping[str, Any], in_file: Mapping[str, str]) -> str:
    """What is wrong with a setting. `in_file`: the settings that accept.toml says, and their names there."""
    name, *within = map(str, error["loc"])
    shown = f'[{name}] "{within[0]}"' if within and name == "limits" else in_file.get(name, name.upper())
    where = " in accept.toml" if name in in_file else ""
    is_secret = name.upper().endswith(_SECRET)
    given = "" if is_secret else f" is {error['input']!r}:"
    known = _QUOTED.findall(error.get("ctx", {}).get("expected", "")) if error["type"] == "literal_error" else ()
    meant = "" if is_secret else suggestion(str(error["input"]), known)
    return f"{shown}{where}{given} {error['msg'][0].lower()}{error['msg'][1:]}{meant}"


def named_callable(setting: str, name: str) -> Callable[..., Any]:
    """The callable that a setting names as "package.module:callable". Raises UsageError, which says what is wrong."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UsageError(f'{setting} is {name!r}: it must be "package.module:callable"')
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module of the user's may raise anything
        kind = "" if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: "
        raise UsageError(f"{setting} is {name!r}: {kind}{error}") from error
    if not callable(found):
        raise UsageError(f"{setting} is {name!r}: that is a {type(found).__name__}, not a callable")
    given: Callable[..., Any] = found
    return given
