"""The words of each notice occur in the code that writes the messages, so a message cannot be reworded alone.

`accept prove` would find that too, but only after hours. Here every run of words of each notice is looked up in the
string literals of the code and in the features.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sabotage import broken_caches
from support.sabotage.catalogue import SABOTAGES

ROOT = Path(__file__).parents[2]
JOINED = re.compile(
    r": (?=still not true after)|: (?=expected )|, (?=observed )|(?<=expected )|; (?=allowed)|\b\d[\d.]*|\bpg\b"
)
"""Where one message is put together from two texts (a wait's subject, a table's cells), or holds a number or a name."""
SYNTAX = re.compile(r"\\d\+?|\\?\.\*|\.\*|\\[\[\]()]|\.")
COMPOSED = {
    "acknowledged writes lost": ("acknowledged writes", "lost:"),
    "a server that is not a member by the write endpoint": (
        "a server that is not a member",
        "by",
        "the write endpoint",
    ),
    ", in recovery": ("in recovery",),
    ", primary": ("primary",),
    "route was": ("route", "was"),
    "table graph_edges is missing": ("table", "graph_edges", "is missing"),
    "two rows of hyperbolic_embeddings can share namespace, id": ("two rows of", "hyperbolic_embeddings", "can share"),
    "embedding has no HNSW index for cosine distance": ("has no HNSW index for", "cosine", "distance ("),
    "instead of None": ("instead of",),
    "observed an MD5 hash": (", observed", "an MD5 hash"),
    "does not know pg9; Patroni knows pg3 as well": ("Patroni does not know", "Patroni knows", "as well"),
    "synchronous replication was declared": ("synchronous", "replication was declared"),
    "synchronous_mode is off,": ("synchronous_mode is off",),
    "failsafe mode was declared on": ("failsafe mode was declared",),
    "replication slots were declared on": ("replication slots were declared",),
    "unexpected on the nodes": ("unexpected", "on the nodes"),
    "missing on the nodes": ("missing", "on the nodes"),
    "at serializable": (" at ", "serializable"),
    "as maint": (" as ", "maint"),
    "an index of memory_entries is not valid:": ("an index of", "memory_entries", "is not valid:"),
    ": two members accepted writes": ("two members accepted writes at once:",),
}
"""Words that come together only at run time -> the texts in the code that they come from."""
OTHERS = {
    *("too many connections", "read-only transaction", "another writes", "query canceled"),
    *("could not access file", "password authentication failed", "no pg_hba", "conf entry", "permission denied"),
    *("work_mem", "statement_timeout"),
    *("unable to get local issuer certificate", "certificate has expired", "IP address mismatch"),
}
"""Messages and settings of PostgreSQL, messages of a trigger that a sabotage creates, and of OpenSSL."""


@pytest.fixture(scope="module")
def said() -> str:
    """All that the suite can say: a text on each line."""
    code = [
        file for part in ("support", "steps") for file in (ROOT / part).rglob("*.py") if "sabotage" not in file.parts
    ]
    texts = [text for file in code for text in literals(ast.parse(file.read_text()))]
    texts += [file.read_text() for file in (ROOT / "features").rglob("*.feature")]
    return "\n".join(" ".join(text.split()) for text in texts)


def literals(tree: ast.AST) -> Iterator[str]:
    """The strings of a module; of an f-string the text between what is filled in. Docstrings are left out."""
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def runs(words: str) -> Iterator[str]:
    """The runs of words in a regular expression."""
    for alternative in words.split("|"):
        for part in SYNTAX.split(alternative):
            yield from (run.strip() for run in JOINED.split(part) if len(run.strip()) > 3)


@pytest.mark.parametrize("name", SABOTAGES)
def test_the_words_of_every_notice_occur_in_the_code(name: str, said: str) -> None:
    for notice in SABOTAGES[name].noticed_by:
        for run in runs(notice.pattern):
            unsaid = [text for text in COMPOSED.get(run, (run,)) if text not in said and text not in OTHERS]
            assert not unsaid, f"{notice.id}: {notice.pattern}"


def test_every_method_of_a_broken_cache_overrides_one_of_the_cache() -> None:
    """If the cache renamed the method, the override would never be called and would break nothing."""
    own = [one for one in vars(broken_caches).values() if getattr(one, "__module__", "") == broken_caches.__name__]
    overridden = [(one, name) for one in own if isinstance(one, type) for name in vars(one) if name not in vars(object)]
    assert len(overridden) > 10
    for broken, name in overridden:
        if not name.startswith(("__", "_abc")):
            assert any(name in vars(base) for base in broken.__mro__[1:]), f"{broken.__name__}.{name}"
