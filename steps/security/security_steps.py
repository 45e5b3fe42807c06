"""Who gets in, what the application's role may do, and whether a password can be read anywhere."""

from collections.abc import Callable, Mapping

from behave import given, register_type, then, when

from support.engine.finding import Finding
from support.engine.tables import Table, alike, as_tabled, rows_of
from support.engine.world import Context
from support.faults.declared import disturbs, leaves_hosts
from support.security import certificates, exposure, logins, privileges, unauthenticated
from support.security.checks import (
    Search,
    all_loaded,
    all_over_tls,
    all_refused,
    all_valid_for,
    decoy_found,
    no_secret_found,
    on_all,
)
from support.security.handover import SecurityHandover
from support.target.members import NoAnswer
from support.vocabulary import Kind, columns

WHERE, WRONG = Kind("place to log in", ("endpoint", "member")), Kind.of("wrong login", logins.WRONG)
UNAUTHENTICATED = Kind.of("kind of login", unauthenticated.LOGINS)
SERVERS = Kind("choice of servers", privileges.SERVERS)
ATTEMPT = Kind("attempt", ("login", "request", "command"))
register_type(Where=WHERE, WrongLogin=WRONG, Unauthenticated=UNAUTHENTICATED, Attempt=ATTEMPT, Servers=SERVERS)


@given("every {where:Where} accepts the application's login")
def step_right_login_accepted(context: Context, where: str) -> None:
    """Where the right login fails as well, a refusal means nothing."""
    logins.require_right_login_accepted(context.world.cluster, where)


@when("logins with {wrong:WrongLogin} are tried at every {where:Where}")
def step_wrong_logins(context: Context, wrong: str, where: str) -> None:
    """As every known role, for an ordinary session at each database and for a replication connection; with TLS and
    without, as far as the server offers it.

    Through an endpoint not at template1; behind a pooler, whose sessions would stay in the others as well, only at the
    application's database and at postgres. At members, each database is tried.

    A wrong proof is given once to each server as each role, for each kind of proof that it demands, and the right login
    follows at once; everywhere else a login that demands a proof is not given one: nobody is to be locked out.

    Without a password also as every other role that can log in. If there are more than 20 of these, superusers and
    those that may replicate come first, and the report names the roles that were not tried.
    """
    attempts = logins.wrong_logins(context.world.cluster, where, wrong)
    context.world.handover(SecurityHandover).attempts = attempts
    if wrong in logins.AS_EVERYBODY:
        _tell_left_out(context, where)


@when("the application logs in at every {where:Where}, with TLS and without")
def step_logins_with_and_without_tls(context: Context, where: str) -> None:
    """The application's own login, encrypted or not, but otherwise right.

    Without TLS at each database; through an endpoint, at those where wrong logins are tried, too. The other roles that
    can log in (at most 20, as for wrong logins) must be refused without TLS as well, before they are asked for a proof.
    A server that answers with TLS, and closes connections without TLS, refuses these logins.
    """
    cluster, handover = context.world.cluster, context.world.handover(SecurityHandover)
    handover.with_tls = logins.tls_logins(cluster, where)
    handover.attempts = logins.plain_logins(cluster, where)
    _tell_left_out(context, where)


@when("the application logs in at every {where:Where} and verifies its certificate")
def step_verified_logins(context: Context, where: str) -> None:
    """By libpq, with the application's own parameters."""
    context.world.handover(SecurityHandover).with_tls = logins.verified_logins(context.world.cluster, where)


@then("every login with TLS is accepted")
@then("every certificate is accepted")
def step_all_over_tls(context: Context) -> None:
    """A server that offers no TLS, or whose certificate was rejected, breaks the promise."""
    all_over_tls(context.world.handover(SecurityHandover).with_tls).require()


@when("the application trusts a different authority only, and logs in at every {where:Where}")
def step_mistrusting_logins(context: Context, where: str) -> None:
    """The authority that it trusts has signed no certificate of the cluster."""
    context.world.handover(SecurityHandover).attempts = logins.mistrusting_logins(context.world.cluster, where)


@when("the certificates in use are read")
@leaves_hosts("it reads files")
def step_certificates_in_use(context: Context) -> None:
    """The certificates that servers present (endpoints, members, all else reached by TLS) and the application's own;
    also those with which members log in to one another and to the DCS, where the suite can read their files.

    Of the intermediate certificates that servers send, those that lead to an authority that their clients trust.
    """
    context.world.handover(SecurityHandover).certificates = certificates.in_use(context.world.cluster)


@when("the certificates that members of the DCS present to one another are read")
def step_certificates_of_peers(context: Context) -> None:
    """Those of etcd, by the addresses that it knows its members by."""
    context.world.handover(SecurityHandover).certificates = certificates.of_peers(context.world.cluster)


