"""Sabotages of the application: its pool, its logins, its transactions, its filters. They are in `application`."""

from support.sabotage.application import PARTS
from support.sabotage.damage import in_own_file, nothing
from support.sabotage.sabotage import Sabotage, notices, of_sharded


def broken(part: str, description: str, patterns: dict[str, str]) -> Sabotage:
    """The scenarios run with that part of the application broken."""
    return Sabotage(
        f"application-{part.replace('_', '-')}",
        description,
        notices(patterns),
        nothing,
        application=PARTS[part].__name__,
    )


SABOTAGES = (
    broken("pool_lends_the_dead", "the pool hands out dead sessions", {"CL-04 pooled": "what reached the user"}),
    broken(
        "reaches_another_database",
        "the application's sessions are in another database of the same server",
        {"CL-01 application's database": "the database that the session is in"},
    ),
    broken("logins_wait_for_ever", "a login has no timeout", {"ER-03": "the login failed after"}),
    broken(
        "commits_by_itself",
        "every statement is committed at once",
        {
            "TX-01 seen by no other session": "uncommitted",
            "TX-01 seen by no session": "what is found of the write",
            "IS-01 Transactions at read committed see no dirty, aborted or intermediate data": r"\((G0|G1.)\)",
            "IS-02 read skew": r"\(G0\)|\(G1.\)|G-single",
            "IS-02 Serializable transactions show no write skew": r"\(G0\)|\(G1.\)|G-single",
        },
    ),
    broken(
        "commits_what_is_rolled_back",
        "a rollback commits",
        {
            "TX-01 seen by no session": "what is found of the write",
            "TX-01 reaches no member": "what each member has",
            "CD-04": "not what they were",
            "IS-01": r"aborted read \(G1a\): \d+ seen",
            "IS-02": r"aborted read \(G1a\): \d+ seen",
        },
    ),
    broken(
        "ignores_the_isolation_level",
        "transactions are at read committed, whatever level they ask for",
        {
            "IS-02 read skew": "lost update.* at repeatable read",
            "IS-02 Serializable transactions show no write skew": "write skew.* at serializable",
            "IS-02 Serializable transactions stay serializable": "write skew.* at serializable",
        },
    ),
    broken(
        "forgets_settings_of_sessions",
        "what is set for a session is lost, as behind a pooler in transaction mode",
        {"IS-02 default of their session": "write skew.* at serializable"},
    ),
    Sabotage(
        "sessions-wander",
        "each session reads from two replicas in turn, and one of them is 0.3 s behind",
        notices({"IS-03 older version": "went back in time"}),
        in_own_file("recovery_min_apply_delay", "300ms", "300"),
        application=PARTS["reads_now_here_now_there"].__name__,
    ),
    of_sharded(
        "sharded-isolation-level-ignored",
        "transactions over all shards are at read committed, whatever level they ask for",
        {
            "IS-02 lose no update": "lost update.* at repeatable read",
            "IS-02 within a worker": "lost update.* at serializable",
        },
        nothing,
        application=PARTS["ignores_the_isolation_level"].__name__,
    ),
    of_sharded(
        "sharded-rollback-commits",
        "a rollback over several workers commits",
        {
            "IS-01 over all shards": r"aborted read \(G1a\): \d+ seen",
            "IS-02 over all shards": r"aborted read \(G1a\): \d+ seen",
        },
        nothing,
        application=PARTS["commits_what_is_rolled_back"].__name__,
    ),
    broken(
        "ignores_a_full_disk",
        "one in two writes that the server refused for lack of disk space counts as done",
        {"FO-04 refuses writes": "acknowledged writes lost"},
    ),
    broken(
        "tells_its_password",
        "the error message of a login contains the connection string",
        {"SE-05 error message": "the application's password"},
    ),
    broken(
        "reports_its_password",
        "the connection string of every login is attached to the report",
        {"SE-05 gathered for the report": "the application's password"},
    ),
    broken(
        "forgets_the_namespace",
        "reads and searches ignore the namespace",
        {"DA-04 Reading a key": "never stored", "DA-04 search": "found entries of another namespace"},
    ),
    broken(
        "counts_twice_or_not_at_all",
        "one operation is applied twice, and another one not at all",
        {"GD-02 connection was cut": "acknowledged but not applied.*claimed by no operation"},
    ),
)
