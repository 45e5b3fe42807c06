"""The text of the target file: every setting that was found; the others as comments, with the reason."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from support import libpq
from support.setting_values import bare, toml
from support.settings import Settings
from support.target.discovery.host_capabilities import MARK
from support.target.survey.hosts import ADDRESS, NAME
from support.target.survey.survey import DECLARED, Survey, page_host
from support.target.timing import Span
from support.target.topology import MemberAddress

WIDTH = 118
_DATABASE = "host port db user password sslmode sslrootcert sslcert sslkey options"
_OPTIONS = "ruvector_options"
_SECRET_OPTIONS = frozenset({"password", libpq.KEY_PASSWORD})
"""Parameters of libpq that are passwords."""
_ANY_STANDBY = "target_session_attrs=standby&load_balance_hosts=random"
SECRETS = frozenset(name for name, one in Settings.model_fields.items() if "SecretStr" in str(one.annotation))


_DATABASE_PART = "The database, as the application reaches it"
_BEGINNINGS = {
    _DATABASE_PART: ("ruvector_",),
    "HAProxy": ("haproxy_",),
    "Patroni": ("patroni_", "enable_patroni"),
    "etcd": ("etcd_",),
    "Redis": ("redis_",),
    "Citus": ("citus_", "enable_citus"),
}
"""Part of the file -> the beginnings of the settings that belong there."""


@dataclass(frozen=True)
class Line:
    """A setting; a comment where it has no key; or the head of a table."""

    key: str = ""
    value: Any = None
    comment: str = ""
    used: bool = True
    """Otherwise it is there as a comment."""
    table: str = ""
    """The table that begins here, instead of all that."""

    @property
    def text(self) -> str:
        if self.table:
            return f"{'' if self.used else '# '}[{self.table}]"
        if not self.key:
            return textwrap.fill(
                self.comment, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False
            )
        setting = f"{'' if self.used else '# '}{self.key} = {toml(self.value)}"
        if not self.comment:
            return setting
        if len(one_line := f"{setting}  # {self.comment}") <= WIDTH:
            return one_line
        return f"{Line(comment=self.comment).text}\n{setting}"


def text(found: Survey, limits: Mapping[Span, Sequence[str]], day: str, secrets: bool) -> str:
    """The file. `limits` are the names of those that are longer here than stated, by what needs longer.

    Without `secrets`, passwords are left out: they have to come from the environment then.
    """
    parts = [
        ("", _head(found, day)),
        (_DATABASE_PART, _database(found, secrets)),
        ("HAProxy", _proxy(found, secrets)),
        ("Patroni", _patroni(found, secrets)),
        ("etcd", _etcd(found)),
        ("Redis", _redis(found, secrets)),
        ("Citus", _citus(found)),
        ("A superuser, for promises that the application's role cannot check", _administrator(found, secrets)),
        ("What was declared beside that", _declared(found, secrets)),
        ("Permission to disturb this cluster: the name of its database", _permission(found)),
        ("Where members are reached from here, if not at their own addresses", _members(found)),
        (
            "How the cluster is meant to work, if not as it is configured (docs/expectations.md)",
            _expected(found),
        ),
        ("How long it may take", _limits(found, limits)),
        ("How the suite gets access to the hosts, to break them (docs/your-cluster.md)", _hosts(found)),
    ]
    written = []
    for title, few in parts:
        lines = list(few)
        lines += _further(found, lines, _BEGINNINGS.get(title, ()), secrets)
        if body := "\n".join(line.text for line in lines):
            written.append(f"# --- {title}\n{body}" if title else body)
    return "\n\n".join(written) + "\n"


def _head(found: Survey, day: str) -> Iterator[Line]:
    scope = f"the cluster {found.topology.scope}" if found.topology.scope else "a cluster"
    yield Line(comment=f"The target file of {scope}, written by `accept init` on {day}.")
    yield Line(
        comment="./accept doctor --target THIS_FILE says what can be tested with it. Settings: docs/your-cluster.md"
    )


def _settings(found: Survey, names: Sequence[str], secrets: bool, comments: Mapping[str, str]) -> Iterator[Line]:
    """The lines of these settings, as far as they were found."""
    for name in names:
        if name not in found.settings:
            continue
        value = found.settings[name]
        if name in SECRETS and not secrets:
            yield Line(comment=f"{name} is left out here: set {name.upper()} in the environment.")
        elif name == _OPTIONS and not secrets and value.keys() & _SECRET_OPTIONS:
            few = {option: one for option, one in value.items() if option not in _SECRET_OPTIONS}
            yield Line(name, few, f"add {' and '.join(sorted(value.keys() & _SECRET_OPTIONS))}, left out here")
        else:
            yield Line(name, value, comments.get(name, ""))


def _further(found: Survey, lines: Iterable[Line], beginnings: tuple[str, ...], secrets: bool) -> Iterator[Line]:
    """What the user said beyond that: the part is not reached without it."""
    there = {word for line in lines for word in (line.key if line.used else "", line.comment.partition(" is left")[0])}
    names = [name for name in found.settings if beginnings and name.startswith(beginnings) and name not in there]
    yield from _settings(found, names, secrets, {})


def _database(found: Survey, secrets: bool) -> Iterator[Line]:
    write = found.endpoints.write
    names = [f"ruvector_{name}" for name in _DATABASE.split()]
    comments = {
        "ruvector_port": f"leads to {_leads_to(found)}",
        "ruvector_password": "or leave it out, and set RUVECTOR_PASSWORD",
    }
    yield from _settings(found, names, secrets, comments)
    if "ruvector_password" not in found.settings:
        elsewhere = "libpq had it from PGPASSWORD, a service or ~/.pgpass; without these, set RUVECTOR_PASSWORD"
        asked = elsewhere if write.asks_password else "the server asked for none"
        yield Line("ruvector_password", "...", asked, used=False)
    if "ruvector_sslmode" not in found.settings:
        offered = "the session was encrypted; this refuses any that is not" if write.tls else "the server offers no TLS"
        yield Line("ruvector_sslmode", "require", offered, used=False)
    known = {at for one in found.topology.members for at in (one.postgres, found.patronis.own.get(one.name))}
    for other in found.others:
        if other.address not in known:
            foreign = not other.of_workers and bool(other.systems and write.systems) and other.systems != write.systems
            of_another = " of another database system" if foreign else ""
            yield Line(comment=f"{other.address} accepts the login as well, and leads to {other.leads_to}{of_another}.")
    lacks = found.topology.lacks
    yield Line(comment=f"Vectors: {lacks['vector']}" if "vector" in lacks else f"Vectors: {_extension(found)}")
    if "application_schema" in lacks:
        yield Line(comment=f"Tables: {lacks['application_schema']}")
    else:
        yield Line(comment=f"Tables: schema profile {found.topology.profile.name}, recognised by its tables")


def _extension(found: Survey) -> str:
    return found.topology.lacks.get("ruvector", "the extension is ruvector")


def _leads_to(found: Survey) -> str:
    """The member, or what is known of it, behind the write endpoint."""
    leader = next((one.name for one in found.patronis.answers if one.leads and one.name), "")
    return f"{found.endpoints.write.leads_to}{f', {leader}' if leader else ''}"


def _proxy(found: Survey, secrets: bool) -> Iterator[Line]:
    read, page = found.endpoints.read, found.topology.statistics
    comments = {
        "haproxy_primary_port": f"leads to {_leads_to(found)}",
        "haproxy_replica_port": f"leads to {read.leads_to}" if read else "",
    }
    endpoints = ("haproxy_primary_port", "haproxy_replica_host", "haproxy_replica_port")
    yield from _settings(found, endpoints, secrets, comments)
    if read is None and "ruvector_read_url" not in found.settings:
        yield from _no_read_endpoint(found)
    if found.endpoints.guessed and read is not None:
        yield Line(comment=f"Guessed from the port numbers. {found.endpoints.guessed}.")
    if page is None:
        yield Line("haproxy_stats_url", "http://...:7000", found.statistics.why, used=False)
        return
    writes, reads = ", ".join(page.write_backends) or "unknown", ", ".join(page.read_backends) or "unknown"
    backends = f"backend for writes: {writes}, for reads: {reads}"
    names = ("haproxy_stats_url", "haproxy_stats_user", "haproxy_stats_password", "haproxy_balance")
    yield from _settings(found, names, secrets, {"haproxy_stats_url": backends})
    if found.statistics.why:
        yield Line(comment=found.statistics.why)
    if "pools" in found.topology.lacks:
        yield Line(comment=found.topology.lacks["pools"])


def _no_read_endpoint(found: Survey) -> Iterator[Line]:
    """What may be named in its place: HAProxy's ports, or the members, among which libpq finds a standby."""
    needed = "Without a read endpoint, scenarios about routing and nearly all about failover are skipped."
    yield Line(comment=f"No port was found that leads to standbys only. {needed}")
    if len(found.topology.write_hosts) == 1:
        yield Line(comment="If HAProxy has a port for reads:")
        if "haproxy_primary_port" not in found.settings:
            yield Line("haproxy_primary_port", 5000, used=False)
        yield Line("haproxy_replica_port", 5001, used=False)
    reached = [one.postgres for one in found.topology.members if one.group == 0 and not one.unreached]
    places = [at for at in reached or found.topology.write_hosts if not libpq.is_socket(at.host)]
    if len(places) > 1:
        url = f"postgresql://{','.join(map(str, places))}/{quote(found.topology.database, safe='')}"
        yield Line(comment="If reads may go to the standbys themselves, libpq can choose among these:")
        yield Line("ruvector_read_url", f"{url}?{_ANY_STANDBY}", used=False)


