"""Logins that must be refused, tried at every endpoint or at every member; and which proof the servers ask for."""

import ssl
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import token_hex

from support import libpq, sql
from support.errors import ConnectFailed, Inconclusive
from support.security.survey import declared_logins, known_logins, survey_of, ways_in
from support.security.wrong_proofs import WrongProofs
from support.target.cluster import Cluster
from support.target.login import PASSWORDS, TICKETS, Answer, NoTls, certificate_error, log_in, own_certificate
from support.target.members import NoAnswer, ask_in_parallel, heard_and_silent
from support.target.topology import Login

_NO_PASSWORD = "no password"
AS_EVERYBODY = frozenset({_NO_PASSWORD})
"""What is tried as every role, not just as the known ones."""
WRONG: Mapping[str, Callable[[Login], Login]] = {
    "a wrong password": lambda own: Login(own.user, f"{token_hex(8)}-wrong"),
    _NO_PASSWORD: lambda own: Login(own.user, ""),
    "an unknown role": lambda own: Login(_made_up(), token_hex(8)),
}
"""What is wrong with a login -> how to make it from a right one."""

CERTIFICATE = "a client certificate"
"""The proof of a login that is accepted with its client certificate, is asked for nothing, and is refused without."""
WITHOUT_PASSWORD = frozenset({CERTIFICATE, *TICKETS})
"""The proofs that are as good as SCRAM."""
ASKED_OF_UNKNOWN_ROLES = "what it asks of an unknown role"
"""The proof that a pooler demands of a role that it may not know; no SCRAM."""
_WEAK_PASSWORDS = PASSWORDS - {"SCRAM"}
_REFUSED = "28000"
UNVERIFIED = "certificate verify failed"
"""OpenSSL's error when a certificate was not signed by an authority that the client trusts."""
_FOREIGN = str(Path(__file__).with_name("foreign_authority.pem"))
NO_TLS = "it offers no TLS"
_AT_ONCE = 5
"""So many of them at the same time at each server: each attempt takes one of its connections for a moment."""


def require_right_login_accepted(cluster: Cluster, where: str) -> None:
    """Raises Inconclusive unless the application's right login is accepted everywhere: else a refusal means nothing."""
    refused = {name: answer.words for name, answer in _right_logins(cluster, where).items() if answer.refusal}
    if refused:
        raise Inconclusive(f"the application's right login is refused: {refused}")


def authentication_asked_for(cluster: Cluster, where: str) -> dict[str, dict[str, str]]:
    """Endpoint or member -> "asks for" -> the proof that it demands of the application: "SCRAM", "nothing", ...

    At its own database, and at each other one (of the survey) that does not refuse it before any proof. So too the
    proof demanded of every other role, with TLS and without, which is not given. Raises Inconclusive where there is no
    answer. ASKED_OF_UNKNOWN_ROLES where a pooler may only ask because it does not know a role that is not declared.
    """
    right = _right_logins(cluster, where)
    asked = {
        name: {"asks for": _asked_for(answer)}
        for name, answer in _proved(ways_in(cluster, where), right, {cluster.topology.application.user}).items()
    }
    if any(answer.refusal and not answer.authenticated for answer in right.values()):
        return asked  # its own database says enough; without a login nobody lists the others
    survey, elsewhere = survey_of(cluster, where), dict[str, Answer | NoAnswer]()
    for database, ways in survey.databases.items():
        if database != cluster.topology.database:
            # Nothing is proved: the demand does not depend on the password, and no session is opened there.
            unproved = _try_each(ways, partial(log_in, prove=False))
            elsewhere |= _proved(ways, unproved, {cluster.topology.application.user})
    others = [*({*known_logins(cluster)} - {cluster.topology.application.user}), *survey.roles]
    undeclared = {*others} - {*declared_logins(cluster)}
    for ways, replication in survey.rounds:
        elsewhere |= _unproved(ways, others, replication)
        elsewhere |= _as_of_unknown_roles(elsewhere, survey.pooled_of(ways), undeclared, replication)
    answers, silent = heard_and_silent(elsewhere)
    if silent or survey.unlisted:
        raise Inconclusive(f"not every {where} answers for every database: {silent | survey.unlisted}")
    met = {name: one for name, one in answers.items() if one.authenticated or one.asked_for != "nothing"}
    return asked | {name: {"asks for": answer.asked_for} for name, answer in met.items()}


