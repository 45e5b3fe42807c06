"""Where errors end: each becomes one clear line and an exit status."""

import signal
import time
import traceback
from collections.abc import Callable

from support.cli.console import complain
from support.cli.places import STATE
from support.errors import AcceptError

INTERRUPTED = 128 + signal.SIGINT
UNEXPECTED = 3


def guarded(action: Callable[[], int]) -> int:
    """The exit status of an action, or of the error that ended it.

    What we foresaw is told in its own words; of anything else the traceback goes to a file that is named.
    """
    try:
        return action()
    except AcceptError as error:
        complain(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        complain("stopped")
        return INTERRUPTED
    except Exception as error:
        complain(f"an error of the suite itself: {type(error).__name__}: {error}; the traceback is in {_kept(error)}")
        return UNEXPECTED


def _kept(error: Exception) -> str:
    STATE.mkdir(exist_ok=True)
    log = STATE / f"crash-{time.strftime('%Y%m%d-%H%M%S')}.log"
    log.touch(mode=0o600)
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return str(log)