def _patroni(found: Survey, secrets: bool) -> Iterator[Line]:
    if not found.patronis.answers:
        yield Line("patroni_hosts", ["...:8008"], found.patronis.why, used=False)
        return
    names = ", ".join(one.name or str(one.address) for one in found.patronis.answers)
    yield from _settings(found, ("patroni_hosts",), secrets, {"patroni_hosts": names})
    yield from _settings(found, ("patroni_restapi_username", "patroni_restapi_password"), secrets, {})
    for member in found.topology.absent:
        yield Line(comment=f"{member.name} does not answer now; the scenarios will say so.")
    lacks = found.topology.lacks
    if "patroni" in lacks:
        yield Line(comment=lacks["patroni"])
    refused = "" if "patroni" in lacks else lacks.get("patroni_commands", "")
    if "patroni_restapi_username" not in found.settings:
        comment = refused or "if the REST API asks for a login"
        yield Line("patroni_restapi_username", "...", comment, used=False)
    elif refused:
        yield Line(comment=refused)


def _etcd(found: Survey) -> Iterator[Line]:
    if "accept_dcs" in found.settings:
        yield Line(comment=f"{found.etcd.why}.")
        return
    if not found.etcd.addresses:
        yield Line("etcd_hosts", ["...:2379"], found.etcd.why, used=False)
        yield Line(comment="Another DCS, or an etcd with TLS or a login: [dcs] (docs/your-cluster.md)")
        return
    keys = (
        found.topology.lacks.get("dcs_keys") or f"Patroni's keys: {found.topology.dcs_namespace}/{found.topology.scope}"
    )
    yield Line("etcd_hosts", found.settings["etcd_hosts"], keys)