@then("every certificate is valid for {days:g} more days")
def step_certificates_valid(context: Context, days: float) -> None:
    """From now on. One that could not be read makes the answer unknown."""
    world = context.world
    limit = world.limit(days, "certificate")
    validity = certificates.validity(world.handover(SecurityHandover).certificates)
    known = [one.days for one in validity.values() if not one.unknown and not one.doubt]
    if known:
        world.measure("the first certificate expires in", min(known), "days", limit, at_least=True)
    all_valid_for(limit, validity).require()


@when("the certificate of each member is compared with its file")
def step_certificates_and_files(context: Context) -> None:
    """PostgreSQL's own file, as its configuration names it, read by a superuser."""
    handover, cluster = context.world.handover(SecurityHandover), context.world.cluster
    handover.certificates, handover.in_files = certificates.of_members(cluster), certificates.in_members_files(cluster)


@then("each member presents the certificate that is in its file")
def step_certificates_loaded(context: Context) -> None:
    """To new connections, by its fingerprint."""
    handover = context.world.handover(SecurityHandover)
    presented, in_files = map(certificates.fingerprints, (handover.certificates, handover.in_files))
    unread = certificates.unread(handover.certificates) | certificates.unread(handover.in_files)
    all_loaded(presented, in_files, unread).require()


@given("every Patroni accepts requests with the right login")
def step_patroni_accepts_login(context: Context) -> None:
    """On every member. Where the right login fails as well, a refusal means nothing."""
    unauthenticated.require_patroni_accepts_login(context.world.cluster)


@given("Redis accepts commands with the right login")
def step_redis_accepts_login(context: Context) -> None:
    """Where the right login fails as well, a refusal means nothing."""
    unauthenticated.require_redis_accepts_login(context.world.cluster)


@when("a client with {login:Unauthenticated} sends every Patroni requests to")
@columns({"request": Kind.of("request to Patroni", unauthenticated.REQUESTS)})
def step_patroni_requests(context: Context, login: str) -> None:
    """Sends each request of the table to every member. If one were accepted, Patroni would at most reload its file."""
    requests = unauthenticated.patroni_requests(context.world.cluster, login, rows_of(context.table))
    context.world.handover(SecurityHandover).attempts = requests


@when("a client with {login:Unauthenticated} sends Redis commands to")
@columns({"command": Kind.of("command of Redis", unauthenticated.COMMANDS)})
def step_redis_commands(context: Context, login: str) -> None:
    """Sends each command of the table to each server, on a separate connection; the keys belong to the scenario. A
    password is tried both as Redis' default user and as the application's."""
    world, key = context.world, f"{context.world.namespace}:unauthenticated"
    commands = unauthenticated.redis_commands(world.cluster, login, rows_of(context.table), key)
    world.handover(SecurityHandover).attempts = commands


@then("the application rejects the certificate of each endpoint")
@then("every login without TLS is refused")
@then("every {what:Attempt} is refused as unauthenticated")
def step_all_refused(context: Context, what: str = "login") -> None:
    """Judged by the code of the refusal; a failure for another reason is inconclusive."""
    all_refused(context.world.handover(SecurityHandover).attempts).require()


@then("every {where:Where} asks for SCRAM authentication")
def step_scram_is_asked_for(context: Context, where: str) -> None:
    """What the server demands before it accepts the right login, at each database.

    Through an endpoint, at those where wrong logins are tried, too. What is demanded of the other roles that can log in
    counts as well (at most 20 are asked about, as for wrong logins). A client certificate by which the server knows the
    application is as good, and so is a ticket (GSSAPI, SSPI): no password crosses the network.

    PgBouncer also asks roles that it does not know, and then refuses them. Roles that are not declared, and of which a
    pooler asks the same as of a role that does not exist, are not judged; the report names these logins.
    """
    found = logins.authentication_asked_for(context.world.cluster, where)
    _tell_left_out(context, where)
    asked = {name: row for name, row in found.items() if row["asks for"] != logins.ASKED_OF_UNKNOWN_ROLES}
    if unjudged := sorted(found.keys() - asked.keys()):
        title = f"{len(unjudged)} logins that were not judged: the pooler may not know these roles"
        context.world.evidence.attach(title, "\n".join(unjudged))
    without_password = {name: row for name, row in asked.items() if row["asks for"] in logins.WITHOUT_PASSWORD}
    as_tabled({**alike(asked, {"asks for": "SCRAM"}), **without_password}, asked).require()


def _tell_left_out(context: Context, where: str) -> None:
    if left_out := logins.left_out(context.world.cluster, where):
        context.world.evidence.attach(f"{len(left_out)} roles that were not tried", ", ".join(left_out))


@then("on {servers:Servers} every password of a role that can log in is stored as SCRAM")
def step_passwords_are_verifiers(context: Context, servers: str) -> None:
    """A SCRAM verifier reveals the password neither to the server nor to a thief of its files."""
    cluster = context.world.cluster
    stored = privileges.on_each(cluster, servers, cluster.administration, privileges.stored_passwords)
    _require_on_all(stored, lambda roles: alike(roles, {"stored as": "SCRAM"}))


