"""Names in Redis for entries and for answers."""

from dataclasses import dataclass

from support.application.cache.codec import encode
from support.application.cache.interface import Question


@dataclass(frozen=True)
class Keys:
    """Two keys are the same only if all that they are made of is: the encoding of the parts is one to one."""

    prefix: str

    def entry(self, namespace: str, key: str) -> str:
        """Where an entry's value is cached."""
        return self._name("entry", namespace, key)

    def answer(self, question: Question) -> str:
        """Where the answer to a question is cached."""
        return self._name("answer", question.table, question.namespace, list(question.parameters))

    def _name(self, *parts: object) -> str:
        return self.prefix + encode(list(parts)).decode("ascii")