def _redis(found: Survey, secrets: bool) -> Iterator[Line]:
    if found.topology.redis is not None:
        yield from _settings(found, ("redis_host", "redis_port", "redis_password"), secrets, {})
        return
    near = f"something listens at {', '.join(map(str, found.redis_near))}; " if found.redis_near else ""
    host = found.redis_near[0].host if found.redis_near else "..."
    yield Line("redis_host", host, f"{near}the suite does not touch a Redis that is not named", used=False)


def _citus(found: Survey) -> Iterator[Line]:
    lacks, topology = found.topology.lacks, found.topology
    if "citus" in lacks:
        yield Line(comment=f"None: {lacks['citus']}")
        return
    groups = [f"group {group}: {', '.join(_of_group(topology.members, group))}" for group in topology.groups]
    yield Line(comment=f"Found in pg_dist_node: {'; '.join(groups)}")
    yield from _settings(found, ("enable_citus", "citus_workers"), True, {})
    if "nodes" in lacks:
        yield Line(comment=f"{lacks['nodes']}")


def _of_group(members: Iterable[MemberAddress], group: int) -> list[str]:
    return [one.name for one in members if one.group == group] or ["no member is known"]


def _administrator(found: Survey, secrets: bool) -> Iterator[Line]:
    if found.topology.administrator is None:
        yield Line("accept_admin_user", "postgres", used=False)
        yield Line("accept_admin_password", "...", used=False)
    else:
        yield from _settings(found, ("accept_admin_user", "accept_admin_password"), secrets, {})


