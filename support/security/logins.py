"""Attempts to log in by those who should not get in, at every door of the cluster."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from support import sql
from support.errors import ConnectFailed, Inconclusive
from support.target.cluster import Cluster
from support.target.login import Answer, log_in
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Login

WRONG: Mapping[str, Callable[[Login], Login]] = {
    "a wrong password": lambda own: Login(own.user, f"{token_hex(8)}-wrong"),
    "no password": lambda own: Login(own.user, ""),
    "an unknown role": lambda own: Login(f"accept_{token_hex(8)}", token_hex(8)),
}
"""What can be wrong with a login -> how it is made of a right one."""

UNVERIFIED = "certificate verify failed"
"""How OpenSSL says that no authority which it knows has signed a certificate."""
_FOREIGN = str(Path(__file__).with_name("foreign_authority.pem"))
_USUAL_SUPERUSER = Login("postgres", "")
_PURPOSES = {"for a session": False, "for a copy of the database": True}


def doors(cluster: Cluster, where: str) -> list[sql.Endpoint]:
    """Every "endpoint" or every "member", as the application."""
    if where == "endpoint":
        return [cluster.write, *([cluster.read] if cluster.topology.read else [])]
    return [cluster.of_member(member.name) for member in cluster.topology.members if not member.unreached]


def require_open_to_owner(cluster: Cluster, where: str) -> None:
    """Raises Inconclusive unless each door lets the application in by its right login: a refusal means little then."""
    shut = {name: answer.words for name, answer in _own_logins(cluster, where).items() if answer.refusal}
    if shut:
        raise Inconclusive(f"the application's right login is refused: {shut}")


def proofs_asked_for(cluster: Cluster, where: str) -> dict[str, dict[str, str]]:
    """Door -> "asks for" -> what it wants as proof of the application's login: "SCRAM", "nothing", ..."""
    return {name: {"asks for": _proof_asked_for(answer)} for name, answer in _own_logins(cluster, where).items()}


def _proof_asked_for(answer: Answer) -> str:
    """A login that is refused before any proof says nothing about the proof that would be asked for."""
    if answer.refusal and not answer.believed and answer.asked_for == "nothing":
        return f"nothing: the login is refused ({answer.words})"
    return answer.asked_for


def attempts(cluster: Cluster, where: str, wrong: str) -> dict[str, str]:
    """Each attempt with that wrong login -> the SQLSTATE that refused it, "" when it was believed, or what else came.

    It is tried in the name of every known role, both for ordinary sessions and for copies of the whole database.
    """
    topology = cluster.topology
    known = {login.user: login for login in (_USUAL_SUPERUSER, topology.administrator, topology.application) if login}
    tried = {
        f"{stranger} {purpose}": (stranger, copies)
        for door in doors(cluster, where)
        for login in map(WRONG[wrong], known.values())
        for stranger in [door.as_user(login.user, login.password)]
        for purpose, copies in _PURPOSES.items()
    }

    def attempt(name: str) -> Answer:
        stranger, copies = tried[name]
        return log_in(stranger, replication=copies)

    answers = ask_in_parallel(tried, attempt)
    return {name: _outcome(answer) for name, answer in answers.items()}


def plain_logins(cluster: Cluster, where: str) -> dict[str, str]:
    """What becomes of the application's own login without TLS at each door, as `attempts` has it."""
    plain = {str(door): replace(door, options={**door.options, "sslmode": "disable"}) for door in doors(cluster, where)}
    return {name: _outcome(answer) for name, answer in ask_in_parallel(plain, lambda name: log_in(plain[name])).items()}


def distrustful_logins(cluster: Cluster, where: str) -> dict[str, str]:
    """Each door -> OpenSSL's word when the application, which trusts a foreign authority alone, believes it not.

    "" where it logs in all the same, or what else came. By libpq, as the application does it.
    """
    by_name = {
        str(door): replace(door, options={**door.options, "sslrootcert": _FOREIGN}) for door in doors(cluster, where)
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
    return "" if answer.believed else answer.refusal


def _own_logins(cluster: Cluster, where: str) -> dict[str, Answer]:
    by_name = {str(door): door for door in doors(cluster, where)}
    answers = ask_in_parallel(by_name, lambda name: log_in(by_name[name]))
    silent = {name: str(answer) for name, answer in answers.items() if isinstance(answer, NoAnswer)}
    if silent or not answers:
        raise Inconclusive(f"not every {where} answers: {silent or 'there is none'}")
    return {name: answer for name, answer in answers.items() if not isinstance(answer, NoAnswer)}
