"""Patroni as it is, with a wall clock that can be set: `python -P patroni_clock.py SECONDS_FILE PROGRAM ARGUMENTS`.

The file says by how many seconds the clock is wrong now. A file beside it, with the suffix `.read`, says by how many it
was wrong when it was last read. PROGRAM is the Python program that starts Patroni. It runs on the hosts.
"""

import runpy
import sys
import time
from pathlib import Path


def main() -> None:
    """Set the clock that `time.time` reads, which is the wall clock of all of Patroni; then run the program."""
    shift, true = Path(sys.argv[1]), time.time
    read, last = shift.with_suffix(".read"), [""]

    def wrong() -> float:
        said = shift.read_text(encoding="utf-8")
        if said != last[0]:
            last[0] = said
            read.write_text(said, encoding="utf-8")
        return true() + float(said)

    time.time = wrong
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
