"""PostgreSQL's setting synchronous_standby_names: for which standbys commits wait, and for how many of them.

Source: https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES
"""

import re
from dataclasses import dataclass

_COUNTED = re.compile(r"\s*(?:(?:ANY|FIRST)\s+)?(\d+)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,()"]+)')


@dataclass(frozen=True)
class StandbyNames:
    """The parsed setting."""

    setting: str
    count: int
    """How many standbys commits wait for; 0 if for none."""
    names: frozenset[str]
    """Their names, in lower case; "*" is any."""

    @classmethod
    def parse(cls, setting: str) -> "StandbyNames":
        """Parse the setting's value."""
        counted = _COUNTED.fullmatch(setting)
        listed = counted[2] if counted else setting
        names = frozenset((quoted.replace('""', '"') or bare).lower() for quoted, bare in _NAME.findall(listed))
        return cls(setting.strip(), (int(counted[1]) if counted else 1) if names else 0, names)

    def has(self, name: str) -> bool:
        """Whether commits may wait for a standby of that name."""
        return "*" in self.names or self.named(name)

    def named(self, name: str) -> bool:
        """Whether the name itself is listed. PostgreSQL ignores case."""
        return name.lower() in self.names

    def __str__(self) -> str:
        return self.setting

    def __bool__(self) -> bool:
        return self.count > 0
