"""Ways to break the cluster on purpose, to see that the scenarios notice: `accept prove OW-01 --features .`

The cluster is repaired afterwards. More ways to do damage: docs/writing-scenarios.md in the accept project.
"""

from support.sabotage.damage import by_sql
from support.sabotage.sabotage import Sabotage, notices

SABOTAGES = (
    Sabotage(
        "role-limited-to-10-sessions",
        "the application's role is limited to 10 sessions",
        # Who must notice, and words of its message: a regular expression.
        notices({"OW-01": "sessions of the burst that were refused"}),
        by_sql(
            do="ALTER ROLE $app CONNECTION LIMIT 10",
            undo="ALTER ROLE $app CONNECTION LIMIT -1",
            in_effect="SELECT rolconnlimit = 10 FROM pg_roles WHERE rolname = '$app'",
        ),
    ),
)
