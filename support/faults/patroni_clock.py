"""Patroni as it is, with a clock that can be set: `python -P patroni_clock.py SECONDS_FILE FILE`.

The first file says by how many seconds the clock is wrong now. A file beside it, with the suffix `.read`, says by how
many it was wrong when it was last read. It runs on the hosts, as a program of its own.
"""

import sys
import time
from pathlib import Path


def main() -> None:
    """Set the clock that `time.time` reads, which is the wall clock of all of Patroni; then start it as usual."""
    shift, true = Path(sys.argv.pop(1)), time.time
    read = shift.with_suffix(".read")

    def wrong() -> float:
        said = shift.read_text(encoding="utf-8")
        if not read.exists() or read.read_text(encoding="utf-8") != said:
            read.write_text(said, encoding="utf-8")
        return true() + float(said or 0)  # empty for a moment while it is written

    time.time = wrong
    from patroni.__main__ import main as patroni  # only now: some of its modules keep the function

    sys.exit(patroni())


if __name__ == "__main__":
    main()
