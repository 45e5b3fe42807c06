"""Logins to the cluster: who refuses one, and what it may do once it is accepted."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from support import sql
from support.errors import ConnectFailed, NotInTime, RequirementMissing
from support.target import patroni_commands
from support.target.cluster import Cluster
from support.target.discovery import addresses
from support.target.discovery.addresses import Reach
from support.target.members import ask_in_parallel, heard_and_silent
from support.target.topology import Address, Login, Topology
from support.timeouts import NOTICE
from support.waiting import NotYet, describe, eventually

_SEES_ALL = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"
_SEES_ARCHIVE = "SELECT has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE')"
_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


def refused(topology: Topology, login: Login, without: Collection[str] = ()) -> dict[str, str]:
    """Member that refuses that login -> its error. Asks the members that are reached directly, `without` these."""
    found = {
        member.name: login_refused(topology.endpoint_at(f"member {member.name}", member.postgres, login))
        for member in topology.members
        if not member.unreached and member.name not in without
    }
    return {name: why for name, why in found.items() if why}


def rights_lacking(topology: Topology) -> dict[str, str]:
    """Capability -> why it is lacking: a superuser who is none, or a login that sees neither the sessions of others nor
    what waits to be archived.

    Asks as the superuser, else as the application. Raises RequirementMissing where a superuser's login was given, and
    nobody lets it in.
    """
    lacks = dict[str, str]()
    login = topology.administrator or topology.application
    endpoint = topology.endpoint("write", login)
    if login is topology.administrator and sql.tells_of_refusal(why := login_refused(endpoint)):
        endpoint = _member_that_lets_in(topology, login, why)
    remedy = f"give ACCEPT_ADMIN_USER, or GRANT pg_monitor TO {login.user}"
    with suppress(sql.Error, ConnectFailed), sql.session(endpoint) as session:
        if not sql.value(session, _SEES_ALL):
            lacks["monitor"] = f"{login.user} does not see the sessions of other roles: {remedy}"
        if not sql.value(session, _SEES_ARCHIVE):
            lacks["archive_status"] = f"{login.user} does not see which WAL waits to be archived: {remedy}"
        if login is topology.administrator and not sql.value(session, _SUPERUSER):
            lacks["admin"] = f"{login.user} is not a superuser (ACCEPT_ADMIN_USER)"
    return lacks


def _member_that_lets_in(topology: Topology, login: Login, why: str) -> sql.Endpoint:
    """A member that accepts the superuser, whom the write endpoint refuses (`why`): a pooler may not know superusers.

    Raises RequirementMissing where none does.
    """
    without = refused(topology, login)
    for member in topology.members:
        if not member.unreached and member.name not in without:
            return topology.endpoint_at(f"member {member.name}", member.postgres, login)
    raise RequirementMissing(
        f"ACCEPT_ADMIN_USER declares something that does not exist: {why}: check ACCEPT_ADMIN_USER and "
        "ACCEPT_ADMIN_PASSWORD"
    )


def commands_lacking(topology: Topology, lacks: Mapping[str, str]) -> dict[str, str]:
    """Capability -> why it is lacking: a Patroni that refuses commands from here. One that is silent does not.

    Raises RequirementMissing where a login was given, and every Patroni that answers refuses it.
    """
    if why := lacks.get("patroni"):
        return {"patroni_commands": why}
    cluster = Cluster(topology)
    asked = [one.name for one in topology.members if one.rest is not None]
    login = topology.patroni_login
    answers = ask_in_parallel(asked, lambda name: patroni_commands.refusal(cluster.patroni(name), login))
    heard, _ = heard_and_silent(answers)
    refusals = [one for one in heard.values() if one]
    if not refusals:
        return {}
    why = "; ".join(dict.fromkeys(one.why for one in refusals))
    if len(refusals) == len(heard) and all(one.of_our_login for one in refusals):
        raise RequirementMissing(f"PATRONI_RESTAPI_USERNAME declares something that does not exist: {why}")
    return {"patroni_commands": why}


def refused_for_good(endpoint: sql.Endpoint) -> str:
    """Why an endpoint refuses every login; empty if it accepts one before a proxy must have noticed a dead server."""

    def accept_login() -> None:
        if refused := login_refused(endpoint):
            raise NotYet(refused)

    if all(addresses.reach(Address(*one)) is not Reach.OPEN for one in endpoint.hosts):
        return login_refused(endpoint)
    try:
        eventually(accept_login, within=NOTICE, subject="it accepts the application's login")
    except NotInTime as error:
        return error.observed
    return ""


def login_refused(endpoint: sql.Endpoint) -> str:
    """Why an endpoint refuses the login now; empty if it accepts it."""
    try:
        with sql.session(endpoint):
            return ""
    except (ConnectFailed, sql.Error) as error:
        return describe(error)
