"""What the steps about security hand to one another within a scenario."""

from collections.abc import Mapping
from typing import Annotated

from support.engine.world import Handover
from support.security.checks import Search


class SecurityHandover(Handover):
    """Each scenario fills one of these three."""

    attempts: Annotated[Mapping[str, str], "When logins with no password are tried at every endpoint"]
    """What was tried without a right login -> the code that refused it, "" if it was accepted; see `all_refused`."""
    actions: Annotated[Mapping[str, Mapping[str, str]], "When the application's role tries to"]
    """Action -> "outcome" -> what came of it; see `privileges.tried`."""
    search: Annotated[Search, "Given a decoy in the report"]
