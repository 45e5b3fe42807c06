"""The DCS of the user's cluster: what the settings say about it, and whether Patroni's keys are there.

If only etcd's addresses were given (ETCD_HOSTS), what is missing is a missing capability. What [dcs] declares has to
exist."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.errors import RequirementMissing, UsageError
from support.settings import Settings
from support.target import dcs, etcd
from support.target.dcs import GroupState, Unreadable
from support.target.discovery import addresses
from support.target.discovery.addresses import Reach
from support.target.members import NO_ANSWER
from support.target.topology import Address, Topology
from support.vocabulary import suggestion
from support.waiting import NotYet

_NOT_PERMITTED = r"permission denied|403|NoAuth"
_NAMESPACE_ASSUMED = (
    "this login may not read all keys of etcd, so that Patroni's were expected in /service, and it may not read those: "
    "give the namespace of Patroni's own configuration ([dcs] namespace)"
)
# What Patroni's clients say -> what the user should check. The first match counts.
_ADVICE = {
    r"certificate.verify.failed|hostname.*(mismatch|match)|not valid for": "its certificate was rejected: check "
    "cacert, the certificate of the authority that signed it, and that hosts has a name that is in it",
    r"certificate required|bad certificate|alert|handshake": "it does not accept this client's certificate: check cert "
    "and key",
    r"wrong.version.number|HTTP request to an HTTPS|record layer|BadStatusLine|disconnected|EOF|reset by peer": "check "
    "protocol, http or https, and cert and key, if it asks clients for a certificate",
    r"authentication failed|invalid user|AuthFailed|unauthorized|401|InsufficientCredentials": "it refuses the login: "
    "check username and password",
    r"user name is empty|password not set": "it requires a login: set username and password",
    _NOT_PERMITTED: "this login is not permitted to read Patroni's keys: use the one in Patroni's own configuration",
    r"Name or service|resolve|getaddrinfo|nodename": "that name cannot be resolved here: check hosts",
    r"refused|timed? ?out|nothing within|No route|unreachable|Connection": "nothing answers there: check hosts",
}
_CAUSES = (
    r"CERTIFICATE_VERIFY_FAILED[^')\"]*",
    r"EOF occurred in violation of protocol|WRONG_VERSION_NUMBER|(?<=SSL: )\w+|Remote end closed connection[\w ]*",
    r"\[Errno -?\d+\] [\w ]+",
    r"error: '[^']+'",
    r"no answer \([^;]*\)",
)
"""Where in such a message its cause is; the first that is found counts."""
KEYS = (*dcs.KINDS, "namespace", "scope")
"""What [dcs] can have."""
_FILES = ("cacert", "cert", "key")
_RECORDS = ("srv", "discovery_srv", "srv_domain")
"""Names that Patroni has for one option."""
_NO_GATEWAY = "it answers 404"
"""What etcd before 3.4 says, whose gateway has another path; Patroni's client knows that."""
_NO_ADDRESSES = "no DCS was named ([dcs] or ETCD_HOSTS)"


@dataclass(frozen=True)
class Declared:
    """What the settings say about the DCS."""

    etcd: tuple[Address, ...] = ()
    """etcd's client addresses, where it is etcd."""
    access: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The section in Patroni's configuration, by its name."""
    namespace: str | None = None
    scope: str = ""


def declared(settings: Settings) -> Declared:
    """What the settings say. Raises UsageError for what Patroni does not know, and for files that are not here."""
    given = dict(settings.accept_dcs)
    if not given:
        return Declared(tuple(addresses.parsed(one, 2379) for one in settings.etcd_hosts))
    if settings.etcd_hosts:
        raise UsageError(
            "[dcs] says which DCS it is: leave ETCD_HOSTS out, and give etcd's addresses in [dcs.etcd3] hosts"
        )
    namespace, scope = given.pop("namespace", None), str(given.pop("scope", ""))
    if unknown := [name for name in given if name not in dcs.KINDS]:
        otherwise = f"; it is one of {', '.join(dcs.KINDS)}, as in Patroni's own file"
        meant = suggestion(unknown[0], KEYS, otherwise=otherwise)
        raise UsageError(f"[dcs] {unknown[0]} is not a DCS that Patroni supports{meant}")
    if len(given) != 1 or not isinstance(next(iter(given.values())), Mapping):
        raise UsageError(
            "[dcs] needs the section of one DCS, as in Patroni's own configuration, such as [dcs.etcd3] with hosts"
        )
    ((name, section),) = given.items()
    for option in _FILES:
        if isinstance(file := section.get(option), str) and not Path(file).is_file():
            raise UsageError(f"[dcs.{name}] {option} = {file!r}: there is no such file on this machine; copy it here")
    found = tuple(_addresses(name, section)) if name in ("etcd3", "etcd") else ()
    return Declared(found, {name: dict(section)}, None if namespace is None else _normal(str(namespace)), scope)


