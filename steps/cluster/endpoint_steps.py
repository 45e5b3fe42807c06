"""Endpoints: logging in, sessions and what becomes of them, the application's pool."""

from behave import given, then, when
from hamcrest import (
    all_of,
    any_of,
    assert_that,
    contains_string,
    equal_to,
    greater_than_or_equal_to,
    has_length,
    instance_of,
    is_not,
    none,
)

from support import sql
from support.cluster import workloads
from support.cluster.black_hole import BlackHoleServer
from support.cluster.handover import ClusterHandover
from support.engine.checks.answers import each_answer_is_its_askers
from support.engine.checks.availability import every_client_succeeded
from support.engine.finding import Finding
from support.engine.quiet import judged, measure
from support.engine.tables import all_answer
from support.engine.workload import run_to_end
from support.engine.world import Context
from support.errors import ConnectFailed
from support.example_app.pool import PoolConfig, TestedPool
from support.example_app.sessions import (
    attempt,
    backend,
    backends,
    identity,
    kill_backend,
    open_side_by_side,
    system_identifier,
)
from support.target.members import ask_everyone
from support.timeouts import CONNECT, STATEMENT

BACKEND = "SELECT pg_backend_pid()"


@when("the application logs in through the write endpoint")
def step_log_in(context: Context) -> None:
    """One session, opened as the application opens each of its own."""
    context.world.sessions.append(sql.connect(context.world.cluster.write))


@then("PostgreSQL {version:d} or newer answers")
def step_version(context: Context, version: int) -> None:
    """By what the server says of itself."""
    found = identity(context.world.session).version
    assert_that(found, greater_than_or_equal_to(version), "the major version of the server that answers")


@then("the session is in the application's database, under the application's name")
def step_database(context: Context) -> None:
    """By the database and role that the session itself reports."""
    found, topology = identity(context.world.session), context.world.cluster.topology
    assert_that(found.database, equal_to(topology.database), "the database that the session is in")
    assert_that(found.user, equal_to(topology.application.user), "the role that the session is under")


@when("every member is asked which database system it belongs to")
def step_ask_system(context: Context) -> None:
    """Each is asked directly for its system identifier, which a replica shares with its leader only."""
    cluster = context.world.cluster
    context.world.handover(ClusterHandover).systems = ask_everyone(
        cluster, cluster.members, lambda name: system_identifier(cluster.of_member(name))
    )


@then("every member names the one behind the write endpoint")
def step_same_system(context: Context) -> None:
    """The system identifier is the same on every member and through the write endpoint."""
    systems, behind = context.world.handover(ClusterHandover).systems, system_identifier(context.world.cluster.write)
    all_answer(behind, systems, "the database system of each member").require()


@when("{count:d} sessions are held open through the write endpoint")
def step_hold_open(context: Context, count: int) -> None:
    """One after another, each in a transaction of its own; none is closed before the scenario ends."""
    world = context.world
    wanted = int(world.limit(count, "sessions"))
    world.error = sql.error_of(lambda: open_side_by_side(world.cluster.write, wanted, world.sessions))


@then("all {count:d} are open")
def step_all_open(context: Context, count: int) -> None:
    """No login was refused."""
    opened, wanted = len(context.world.sessions), int(context.world.limit(count, "sessions"))
    words = f"the error of session {opened + 1} of {wanted} ([limits] sessions of CL-03, if fewer are meant to be open)"
    assert_that(context.world.error, none(), words)


@then("each of the {count:d} answers from a backend of its own")
def step_all_answer(context: Context, count: int) -> None:
    """Each session is queried while all are open; every one is served by a different server process."""
    wanted = int(context.world.limit(count, "sessions"))
    assert_that(backends(context.world.sessions), has_length(wanted), "backends that answer while all are open")


@given("a session whose statements may take {seconds:g} seconds")
def step_impatient_session(context: Context, seconds: float) -> None:
    """A session through the write endpoint, with a statement timeout."""
    world = context.world
    world.sessions.append(sql.connect(world.cluster.write, statement_timeout=seconds, autocommit=True))
    world.handover(ClusterHandover).backend = backend(world.session)


@when("it executes a statement that takes {seconds:g} seconds")
def step_long_statement(context: Context, seconds: float) -> None:
    """A statement that only waits."""
    session = context.world.session
    context.world.error = sql.error_of(lambda: sql.execute(session, "SELECT pg_sleep(%s)", [seconds]))


@then("the statement is cancelled")
def step_cancelled(context: Context) -> None:
    """By the server, which reports it; a lost connection would be reported differently."""
    said = sql.condition_of(context.world.error)
    assert_that(said, equal_to("query canceled"), f"what the server reports ({context.world.error})")


