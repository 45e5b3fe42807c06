"""What the steps about security hand to one another within a scenario."""

from collections.abc import Mapping
from typing import Annotated

from support.engine.tables import Table
from support.engine.world import Handover
from support.security.certificates import Certificates
from support.security.checks import Search
from support.target.members import NoAnswer


class SecurityHandover(Handover):
    """Each scenario fills one or two of these."""

    attempts: Annotated[Mapping[str, str], "When logins with no password are tried at every endpoint"]
    """What was tried without a right login -> the code that refused it, "" if it was accepted; see `all_refused`."""
    with_tls: Annotated[Mapping[str, str], "When the application logs in at every endpoint, with TLS and without"]
    """The application's login with TLS -> "" if it succeeded, or why it did not; see `all_over_tls`."""
    actions: Annotated[
        Mapping[str, Table | NoAnswer], "When on the server behind the write endpoint the application's role tries to"
    ]
    """Server -> action -> "outcome" -> what came of it; see `privileges.tried`."""
    certificates: Annotated[Certificates, "When the certificates in use are read"]
    in_files: Annotated[Certificates, "When the certificate of each member is compared with its file"]
    search: Annotated[Search, "Given a decoy in the report"]
