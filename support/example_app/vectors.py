"""Vector extensions: one dialect object for each, so that no scenario depends on which one is installed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy

from support import sql
from support.errors import NotAvailable

_CLASSES = {"cosine": "cosine", "euclidean": "l2", "inner product": "ip"}


def operator_class(type_: str, metric: str) -> str:
    """The operator class of an HNSW index on a type of vectors for a metric: cosine, euclidean or inner product."""
    return f"{type_}_{_CLASSES[metric]}_ops"


@dataclass(frozen=True)
class VectorDialect:
    """How to speak to one vector extension."""

    extension: str
    type: str
    """The name of its type; `<type>(384)` is a column of 384 dimensions."""
    cosine: str = "<=>"
    """The operator of cosine distance."""
    euclidean: str = "<->"
    """The operator of Euclidean distance."""
    hnsw_options: str = ""
    """What follows the column list when an HNSW index is created."""
    search_settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that a careful application makes for good searches by the HNSW index."""
    role_settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that a careful administrator makes for the application's role, so that no session can lack them."""
    goes_on_by: str = ""
    """The setting with which a search by the index goes on until it has found enough entries of its namespace; empty if
    the extension has no such setting."""

    def operator_class(self, metric: str) -> str:
        """The operator class of an HNSW index for a metric: cosine, euclidean or inner product."""
        return operator_class(self.type, metric)

    @staticmethod
    def literal(vector: Sequence[float]) -> str:
        """The text form that both extensions accept; float4 needs 9 significant digits to survive the round trip."""
        return "[" + ",".join(f"{component:.9g}" for component in vector) + "]"

    @staticmethod
    def parsed(text: str) -> tuple[float, ...]:
        """The components of a vector's text form, each a float4 exactly."""
        components = numpy.array([one for one in text.strip("[]").split(",") if one], dtype=numpy.float32)
        return tuple(components.tolist())


PGVECTOR = VectorDialect(
    extension="vector",
    type="vector",
    hnsw_options="WITH (m = 16, ef_construction = 64)",
    # A search examines ef_search candidates, and drops those of other namespaces afterwards; with iterative_scan
    # (pgvector 0.8) it goes on until it has as many as were asked for, or has come to the limit of entries or memory.
    # Both limits are set as high as possible: what is promised holds for a table with many entries of others, too.
    search_settings={
        "hnsw.ef_search": "200",
        "hnsw.iterative_scan": "strict_order",
        "hnsw.max_scan_tuples": "2147483647",
        "hnsw.scan_mem_multiplier": "1000",
    },
    role_settings={"hnsw.ef_search": "200", "hnsw.iterative_scan": "strict_order"},
    goes_on_by="hnsw.iterative_scan",
)
# RuVector ignores WITH options. A search examines at most hnsw_ef_search candidates (100 unless set higher), and drops
# those of other namespaces afterwards; it does not go on when too few are left. 1000 is the maximum.
RUVECTOR = VectorDialect(
    extension="ruvector",
    type="ruvector",
    search_settings={"ruvector.hnsw_ef_search": "1000"},
)
DIALECTS = {one.type: one for one in (PGVECTOR, RUVECTOR)}
"""By the name of the type."""
VECTOR_TYPES = (*DIALECTS, "halfvec", "sparsevec")
"""Every vector type, including those of pgvector that no scenario stores vectors in."""


def installed_dialect(where: sql.Endpoint | sql.Session) -> VectorDialect | None:
    """The dialect of the vector extension that is installed in that database; None if there is none."""
    installed = {name for (name,) in sql.rows(where, "SELECT extname FROM pg_extension")}
    return next((dialect for dialect in DIALECTS.values() if dialect.extension in installed), None)


def dialect_of(where: sql.Endpoint | sql.Session) -> VectorDialect:
    """The dialect of the vector extension that is installed in that database. Raises NotAvailable if there is none."""
    if dialect := installed_dialect(where):
        return dialect
    names = [dialect.extension for dialect in DIALECTS.values()]
    at_hand = {name for (name,) in sql.rows(where, "SELECT name FROM pg_available_extensions")}
    why = f"no vector extension ({' or '.join(names)}) is installed in the database"
    if offered := next((name for name in names if name in at_hand), ""):
        raise NotAvailable(f"{why}; CREATE EXTENSION {offered} installs it")
    raise NotAvailable(f"{why}, and its server has the files of none; install pgvector or RuVector on every member")


@dataclass(frozen=True)
class Extension:
    """A vector extension on one server."""

    name: str
    installed: str
    at_hand: str | None
    """The version of its files on that server's host; None when they are not there."""


# The installed version is in the catalog, which replicas copy; the available one in files on the server's host.
_EXTENSION = """
    SELECT extname, extversion, default_version
      FROM pg_extension LEFT JOIN pg_available_extensions ON name = extname
     WHERE extname = ANY (%s)
"""


def vector_extension(where: sql.Endpoint | sql.Session) -> Extension | None:
    """The vector extension of that server; None if there is none."""
    found = sql.rows(where, _EXTENSION, [[dialect.extension for dialect in DIALECTS.values()]])
    return Extension(*found[0]) if found else None
