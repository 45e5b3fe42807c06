"""What a program prints, in portions as it arrives: of any length, in little memory."""

import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

_PORTION = 1 << 20  # bytes


def streamed(argv: Sequence[str], given: bytes, within: float, errors: IO[bytes] | int) -> Iterator[bytes]:
    """What the program prints, given this over standard input; `errors` is a file for its errors, or STDOUT.

    `within` is how many seconds each portion may take. Raises OSError if the program cannot be run, TimeoutExpired if
    the next portion takes too long, and CalledProcessError, after all portions, if the program failed.
    """
    with tempfile.TemporaryFile() as asked:
        asked.write(given)
        asked.seek(0)
        program = subprocess.Popen(
            argv,
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for us
        )
        assert program.stdout is not None
        with program.stdout as printed:
            arriving = select.poll()
            arriving.register(printed, select.POLLIN)
            try:
                while True:
                    if not arriving.poll(1000 * within):
                        raise subprocess.TimeoutExpired(argv, within)
                    if not (portion := os.read(printed.fileno(), _PORTION)):
                        break
                    yield portion
                status = program.wait(within)
            finally:
                program.kill()
                program.wait()
        if status:
            raise subprocess.CalledProcessError(status, argv)
