"""Logins that must be refused, tried at every endpoint or at every member; and which proof the servers ask for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from support import sql
from support.errors import ConnectFailed, Inconclusive
from support.target.cluster import Cluster
from support.target.login import Answer, NoTls, certificate_error, log_in
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Login

WRONG: Mapping[str, Callable[[Login], Login]] = {
    "a wrong password": lambda own: Login(own.user, f"{token_hex(8)}-wrong"),
    "no password": lambda own: Login(own.user, ""),
    "an unknown role": lambda own: Login(f"accept_{token_hex(8)}", token_hex(8)),
}
"""What is wrong with a login -> how to make it from a right one."""

UNVERIFIED = "certificate verify failed"
"""OpenSSL's error when a certificate was not signed by an authority that the client trusts."""
_FOREIGN = str(Path(__file__).with_name("foreign_authority.pem"))
NO_TLS = "it offers no TLS"
_USUAL_SUPERUSER = Login("postgres", "")
_PURPOSES = {"for a session": False, "for replication": True}


def ways_in(cluster: Cluster, where: str) -> list[sql.Endpoint]:
    """Every "endpoint" or every "member", with the application's login; of an endpoint, every host."""
    if where == "endpoint":
        return [*cluster.write.each, *(cluster.read.each if cluster.topology.read else ())]
    return [cluster.of_member(member.name) for member in cluster.topology.members if not member.unreached]


def require_right_login_accepted(cluster: Cluster, where: str) -> None:
    """Raises Inconclusive unless the application's right login is accepted everywhere: else a refusal means nothing."""
    refused = {name: answer.words for name, answer in _right_logins(cluster, where).items() if answer.refusal}
    if refused:
        raise Inconclusive(f"the application's right login is refused: {refused}")


def authentication_asked_for(cluster: Cluster, where: str) -> dict[str, dict[str, str]]:
    """Endpoint or member -> "asks for" -> the proof that it demands of the application: "SCRAM", "nothing", ..."""
    return {name: {"asks for": _asked_for(answer)} for name, answer in _right_logins(cluster, where).items()}


def _asked_for(answer: Answer) -> str:
    """A login that is refused before any proof does not show which proof would be demanded."""
    if answer.refusal and not answer.authenticated and answer.asked_for == "nothing":
        return f"nothing: the login is refused ({answer.words})"
    return answer.asked_for


def wrong_logins(cluster: Cluster, where: str, wrong: str) -> dict[str, str]:
    """Each attempt -> the SQLSTATE that refused it, "" when it was accepted, or why there was no answer.

    `wrong` is a key of WRONG. It is tried as every known role, both for ordinary sessions and for replication.
    """
    topology = cluster.topology
    known = {login.user: login for login in (_USUAL_SUPERUSER, topology.administrator, topology.application) if login}
    tried = {
        f"{endpoint} {purpose}": (endpoint, replication)
        for right in ways_in(cluster, where)
        for login in map(WRONG[wrong], known.values())
        for endpoint in [right.as_user(login.user, login.password)]
        for purpose, replication in _PURPOSES.items()
    }

    def attempt(name: str) -> Answer:
        endpoint, replication = tried[name]
        return log_in(endpoint, replication=replication)

    answers = ask_in_parallel(tried, attempt)
    return {name: _outcome(answer) for name, answer in answers.items()}


def tls_logins(cluster: Cluster, where: str) -> dict[str, str]:
    """The application's own login with TLS, tried everywhere: "" when it was accepted, or why it was not.

    That is NO_TLS where the server offers none, else a SQLSTATE, or why there was no answer.
    """
    ways = {str(one): one for one in ways_in(cluster, where)}

    def attempt(name: str) -> str:
        try:
            return _outcome(log_in(ways[name]))
        except NoTls:
            return NO_TLS

    return {name: str(outcome) for name, outcome in ask_in_parallel(ways, attempt).items()}


def verified_logins(cluster: Cluster, where: str) -> dict[str, str]:
    """The application logs in everywhere and verifies the server's certificate, by libpq.

    Each attempt -> "" if it logged in, NO_TLS, UNVERIFIED with the reason, or another error.
    """
    ways = {str(one): one for one in ways_in(cluster, where)}

    def attempt(name: str) -> str:
        try:
            with sql.session(ways[name]):
                return ""
        except ConnectFailed as error:
            return _why_unverified(ways[name]) or str(error)

    return {name: str(outcome) for name, outcome in ask_in_parallel(ways, attempt).items()}


def _why_unverified(endpoint: sql.Endpoint) -> str:
    try:
        reason = certificate_error(endpoint)
    except NoTls:
        return NO_TLS
    return f"{UNVERIFIED}: {reason}" if reason else ""


def plain_logins(cluster: Cluster, where: str) -> dict[str, str]:
    """The application's own login without TLS, tried everywhere; the outcomes are those of `wrong_logins`."""
    plain = {str(one): replace(one, options={**one.options, "sslmode": "disable"}) for one in ways_in(cluster, where)}
    return {name: _outcome(answer) for name, answer in ask_in_parallel(plain, lambda name: log_in(plain[name])).items()}


def mistrusting_logins(cluster: Cluster, where: str) -> dict[str, str]:
    """The application logs in everywhere, but trusts a foreign authority only, which has signed no certificate here.

    Each attempt -> UNVERIFIED if the application rejected the certificate, "" if it logged in all the same, or another
    error. It logs in by libpq, as the application does.
    """
    by_name = {
        str(one): replace(one, options={**one.options, "sslrootcert": _FOREIGN}) for one in ways_in(cluster, where)
    }

    def attempt(name: str) -> str:
        try:
            with sql.session(by_name[name]):
                return ""
        except ConnectFailed as error:
            return UNVERIFIED if UNVERIFIED in str(error) else str(error)

    return {name: str(outcome) for name, outcome in ask_in_parallel(by_name, attempt).items()}


def _outcome(answer: Answer | NoAnswer) -> str:
    if isinstance(answer, NoAnswer):
        return str(answer)
    return "" if answer.authenticated else answer.refusal


def _right_logins(cluster: Cluster, where: str) -> dict[str, Answer]:
    by_name = {str(one): one for one in ways_in(cluster, where)}
    answers = ask_in_parallel(by_name, lambda name: log_in(by_name[name]))
    silent = {name: str(answer) for name, answer in answers.items() if isinstance(answer, NoAnswer)}
    if silent or not answers:
        raise Inconclusive(f"not every {where} answers: {silent or 'there is none'}")
    return {name: answer for name, answer in answers.items() if not isinstance(answer, NoAnswer)}
