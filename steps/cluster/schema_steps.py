"""The application's own schema: that what it relies on is there, and is kept."""

from collections.abc import Callable, Mapping

from behave import then

from support.engine.finding import Finding
from support.engine.world import Context, World
from support.example_app.catalog import TableFacts, look_at
from support.example_app.profile import Profile
from support.example_app.profile_fit import missing, not_unique, without_vector_index


@then("every table and column of the application's schema is there")
def step_tables_there(context: Context) -> None:
    """By the schema profile and the server's catalog, as the application finds them through the write endpoint."""
    _require_none(context.world, missing, "tables and columns")


@then("every key of the application's schema is unique")
def step_keys_unique(context: Context) -> None:
    """Each key that the schema profile names has a valid unique constraint or index over all rows."""
    _require_none(context.world, not_unique, "keys")


@then("every vector column of the application's schema has an HNSW index for its metric")
def step_vectors_indexed(context: Context) -> None:
    """A valid index over all rows, with the operators of the metric that the schema profile names."""
    _require_none(context.world, without_vector_index, "vector indexes")


def _require_none(world: World, amiss: Callable[[Profile, Mapping[str, TableFacts]], list[str]], what: str) -> None:
    profile = world.profile
    found = amiss(profile, look_at(world.cluster.write, profile.tables))
    world.evidence.attach(f"{what} of schema profile {profile.name}", "\n".join(found) or "all as expected")
    Finding(not found, "; ".join(found) or f"the {what} of {len(profile.tables)} tables are as expected").require()
