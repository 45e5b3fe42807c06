"""Which packages bring Citus."""

import pytest

from support.embedded.citus_package import best

VECTORS = ["postgresql-16-pgvector", "postgresql-17-pgvector", "postgresql-15-pgvector"]


@pytest.mark.parametrize(
    ("known", "citus"),
    [
        (["postgresql-16-citus-12.1", "postgresql-17-citus-13.0"], "postgresql-17-citus-13.0"),
        (
            ["postgresql-17-citus-13.0", "postgresql-17-citus-13.10", "postgresql-17-citus-13.2"],
            "postgresql-17-citus-13.10",
        ),
        (["postgresql-16-citus"], "postgresql-16-citus"),
    ],
)
def test_the_newest_citus_of_the_newest_postgresql_is_taken(known: list[str], citus: str) -> None:
    major = citus.split("-")[1]
    assert best([*known, *VECTORS]) == (f"postgresql-{major}", f"postgresql-{major}-pgvector", citus)


@pytest.mark.parametrize(
    "known",
    [
        [],
        VECTORS,
        ["postgresql-15-citus-12.1", *VECTORS],
        ["postgresql-16-citus-12.1-dbgsym", *VECTORS],
        ["postgresql-18-citus-14.0", *VECTORS],
    ],
)
def test_there_is_none_without_vectors_or_for_an_old_postgresql(known: list[str]) -> None:
    assert best(known) == ()
