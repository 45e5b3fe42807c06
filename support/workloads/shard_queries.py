"""One client that asks over sharded tables, again and again over one session; each answer is compared."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from support import sql
from support.history import History
from support.workloads.recording import record

JOIN, OVER_ALL = "join", "query"
_WARM_UP = 10  # queries that are not counted: the first ones open a connection to each shard


@dataclass(frozen=True)
class Question:
    """A query and its right answer, in any order of the rows."""

    query: str
    values: dict[str, str]
    right: Sequence[sql.Row]


def ask_repeatedly(endpoint: sql.Endpoint, action: str, questions: Sequence[Question], times: int) -> History:
    """The questions in turn; the value of each operation is whether the answer was the right one."""
    history = History()
    with sql.session(endpoint) as session:
        for number in range(-_WARM_UP, times):
            into = history if number >= 0 else History()
            record(into, action, str(number), partial(_is_right, session, questions[number % len(questions)]))
    return history


def _is_right(session: sql.Session, question: Question) -> bool:
    return Counter(sql.rows(session, question.query, question.values)) == Counter(question.right)
