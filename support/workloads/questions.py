"""Clients that ask questions to which only one answer is right, so that an answer to another's shows."""

from support import sql
from support.workloads.client import Task
from support.workloads.runner import Script, Turn


def questions(times: int) -> Script:
    """Each client asks `times` questions. The key recorded is the question's number, the value what was answered."""

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        asked = f"{turn.client}/{turn.number}"
        return Task("ask", asked, None, lambda session: answer(session, asked))

    return script


def right_answer(question: str) -> str:
    """What the server is to answer to a question."""
    return question[::-1]


def answer(session: sql.Session, question: str) -> str:
    """What the server answers to a question: the question itself, turned round by the server."""
    return str(sql.value(session, "SELECT reverse(%s)", [question]))