@then("the same session answers the next one")
def step_same_session_answers(context: Context) -> None:
    """The next statement is answered by the same backend."""
    assert_that(
        backends(context.world.sessions),
        equal_to({context.world.handover(ClusterHandover).backend}),
        "the backend that answers",
    )


@given("a pool of sessions, one of them idle")
def step_pool(context: Context) -> None:
    """The application's own pool; one of its sessions was used and returned."""
    world, state = context.world, context.world.handover(ClusterHandover)
    config = PoolConfig(world.cluster.write, size=1, login_timeout=CONNECT, statement_timeout=STATEMENT)
    pool = state.pool = world.cleanup.enter_context(TestedPool(world.pool, config))
    state.idle_backend = int(pool.execute(BACKEND)[0][0])


@when("the server kills the idle session")
def step_kill_idle(context: Context) -> None:
    """Terminated by the server, as by an administrator or a restart; the pool is not informed."""
    kill_backend(context.world.cluster.write, context.world.handover(ClusterHandover).idle_backend)


@then("the next user of the pool is served without an error")
def step_pool_serves(context: Context) -> None:
    """The session that the pool hands out answers the first statement."""
    state = context.world.handover(ClusterHandover)

    def use() -> None:
        state.served_by = int(state.pool.execute(BACKEND)[0][0])

    error = sql.error_of(use)
    assert_that(error, none(), "what reached the user of the pool")


@then("it is a different session")
def step_pool_replaced(context: Context) -> None:
    """A different backend answered than the one that was killed."""
    state = context.world.handover(ClusterHandover)
    assert_that(state.served_by, is_not(state.idle_backend), "the backend of the session that the pool handed out")


@when("{clients:d} concurrent clients ask {times:d} questions each")
def step_ask_questions(context: Context, clients: int, times: int) -> None:
    """Concurrently, each over its own session; every question has a single right answer, different from all others."""
    world = context.world
    world.history = run_to_end(world.cluster.write, workloads.questions(times), clients)


@then("all {clients:d} clients were answered {times:d} times")
def step_all_answered(context: Context, clients: int, times: int) -> None:
    """No question failed, and all clients worked at the same time."""
    every_client_succeeded(context.world.history, "ask", clients, times).require()


@then("each answer is the asker's own")
def step_own_answers(context: Context) -> None:
    """Each client got the answer to its own question."""
    each_answer_is_its_askers(context.world.history, workloads.right_answer).require()


@given("a host that accepts connections and never answers")
def step_silent_host(context: Context) -> None:
    """A listening socket that the suite opens and never answers on."""
    world = context.world
    server = BlackHoleServer(patience=world.time_for("login", 15))
    world.handover(ClusterHandover).black_hole = world.cleanup.enter_context(server)


@when("the application logs in there with a limit of {seconds:d} seconds")
def step_log_in_there(context: Context, seconds: int) -> None:
    """As the application's pool opens its first session, with that limit."""
    world, state = context.world, context.world.handover(ClusterHandover)
    config = PoolConfig(state.black_hole.endpoint, size=1, login_timeout=seconds, statement_timeout=STATEMENT)

    def log_in() -> None:
        with TestedPool(world.pool, config) as pool:
            state.login = attempt(lambda: pool.execute("SELECT 1"))

    measure(world, log_in)


@then("the login fails within {seconds:g} seconds")
def step_login_fails(context: Context, seconds: float) -> None:
    """The login fails with an error; the host itself would close the connection only much later."""
    state, limit = context.world.handover(ClusterHandover), context.world.limit(seconds, "login")

    def in_time() -> Finding:
        failed = any_of(instance_of(ConnectFailed), instance_of(sql.Error))
        assert_that(state.login.error, failed, "the result of the login")
        words = f"the login failed after {state.login.seconds:.1f} s (limit: {limit:g} s)"
        return Finding.within_limit(state.login.seconds < limit, words)

    finding = judged(context.world, in_time)
    context.world.measure("login at a silent host, until it failed", state.login.seconds, "s", limit)
    finding.require()


@then("the error names the host")
def step_error_names_host(context: Context) -> None:
    """The message names the host and the port, so its reader knows where to look."""
    state = context.world.handover(ClusterHandover)
    host, _, port = state.black_hole.name.partition(":")
    named = all_of(contains_string(host), contains_string(port))
    assert_that(str(state.login.error), named, "the error of the login")


@then("the host had accepted the connection")
def step_host_accepted(context: Context) -> None:
    """The host saw the connection: the login timed out waiting for an answer, and was not refused."""
    context.world.handover(ClusterHandover).black_hole.require_caller()