def _normal(namespace: str) -> str:
    """As Patroni understands it: without slashes at the end, with one at the beginning."""
    return f"/{namespace.strip('/')}" if namespace.strip("/") else ""


def _addresses(name: str, section: Mapping[str, Any]) -> Iterator[Address]:
    """etcd's client addresses in a section of Patroni's configuration.

    Of several, those that Patroni asks. Sources: https://patroni.readthedocs.io/en/latest/yaml_configuration.html#etcd
    and patroni/dcs/etcd.py
    """
    proxy, hosts, url = section.get("proxy"), section.get("hosts"), section.get("url")
    port = section.get("port", 2379)
    if not str(port).isdigit() or not 1 <= int(port) <= 65535:
        raise UsageError(f"[dcs.{name}] port = {port!r} is no port number")
    if isinstance(hosts, str):
        hosts = hosts.split(",")
    if hosts and not isinstance(hosts, Sequence):
        raise UsageError(f'[dcs.{name}] hosts should be like ["10.0.0.1:2379", "10.0.0.2:2379"], and is {hosts!r}')
    if proxy or (url and not hosts):
        hosts = [urlsplit(str(proxy or url)).netloc.rpartition("@")[2]]
    if not hosts and section.get("host"):
        hosts = [section["host"]]
    if not hosts and not _record(section):
        raise UsageError(f"[dcs.{name}] does not say where etcd is: give its addresses as hosts")
    for host in hosts or ():
        yield addresses.parsed(str(host).strip().partition("://")[2] or str(host).strip(), int(port))


def _record(section: Mapping[str, Any]) -> str:
    """The option of the section that names a DNS record of etcd's addresses; empty where none does."""
    return next((option for option in _RECORDS if section.get(option)), "")


def discover(topology: Topology, said: Declared, system: str) -> tuple[Topology, dict[str, str]]:
    """Find Patroni's keys. Returns the topology that knows the DCS, and what the target lacks, by capability.

    `system` is the cluster's system identifier: two clusters in one DCS may have the same scope. Raises
    RequirementMissing where the DCS, or its keys, are declared and not there.
    """
    topology, namespace = replace(topology, dcs=said.etcd, dcs_access=said.access), said.namespace
    if not topology.dcs and not topology.dcs_access:
        return topology, dict.fromkeys(("dcs", "dcs_keys"), _NO_ADDRESSES)
    if said.scope and topology.scope not in ("", said.scope):
        raise RequirementMissing(
            f"[dcs] scope = {said.scope!r}, but Patroni says that its cluster is called {topology.scope}: "
            "change scope, or leave it out"
        )
    topology = replace(topology, scope=topology.scope or said.scope)
    lacks = _members_unknown(topology)
    if not topology.scope:
        return topology, {**lacks, "dcs_keys": "the name of Patroni's cluster is not known without its REST API"}
    if namespace is None and "etcd3" in dcs.sections(topology):
        topology, missing = _searched(topology, system)
        if missing:
            if topology.dcs_access:
                raise RequirementMissing(f"[dcs] declares something that does not exist: {missing}")
            return topology, {**lacks, "dcs_keys": missing}
    elif namespace is not None:
        topology = replace(topology, dcs_namespace=namespace)
    try:
        found = dcs.state(topology)
    except Unreadable as error:
        why = _unreadable(topology, error, assumed=namespace is None)
        if topology.dcs_access:
            raise RequirementMissing(why) from None
        return topology, {**lacks, "dcs_keys": why}
    if wrong := _wrong(topology, found, system):
        if topology.dcs_access:
            raise RequirementMissing(wrong)
        return topology, {**lacks, "dcs_keys": wrong}
    return topology, lacks


def _members_unknown(topology: Topology) -> dict[str, str]:
    """Why the health of the DCS's members cannot be judged, by capability; empty if it can.

    Raises RequirementMissing where none of etcd's members answers.
    """
    if not topology.dcs and (record := _record(dcs.section_of_etcd(topology))):
        why = f"etcd's addresses are in DNS ({record}), which is not asked for them here: give them as hosts, too"
        return {"dcs": why}
    if not topology.dcs:
        return {"dcs": f"the DCS is {dcs.kind(topology)}: the health of the members can be judged for etcd only"}
    try:
        etcd.quorum(topology)
    except NotYet as error:
        answers = etcd.answers(topology)
        old = answers and ("etcd3" not in topology.dcs_access or _NO_GATEWAY in str(error))
        if topology.dcs_access and not old:
            raise RequirementMissing(_advised(topology, str(error))) from None
        if not answers:
            raise RequirementMissing(
                f"ETCD_HOSTS declares something that does not exist: {error}{_secured(str(error))}"
            ) from None
        why = f"etcd answers, but not through the JSON gateway of its v3 API (etcd 3.4 and newer): {error}"
        return {"dcs": why}
    return {}