@then("on {servers:Servers} the application's role can do this, by itself or as a member of another role")
@columns({"privilege": Kind.of("privilege", privileges.PRIVILEGES), "granted": Kind("answer", ("yes", "no"))})
def step_privileges(context: Context, servers: str) -> None:
    """According to the catalogue of each server; the table is compared whole."""
    expected, cluster = rows_of(context.table), context.world.cluster
    found = privileges.on_each(cluster, servers, cluster.write, lambda where: privileges.granted(where, expected))
    _require_on_all(found, lambda _: expected)


@when("on {servers:Servers} the application's role tries to")
@columns({"action": Kind.of("action", privileges.ACTIONS)})
def step_try_actions(context: Context, servers: str) -> None:
    """Each action of the table on the primary, each in a transaction of its own that is rolled back."""
    actions, cluster = rows_of(context.table), context.world.cluster
    outcomes = privileges.on_each(cluster, servers, cluster.write, lambda where: privileges.tried(where, actions))
    context.world.handover(SecurityHandover).actions = outcomes


@then("every action is refused for insufficient privilege")
def step_actions_refused(context: Context) -> None:
    """For this reason and no other."""
    actions = context.world.handover(SecurityHandover).actions
    _require_on_all(actions, lambda tried: alike(tried, {"outcome": "insufficient privilege"}))


def _require_on_all(answers: Mapping[str, Table | NoAnswer], expected: Callable[[Table], Table]) -> None:
    """Each server's table is the one expected of it."""
    on_all(
        {
            server: Finding.unknown(str(answer))
            if isinstance(answer, NoAnswer)
            else as_tabled(expected(answer), answer)
            for server, answer in answers.items()
        }
    ).require()


@given("a decoy that every member has logged")
def step_decoy_logged(context: Context) -> None:
    """PostgreSQL logs a failed login under this name, on each member. What a member that does not answer has logged
    proves nothing.
    """
    search = _begin_search(context)
    search.planted, search.unsearched = exposure.log_on_every_member(context.world.cluster, search.decoy)


@given("a decoy in the arguments of a program on every host")
@disturbs(exposure.Decoys, "the decoy has another name in each run", decoy="decoy")
def step_decoy_argument(context: Context) -> None:
    """The program does nothing, and ends with the scenario."""
    world, search = context.world, _begin_search(context)
    search.planted = exposure.run_with_argument(world.cluster, search.decoy, until=world.cleanup)


@given("a decoy in the report")
def step_decoy_attached(context: Context) -> None:
    """As an attachment of this scenario."""
    world, search = context.world, _begin_search(context)
    search.planted = exposure.attach_to_report(world.run, world.evidence.attach, search.decoy)


@given("a decoy that error messages contain")
def step_decoy_in_messages(context: Context) -> None:
    """The decoy is used in place of a role, database or host that exists, and errors repeat such names."""
    _begin_search(context).planted = exposure.DECOYS


@when("the logs of all hosts are searched for every password")
@leaves_hosts("it reads their logs")
def step_search_logs(context: Context) -> None:
    """Everything that any program has logged since the hosts were created."""
    context.world.handover(SecurityHandover).search.look_into(exposure.logs(context.world.cluster))


@when("the arguments of all programs on the hosts are searched for every password")
@leaves_hosts("it lists their processes")
def step_search_arguments(context: Context) -> None:
    """As any user on the host can list them."""
    context.world.handover(SecurityHandover).search.look_into(exposure.arguments(context.world.cluster))


@when("the files of the report are searched for every password")
def step_search_report(context: Context) -> None:
    """Results and attachments of this run so far, its journal and its histories, which are unpacked.

    Passwords in attachments are masked when these are made: what is found has got past that.
    """
    context.world.handover(SecurityHandover).search.look_into(exposure.report(context.world.run))


@when("logins and requests fail in every known way, and their error messages are searched for every password")
def step_search_messages(context: Context) -> None:
    """Right passwords in the wrong place. The whole traceback of each failure is searched, down to its first cause."""
    search = context.world.handover(SecurityHandover).search
    search.look_into(exposure.error_messages(context.world.cluster, search.decoy))


@then("the decoy is found wherever it was planted")
def step_decoy_found(context: Context) -> None:
    """The search finds what is there; otherwise, finding no password would mean nothing."""
    world, search = context.world, context.world.handover(SecurityHandover).search
    world.measure("places searched", search.places, "")
    decoy_found(search).require()


@then("no password is found")
def step_no_password_found(context: Context) -> None:
    """Neither in plain text nor as SQL, connection strings, JSON, CSV, URLs or HTTP's basic authentication write it."""
    world, search = context.world, context.world.handover(SecurityHandover).search
    world.measure("searched", search.size, "bytes")
    no_secret_found(search).require()


def _begin_search(context: Context) -> Search:
    """A search for every password of the cluster, and for a decoy that occurs nowhere yet."""
    world = context.world
    search = Search(exposure.passwords(world.cluster), decoy=f"decoy-{world.namespace}")
    world.handover(SecurityHandover).search = search
    return search