def _declared(found: Survey, secrets: bool) -> Iterator[Line]:
    """The tables of a target file that the user said otherwise, each in one line, since further settings follow."""
    for name in sorted(DECLARED & found.settings.keys()):
        table = name.removeprefix("accept_")
        if name == "accept_dcs" and not secrets:
            yield Line(
                comment=f"{table} may have secrets, and is left out here: set {name.upper()} in the environment."
            )
        elif name == "accept_own_schema":
            yield Line(name, found.settings[name])
        else:
            yield Line(table, found.settings[name])


def _permission(found: Survey) -> Iterator[Line]:
    yield Line("accept_destructive", found.topology.database, "only for a cluster that may be broken", used=False)


def _members(found: Survey) -> Iterator[Line]:
    """A comment with the addresses at which they were found, or with what is missing."""
    if not found.topology.members:
        return
    unreached = [one for one in found.topology.members if one.unreached]
    for one in unreached:
        yield Line(comment=f"{one.name}: {one.unreached}")
    if not unreached and all(
        found.patronis.own.get(one.name, one.postgres) == one.postgres for one in found.topology.members
    ):
        yield Line(comment="Every member is reached at its own address.")
        return
    yield Line(table="members", used=False)
    for one in found.topology.members:
        rest = (
            f"/{one.rest}"
            if one.rest and one.rest.host != one.postgres.host
            else f"/{one.rest.port}"
            if one.rest
            else ""
        )
        yield Line(bare(one.name), f"{one.postgres}{rest}" if not one.unreached else "host:5432/8008", used=False)


def _expected(found: Survey) -> Iterator[Line]:
    if "accept_expect" not in found.settings:
        yield Line(table="expect", used=False)
    if found.topology.members:
        yield Line("members", [one.name for one in (*found.topology.members, *found.topology.absent)], used=False)
    if "patroni" not in found.topology.lacks:
        for name in ("synchronous", "failsafe"):
            yield Line(name, name not in found.topology.lacks, used=False)
        if found.topology.timing.proxy_told != "proxy" and found.endpoints.read is not None:
            assumed = "seconds until HAProxy notices a change: inter x (fall + 1)"
            yield Line("proxy_detection", found.topology.timing.proxy, assumed, used=False)
    for words in found.limits:
        yield Line(comment=f"Known limit: {words}")


def _limits(found: Survey, limits: Mapping[Span, Sequence[str]]) -> Iterator[Line]:
    timing = found.topology.timing
    if "patroni" in found.topology.lacks:
        yield Line(comment="Without Patroni's configuration, the limits are those that the scenarios state.")
    elif not limits:
        yield Line(comment="The cluster's timing needs no more time than the scenarios state.")
    else:
        yield Line(
            comment="The cluster's timing needs more time than some scenarios state. Unless set here, the limits are:"
        )
    for span, names in limits.items():
        yield Line(comment=f"{timing.total(span):g} s for {span} ({timing.sum(span)}): {', '.join(names)}")
    yield Line(comment="Your own limits override these, and those that the scenarios state:")
    yield Line(table="limits", used=False)
    own = timing.total(Span.FAILOVER) if Span.FAILOVER in limits else 30
    yield Line('"FO-01.leader"', int(own), "seconds until another member leads", used=False)


def _hosts(found: Survey) -> Iterator[Line]:
    if not found.hosts:
        yield Line(table="hosts", used=False)
        yield Line("pg1", "ssh://root@10.0.0.1", used=False)
        return
    mark = f"Each host that may be broken has to be marked: echo {found.topology.scope} | sudo tee {MARK}"
    yield Line(comment=mark)
    if not found.pattern:
        yield Line(
            comment=f"Other ways: docker://{NAME}, podman://{NAME}, local:, or a command with {{}} in it. To have"
        )
        yield Line(comment=f"these lines tried and filled in: ./accept init --hosts ssh://root@{ADDRESS}")
    if any(one.name == "haproxy" for one in found.hosts) and not page_host(found):
        yield Line(comment="If HAProxy's address is a virtual one (keepalived), give that of a machine instead.")
    yield Line(table="hosts", used=any(one.works for one in found.hosts))
    for one in found.hosts:
        yield Line(bare(one.name), one.reach, one.words, used=one.works)