def peers_unread(topology: Topology) -> str:
    """Why the certificates that etcd's members present to one another cannot be judged; empty if they can.

    A network among them may be closed to others. If it is open for one of them, the others are judged as well.
    """
    if not topology.dcs:
        return "no etcd is known whose members could tell where they reach one another"
    try:
        places = [address for there in etcd.secured_peers(topology).values() for address in there]
    except NO_ANSWER as error:
        return f"etcd does not tell where its members reach one another: {error}"
    if not places:
        return "etcd's members reach one another without TLS"
    if Reach.OPEN not in (found := addresses.reach_each(places)).values():
        told = "; ".join(f"{address}: {how.value}" for address, how in found.items())
        return f"etcd's members cannot be reached from here where they reach one another ({told})"
    return ""


def _secured(said: str) -> str:
    """A hint for those who gave only addresses of an etcd that wants more."""
    more = re.search(r"disconnected|reset by peer|BadStatusLine|40[013]|aborted", said)
    return "; if it needs TLS or a login, describe it in [dcs.etcd3]" if more else ""


def _searched(topology: Topology, system: str) -> tuple[Topology, str]:
    """The topology with the namespace that is found in etcd, or why none is."""
    try:
        found = etcd.namespaces(topology)
    except NO_ANSWER as error:
        if topology.dcs_access:  # a login may see its own keys only
            return replace(topology, dcs_namespace="/service"), ""
        return topology, f"etcd does not show its keys: {error}"
    own = [namespace for namespace, identifier in found.items() if identifier == system] or list(found)
    if len(own) == 1:
        return replace(topology, dcs_namespace=own[0]), ""
    if own:
        return topology, f"several clusters are called {topology.scope}, in {' and '.join(sorted(own))}"
    return topology, (
        f"etcd's v3 API shows no keys of Patroni's cluster {topology.scope}: Patroni may use etcd's API v2 "
        "([dcs.etcd]), or another etcd"
    )


def _wrong(topology: Topology, found: GroupState, system: str) -> str:
    """What is wrong with what was found, and what to change; empty if it is this cluster's."""
    where = f"namespace {topology.dcs_namespace or '/'} of {dcs.kind(topology)}"
    if not found.system and not found.leader:
        # Consul leaves out of a list what the token may not read: https://developer.hashicorp.com/consul/api-docs/kv
        or_token = ", or a token that may read them ([dcs.consul] token)" if "consul" in dcs.sections(topology) else ""
        return (
            f"[dcs] namespace: {where} has no keys of Patroni's cluster {topology.scope}{_elsewhere(topology)}; "
            f"give the namespace of Patroni's own configuration{or_token}"
        )
    if system and found.system and found.system != system:
        return (
            f"[dcs] namespace: {where} has the keys of another cluster called {topology.scope} (system identifier "
            f"{found.system}, and yours is {system}){_elsewhere(topology)}; give the namespace of Patroni's own "
            "configuration, or another DCS"
        )
    return ""


def _elsewhere(topology: Topology) -> str:
    """In which other namespaces of etcd such a cluster is."""
    if "etcd3" not in dcs.sections(topology):
        return ""
    try:
        others = sorted(etcd.namespaces(topology).keys() - {topology.dcs_namespace})
    except NO_ANSWER:
        return ""
    return f" (it has such keys in {' and '.join(others)})" if others else ""


def _unreadable(topology: Topology, error: Unreadable, assumed: bool) -> str:
    """`assumed`: nobody said which namespace it is, and etcd did not show it."""
    if error.missing:
        return f"{error}, which Patroni's client needs: {dcs.TO_INSTALL}"
    return _advised(topology, str(error), _NAMESPACE_ASSUMED if assumed and topology.dcs_access else "")


def _advised(topology: Topology, said: str, if_not_permitted: str = "") -> str:
    """One line: what the DCS said, shortened, and what to change."""
    section = next(iter(dcs.sections(topology)))
    fitting = next((pattern for pattern in _ADVICE if re.search(pattern, said, re.IGNORECASE)), "")
    advice = (fitting == _NOT_PERMITTED and if_not_permitted) or _ADVICE.get(fitting, "")
    causes = (re.search(cause, said) for cause in _CAUSES)
    short = next((found[0] for found in causes if found), said)[:200]
    return f"[dcs.{section}] cannot be read: {short}" + (f": {advice}" if advice else "")
