"""The application's own schema: that what it relies on is there, and is kept."""

from collections.abc import Callable, Mapping

from behave import then

from support.cluster.checks import as_the_schema_says
from support.engine.world import Context, World
from support.example_app.catalog import TableFacts, look_at
from support.example_app.profile import Expected, Profile
from support.example_app.profile_fit import missing, not_unique, unlogged, without_vector_index


@then("every table and column of the application's schema is there")
def step_tables_there(context: Context) -> None:
    """By the schema profile and the server's catalog, as the application finds them through the write endpoint."""
    _require_none(context.world, missing, "tables and columns", lambda table: True)


@then("every key of the application's schema is unique")
def step_keys_unique(context: Context) -> None:
    """Each key that the schema profile names has a valid unique constraint or index over all rows."""
    _require_none(context.world, not_unique, "keys", lambda table: bool(table.unique))


@then("no table of the application's schema is unlogged")
def step_tables_logged(context: Context) -> None:
    """Nor any of its partitions, by the catalog of the server behind the write endpoint.

    Tables whose rows may be lost by the schema profile (`unlogged`) are left out.
    """
    _require_none(context.world, unlogged, "persistence settings", lambda table: not table.unlogged)


@then("every vector column of the application's schema has an HNSW index for its metric")
def step_vectors_indexed(context: Context) -> None:
    """A valid index over all rows, with the operators of the metric that the schema profile names."""
    _require_none(context.world, without_vector_index, "vector indexes", lambda table: bool(table.vectors))


def _require_none(
    world: World,
    amiss: Callable[[Profile, Mapping[str, TableFacts]], list[str]],
    what: str,
    concerned: Callable[[Expected], bool],
) -> None:
    """`concerned` are the tables of which the profile expects anything of the kind."""
    profile = world.profile
    facts = look_at(world.cluster.write, profile.tables)
    found = amiss(profile, facts)
    meant = {name for name, one in profile.tables.items() if concerned(one) and (name in facts or not one.optional)}
    world.evidence.attach(f"{what} of schema profile {profile.name}", "\n".join(found) or "nothing is amiss")
    as_the_schema_says(what, meant, facts.keys(), found).require()
