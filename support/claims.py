"""Work that several processes share out among them, without a word between them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claims:
    """Each name goes to the first process that asks for it. `directory` is made with the first claim."""

    directory: Path

    def take(self, name: str) -> bool:
        """Whether it is ours: the kernel lets one process alone make a folder."""
        try:
            self._folder(name).mkdir(parents=True)
        except FileExistsError:
            return False
        return True

    def last(self, of: int) -> bool:
        """Whether the process that asks is the last of so many that do; each asks once."""
        return next(number for number in range(1, of + 1) if self.take(f"over-{number}")) == of

    def taken(self, name: str) -> bool:
        """Whether anybody has it."""
        return self._folder(name).exists()

    def _folder(self, name: str) -> Path:
        return self.directory / name.replace("/", "-")
