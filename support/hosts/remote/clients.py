"""The vendors' clients that run here: ssh, docker, podman, or any command of the user's."""

import shlex
import subprocess
from collections.abc import Sequence

from support.errors import ProcessFailed

ANSWER_WITHIN = 20.0
"""Seconds for a command; a line that breaks is noticed by ssh itself within 6."""
FORMS = (
    "ssh://[user@]host[:port], docker://container, docker://project/service[/2], podman://container, local:, or a "
    "command with {} in it"
)


class HostUnreached(ProcessFailed):
    """A host gave no answer: its client failed, or the line broke."""


class HostRefused(ProcessFailed):
    """A host answered that it does not do that, and why. Nothing was done."""


class HostFailed(HostRefused):
    """A host answered that a command of the script failed there: some of it may have been done."""


def asked(argv: Sequence[str]) -> str:
    """What a client answers. Raises HostUnreached."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=ANSWER_WITHIN, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise HostUnreached(f"{shlex.join(argv[:2])} {argv[-1]}: {' '.join(error.stderr.split())}") from None
    except subprocess.TimeoutExpired:
        raise HostUnreached(f"{argv[0]} gave no answer within {ANSWER_WITHIN:g} s") from None
    except OSError as error:
        raise HostUnreached(f"{argv[0]} cannot be run here: {error.strerror}") from None
