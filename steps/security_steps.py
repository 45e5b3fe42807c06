"""Who gets in, what the application's role may do, and whether a password can be read anywhere."""

from behave import given, then, when

from support.checkers.refusals import all_refused
from support.checkers.table import alike, as_tabled, rows_of
from support.cluster import powers, strangers


@given("every {where} lets the application in by its right login")
def step_right_login_accepted(context, where):
    """The door works, so that a refusal means something. `where` is endpoint or member."""
    strangers.require_open_to_owner(context.world.cluster, where)


@when("logins with {wrong} are tried at every {where}")
def step_wrong_logins(context, wrong, where):
    """For each known role, and for a session as for a copy of the whole database. `where` is endpoint or member."""
    context.world.scene["attempts"] = strangers.attempts(context.world.cluster, where, wrong)


@then("each of them is refused as not authenticated")
def step_logins_refused(context):
    """By the code of the refusal; a connection that failed for another reason proves nothing."""
    all_refused(context.world.scene["attempts"]).require()


@then("every {where} asks for a proof by SCRAM")
def step_scram_is_asked_for(context, where):
    """What the server wants to have before it lets a right login in. `where` is endpoint or member."""
    asked = strangers.proofs_asked_for(context.world.cluster, where)
    as_tabled(alike(asked, {"asks for": "SCRAM"}), asked).require()


@then("every password of a role that can log in is stored as SCRAM")
def step_passwords_are_verifiers(context):
    """The server could not tell a password if it wanted to, nor can who steals its files."""
    stored = powers.stored_passwords(context.world.cluster.administration)
    as_tabled(alike(stored, {"stored as": "SCRAM"}), stored).require()


@then("the application's role can, by itself or through another role")
def step_powers(context):
    """What the server's catalogue gives it; the table is compared whole."""
    expected = rows_of(context.table)
    as_tabled(expected, powers.held(context.world.cluster.write, expected)).require()


@when("the application's role tries to")
def step_try_deeds(context):
    """Each deed of the table on the primary, each in a transaction of its own that is rolled back."""
    context.world.scene["deeds"] = powers.tried(context.world.cluster.write, rows_of(context.table))


@then("each deed is refused for want of privilege")
def step_deeds_refused(context):
    """For that reason, and no other."""
    deeds = context.world.scene["deeds"]
    as_tabled(alike(deeds, {"outcome": "insufficient privilege"}), deeds).require()