def _asked_for(answer: Answer | NoAnswer) -> str:
    """A login that is refused before any proof does not show which proof would be demanded."""
    if isinstance(answer, NoAnswer):
        raise Inconclusive(str(answer))
    if answer.refusal and not answer.authenticated and answer.asked_for == "nothing":
        return f"nothing: the login is refused ({answer.words})"
    return answer.asked_for


def wrong_logins(cluster: Cluster, where: str, wrong: str) -> dict[str, str]:
    """Each attempt -> the SQLSTATE that refused it, "" when it was accepted, or why there was no answer.

    `wrong` is a key of WRONG. It is tried as every known role, for ordinary sessions at each database (of the survey)
    and for replication. pg_hba.conf has rules for each of these, and who gets in anywhere has got into the server. The
    known roles are those that are declared, and postgres.

    Everywhere it is seen which proof is demanded, and nothing is proved: nobody is to be locked out for too many wrong
    passwords. One wrong proof only is given to each server as each role, for each kind of proof that it demands, and
    the right login of that role follows at once, if it is declared: most locks count failures in a row.

    Without a password it is tried as every other role as well (at most MOST_ROLES: see `left_out`), and none is given.

    Each is tried with TLS and without, whatever the application uses: pg_hba.conf may have a rule for one of these.

    Where the client certificate of a declared login is its whole proof, a wrong login is one without it.
    """
    known, survey = known_logins(cluster), survey_of(cluster, where)
    declared = declared_logins(cluster)
    proofs, attempts = WrongProofs(ways_in(cluster, where), known, declared), dict(survey.unlisted)
    for ways, replication in survey.rounds:
        logins = [(one, WRONG[wrong](login)) for one in ways for login in known.values()]
        attempted = [one.as_user(login.user, login.password) for one, login in logins]

        def attempt(one: sql.Endpoint, replication: bool = replication) -> Answer:
            tried, unproved = _without_proof(one, declared, replication)
            return proofs.given_once(tried, unproved, replication)

        tried = _in_each_way(attempted, replication, attempt)
        attempts |= {name: _outcome(answer) for name, answer in tried.items()}
        if wrong in AS_EVERYBODY:
            unproved = _unproved(ways, survey.roles, replication)
            attempts |= {name: _outcome(answer) for name, answer in unproved.items()}
    return attempts


def left_out(cluster: Cluster, where: str) -> Sequence[str]:
    """The roles as which no login is tried, because there are more than MOST_ROLES."""
    return survey_of(cluster, where).left_out


_WITH_TLS, _WITHOUT_TLS = ("with TLS", "require"), ("without TLS", "disable")
"""How a login is tried, and the sslmode for it."""


@dataclass(frozen=True)
class _NotOffered(NoAnswer):
    """A server cannot be spoken to in that way: it offers no TLS, or closes the connection if there is none."""


def _try_each(
    tried: Iterable[sql.Endpoint], attempt: Callable[[sql.Endpoint], Answer] = log_in
) -> dict[str, Answer | NoAnswer]:
    """Each endpoint -> the answer to its login. All are tried at the same time, so let them be few for each server."""
    by_name = {str(one): one for one in tried}
    return ask_in_parallel(by_name, lambda name: attempt(by_name[name]))


