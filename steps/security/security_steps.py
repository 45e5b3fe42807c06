"""Who gets in, what the application's role may do, and whether a password can be read anywhere."""

from behave import given, then, when

from support.engine.tables import alike, as_tabled, rows_of
from support.engine.world import Context, World
from support.security import exposure, failing_logins, logins, privileges
from support.security.checks import Search, all_refused, decoy_found, nothing_told


@given("every {where} lets the application in by its right login")
def step_right_login_accepted(context: Context, where: str) -> None:
    """The door works, so that a refusal means something. `where` is endpoint or member."""
    logins.require_open_to_owner(context.world.cluster, where)


@when("logins with {wrong} are tried at every {where}")
def step_wrong_logins(context: Context, wrong: str, where: str) -> None:
    """For each known role, and for a session as for a copy of the whole database. `where` is endpoint or member."""
    context.world.scene["attempts"] = logins.attempts(context.world.cluster, where, wrong)


@when("logins without TLS are tried at every {where}")
def step_plain_logins(context: Context, where: str) -> None:
    """The application's own login, right in all else. `where` is endpoint or member."""
    context.world.scene["attempts"] = logins.plain_logins(context.world.cluster, where)


@when("the application trusts another authority alone, and logs in at every {where}")
def step_distrustful_logins(context: Context, where: str) -> None:
    """An authority that has signed nothing takes the place of the one that it trusts. `where` is endpoint or member."""
    context.world.scene["attempts"] = logins.distrustful_logins(context.world.cluster, where)


@then("it turns away from each of them, for the certificate")
@then("each of them is refused as not authenticated")
def step_logins_refused(context: Context) -> None:
    """By the code of the refusal; a connection that failed for another reason proves nothing."""
    all_refused(context.world.scene["attempts"]).require()


@then("every {where} asks for a proof by SCRAM")
def step_scram_is_asked_for(context: Context, where: str) -> None:
    """What the server wants to have before it lets a right login in. `where` is endpoint or member."""
    asked = logins.proofs_asked_for(context.world.cluster, where)
    as_tabled(alike(asked, {"asks for": "SCRAM"}), asked).require()


@then("every password of a role that can log in is stored as SCRAM")
def step_passwords_are_verifiers(context: Context) -> None:
    """The server could not tell a password if it wanted to, nor can who steals its files."""
    stored = privileges.stored_passwords(context.world.cluster.administration)
    as_tabled(alike(stored, {"stored as": "SCRAM"}), stored).require()


@then("the application's role can, by itself or through another role")
def step_powers(context: Context) -> None:
    """What the server's catalogue gives it; the table is compared whole."""
    expected = rows_of(context.table)
    as_tabled(expected, privileges.held(context.world.cluster.write, expected)).require()


@when("the application's role tries to")
def step_try_deeds(context: Context) -> None:
    """Each deed of the table on the primary, each in a transaction of its own that is rolled back."""
    context.world.scene["deeds"] = privileges.tried(context.world.cluster.write, rows_of(context.table))


@then("each deed is refused for want of privilege")
def step_deeds_refused(context: Context) -> None:
    """For that reason, and no other."""
    deeds = context.world.scene["deeds"]
    as_tabled(alike(deeds, {"outcome": "insufficient privilege"}), deeds).require()


@given("a decoy that every member has logged")
def step_decoy_logged(context: Context) -> None:
    """A failed login under that name, which PostgreSQL logs, on each member."""
    search = context.world.scene["search"] = search_of(context.world)
    search.planted = exposure.have_logged(context.world.cluster, search.decoy)


@given("a decoy among the arguments of a program on every host")
def step_decoy_argument(context: Context) -> None:
    """A program that does nothing, and is ended with the scenario."""
    world, search = context.world, search_of(context.world)
    world.scene["search"] = search
    search.planted = exposure.have_as_argument(world.cluster, search.decoy, until=world.cleanup)


@given("a decoy in the report")
def step_decoy_attached(context: Context) -> None:
    """An attachment of this scenario."""
    world, search = context.world, search_of(context.world)
    world.scene["search"] = search
    search.planted = exposure.have_in_report(world.run, world.evidence.attach, search.decoy)


@given("a decoy that error messages tell")
def step_decoy_told(context: Context) -> None:
    """A name that no role, database or host has, in the place of the right one."""
    search = context.world.scene["search"] = search_of(context.world)
    search.planted = 1


@when("the logs of all hosts are searched for every password")
def step_search_logs(context: Context) -> None:
    """All that every program has logged since the hosts were made."""
    world = context.world
    world.scene["search"].look_into(exposure.logs(world.cluster))


@when("the arguments of all programs on the hosts are searched for every password")
def step_search_arguments(context: Context) -> None:
    """As everybody on the host can list them."""
    world = context.world
    world.scene["search"].look_into(exposure.arguments(world.cluster))


@when("the files of the report are searched for every password")
def step_search_report(context: Context) -> None:
    """Results and attachments of this run so far, before anything is masked in them, its journal and histories."""
    world = context.world
    world.scene["search"].look_into(exposure.report(world.run))


@when("logins and requests fail in every known way, and what is said about it is searched for every password")
def step_search_messages(context: Context) -> None:
    """Right passwords in the wrong place; the whole trace of each failure is searched, down to its first cause."""
    world, search = context.world, context.world.scene["search"]
    search.look_into(failing_logins.messages(world.cluster, search.decoy))


@then("the decoy is found wherever it was planted")
def step_decoy_found(context: Context) -> None:
    """The search finds what is there; without that, finding no password proves nothing."""
    world, search = context.world, context.world.scene["search"]
    world.measure("places searched", search.places, "")
    decoy_found(search).require()


@then("no password is found")
def step_no_password_found(context: Context) -> None:
    """Neither as it is nor as it stands in JSON, in an address, or in what a browser sends."""
    world, search = context.world, context.world.scene["search"]
    world.measure("searched", search.size, "bytes")
    nothing_told(search).require()


def search_of(world: World) -> Search:
    """A search for every password of the cluster, and for a word that stands nowhere yet."""
    return Search(exposure.passwords(world.cluster), decoy=f"decoy-{world.namespace}")