def _in_each_way(
    tried: Iterable[sql.Endpoint],
    replication: bool,
    attempt: Callable[[sql.Endpoint], Answer],
    ways: Sequence[tuple[str, str]] = (_WITH_TLS, _WITHOUT_TLS),
) -> dict[str, Answer | NoAnswer]:
    """Each login, and how it was tried -> the answer. Few of them at the same time, as above.

    A way that a server does not offer is left out if there is an answer in the other: nobody gets in there. There is no
    TLS on a Unix socket.
    """
    by_name = {f"{one} {'for replication' if replication else 'for a session'}": one for one in tried}
    found = {name: dict[str, Answer | NoAnswer]() for name in by_name}
    for how, mode in ways:

        def answer(name: str, mode: str = mode) -> Answer | NoAnswer:
            try:
                return attempt(_in_mode(by_name[name], mode))
            except (NoTls, ConnectionError, ssl.SSLError) as error:
                return _NotOffered.because(error)

        for name, answered in ask_in_parallel(by_name, answer).items():
            found[name]["" if libpq.is_socket(by_name[name].host) else f" {how}"] = answered
    return {
        f"{name}{how}": answered
        for name, answers in found.items()
        for how, answered in answers.items()
        if not isinstance(answered, _NotOffered) or not any(isinstance(one, Answer) for one in answers.values())
    }


def _in_mode(one: sql.Endpoint, mode: str) -> sql.Endpoint:
    return replace(one, options={**one.options, "sslmode": mode})


def _without_tls(one: sql.Endpoint, attempt: Callable[[sql.Endpoint], Answer] = log_in) -> Answer:
    """The answer to a login without TLS.

    If the server closes each connection without TLS, but answers with TLS, as a proxy that terminates TLS does, the
    login is refused.
    """
    plain = _in_mode(one, "disable")
    try:
        return attempt(plain)
    except ConnectionError as error:
        nothing_listens = isinstance(error, ConnectionRefusedError)
        if nothing_listens or _answers(plain) or not _answers(_in_mode(one, "require")):
            raise
        return Answer("nothing", False, _REFUSED, str(error))


def _answers(one: sql.Endpoint) -> bool:
    """Whether a login is answered at all; no proof is given."""
    try:
        _log_in_bare(one)
    except (NoTls, OSError):
        return False
    return True


def _unproved(
    ways: Sequence[sql.Endpoint], roles: Sequence[str], replication: bool, *, with_tls: bool = True
) -> dict[str, Answer | NoAnswer]:
    """Each login that proves nothing, as each of the roles -> the answer. Nobody is locked out by it (see `log_in`).

    Without `with_tls`, it is tried without TLS only. The application's certificate is left out: whom else it identifies
    (a map in pg_ident.conf) is no lack of a proof.
    """
    found = dict[str, Answer | NoAnswer]()
    attempt = partial(_log_in_bare, replication=replication)
    for first in range(0, len(roles), _AT_ONCE):
        tried = [_bare(way.as_user(role, "")) for way in ways for role in roles[first : first + _AT_ONCE]]
        if with_tls:
            found |= _in_each_way(tried, replication, attempt)
        else:
            found |= _in_each_way(tried, replication, partial(_without_tls, attempt=attempt), [_WITHOUT_TLS])
    return found


def _as_of_unknown_roles(
    answers: Mapping[str, Answer | NoAnswer], pooled: Sequence[sql.Endpoint], roles: Collection[str], replication: bool
) -> dict[str, Answer]:
    """The answers in which a pooler demands the same password of these roles as of one that does not exist.

    PgBouncer demands one of roles that it does not know, and then refuses them. With auth_type=md5, its default, that
    is an MD5 hash; roles whose SCRAM secret it has are asked for SCRAM.
    """
    unknown = _made_up()
    demands, _ = heard_and_silent(_unproved(pooled, [unknown], replication))
    heard, _ = heard_and_silent(answers)
    return {
        same: replace(heard[same], asked_for=ASKED_OF_UNKNOWN_ROLES)
        for name, demand in demands.items()
        for role in roles
        if (same := name.replace(unknown, role)) in heard
        and heard[same].asked_for == demand.asked_for in _WEAK_PASSWORDS
    }


def _made_up() -> str:
    """The name of a role that does not exist."""
    return f"accept_{token_hex(8)}"


def _bare(one: sql.Endpoint) -> sql.Endpoint:
    """The login of an endpoint, without a client certificate."""
    return replace(one, options={**one.options, "sslcertmode": "disable"})


def _log_in_bare(one: sql.Endpoint, replication: bool = False) -> Answer:
    """Try a login without proof."""
    try:
        return log_in(one, replication=replication, prove=False)
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):
            raise
        return Answer("nothing", False, _REFUSED, str(error))  # the server itself may end a handshake without one


def _without_proof(one: sql.Endpoint, owners: Collection[str], replication: bool) -> tuple[sql.Endpoint, Answer]:
    """The login that was tried, and the answer. Nothing is proved, nor by a client certificate where that is enough.

    That is so where a server accepts the certificate's owner and asks for nothing else (`cert` in pg_hba.conf). Where
    it trusts anybody, the login without the certificate is accepted, too.
    """
    answer = log_in(one, replication=replication, prove=False)
    if not _by_certificate(one, answer, owners):
        return one, answer
    return _bare(one), _log_in_bare(_bare(one), replication)


def _by_certificate(one: sql.Endpoint, answer: Answer | NoAnswer, owners: Collection[str]) -> bool:
    """Whether a client certificate may have been the whole proof."""
    owned = one.user in owners and own_certificate(one.options) is not None
    return owned and isinstance(answer, Answer) and answer.authenticated and answer.asked_for == "nothing"


def _proved(
    tried: Iterable[sql.Endpoint], answers: Mapping[str, Answer | NoAnswer], owners: Collection[str]
) -> dict[str, Answer | NoAnswer]:
    """The answers; those that the client certificate has proved ask for it."""
    found = dict(answers)
    certified = {str(one): one for one in tried if _by_certificate(one, answers[str(one)], owners)}
    for name, bare in ask_in_parallel(certified, lambda name: _log_in_bare(_bare(certified[name]))).items():
        answer = answers[name]
        assert isinstance(answer, Answer)
        refused = isinstance(bare, Answer) and bare.refusal.startswith(_REFUSED[:2]) and bare.asked_for == "nothing"
        found[name] = replace(answer, asked_for=CERTIFICATE) if refused else bare
    return found


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
            return _why_unverified(ways[name], str(error))

    return {name: str(outcome) for name, outcome in ask_in_parallel(ways, attempt).items()}


def _why_unverified(endpoint: sql.Endpoint, said: str) -> str:
    """Why libpq did not log in: NO_TLS, UNVERIFIED with OpenSSL's reason if it is found again, or what libpq `said`."""
    unverified, reason = UNVERIFIED in said, ""
    try:
        reason = certificate_error(endpoint)
    except NoTls:
        if not unverified:
            return NO_TLS
    except OSError:
        if not unverified:
            raise
    return f"{UNVERIFIED}: {reason or said}" if unverified or reason else said


def plain_logins(cluster: Cluster, where: str) -> dict[str, str]:
    """Logins without TLS, everywhere at each database of the survey: the application's own, and as every other role.

    The outcomes are those of `wrong_logins`. Another role proves nothing: where it is asked for a proof, the right one
    would let it in, and that counts as accepted. A server that closes connections without TLS refuses them.
    """
    survey = survey_of(cluster, where)
    others = [*({*known_logins(cluster)} - {cluster.topology.application.user}), *survey.roles]
    attempts = dict(survey.unlisted)
    for ways in survey.databases.values():
        answers = _try_each(ways, _without_tls)
        attempts |= {name: _outcome(answer) for name, answer in answers.items()}
        for name, answer in _unproved(ways, others, replication=False, with_tls=False).items():
            asked_for = answer.asked_for if isinstance(answer, Answer) else "nothing"
            if asked_for == "nothing":
                attempts[name] = _outcome(answer)
            else:
                attempts[f"{name} (asked for {asked_for})"] = ""
    return attempts


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
    answers = _try_each(ways_in(cluster, where))
    silent = {name: str(answer) for name, answer in answers.items() if isinstance(answer, NoAnswer)}
    if silent or not answers:
        raise Inconclusive(f"not every {where} answers: {silent or 'there is none'}")
    return {name: answer for name, answer in answers.items() if not isinstance(answer, NoAnswer)}
