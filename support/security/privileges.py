"""What a role may do beyond its own data: according to the catalogue, and by trying it."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from support import sql
from support.errors import ConnectFailed
from support.target.citus import expected_workers, node_leaders
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel
from support.waiting import describe

T = TypeVar("T")

BEHIND_ENDPOINT, OF_WORKERS = "the server behind the write endpoint", "the leader of each worker group"
SERVERS = (BEHIND_ENDPOINT, OF_WORKERS)
"""The servers that scenarios ask. Roles are replicated within a group; each group of Citus has its own."""

PRIVILEGES: Mapping[str, str] = {
    "be a superuser": "rolsuper",
    "create roles": "rolcreaterole",
    "create databases": "rolcreatedb",
    "replicate the server": "rolreplication",
    "bypass row-level security": "rolbypassrls",
    "read files of the server": "rolname = 'pg_read_server_files'",
    "write files of the server": "rolname = 'pg_write_server_files'",
    "run programs on the server": "rolname = 'pg_execute_server_program'",
    "end other roles' sessions": "rolname = 'pg_signal_backend'",
}
"""Privilege -> the condition on pg_roles for a role that grants it, to itself and to its members."""

# Each fails when privileges are checked, or changes nothing: all are rolled back, and no file of that name exists.
# None needs a table of the application, or a schema in which its role may create something: the lack of one would be
# told in place of the privilege. Citus opens the table of a COPY before PostgreSQL checks any privilege.
ACTIONS: Mapping[str, str] = {
    "read a file of the server": "SELECT pg_read_file('PG_VERSION')",
    "list a directory of the server": "SELECT pg_ls_dir('.')",
    "load a file of the server into a table": "COPY pg_class FROM '/nonexistent/accept'",
    "write a file on the server": "COPY (SELECT 1) TO '/nonexistent/accept'",
    "run a program on the server": "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "create a role": "CREATE ROLE accept_action",
    "become the bootstrap superuser": "SELECT set_config('role', rolname, true) FROM pg_roles WHERE oid = 10",
    "read the stored passwords": "SELECT rolpassword FROM pg_authid",
    "disable triggers and constraints": "SET LOCAL session_replication_role = replica",
    "reload the server's configuration": "SELECT pg_reload_conf()",
    # Functions in C are as powerful as the server itself. C cannot be run at once: who may use it is told so.
    "load code into the server": "DO LANGUAGE c ''",
}
"""What only an administrator may do -> a statement that tries it."""

_ALONE = "SET LOCAL citus.enable_ddl_propagation = off"
"""Any role may say so. PostgreSQL takes it without Citus, too."""
_STORED = """
    SELECT rolname, CASE WHEN rolpassword LIKE 'SCRAM-SHA-256$%%' THEN 'SCRAM'
                         WHEN rolpassword LIKE 'md5%%' THEN 'an MD5 hash' ELSE 'something else' END
      FROM pg_authid WHERE rolcanlogin AND rolpassword IS NOT NULL
"""


def on_each(
    cluster: Cluster, servers: str, login: sql.Endpoint, question: Callable[[sql.Endpoint], T]
) -> dict[str, T | NoAnswer]:
    """Server -> what `question` returns for the login there; `servers` is one of SERVERS.

    `login` is the write endpoint, as the application or the administrator. A worker group that should be there and
    cannot be asked is part of the result.
    """
    if servers == BEHIND_ENDPOINT:
        return {BEHIND_ENDPOINT: question(login)}
    leaders = node_leaders(cluster)

    def answer(node: str) -> T:
        if node not in leaders:
            raise ConnectFailed(f"Citus has no node for {node}")
        return question(leaders[node].as_user(login.user, login.password))

    return ask_in_parallel(expected_workers(cluster), answer)


def granted(where: sql.Endpoint, privileges: Iterable[str]) -> dict[str, dict[str, str]]:
    """Privilege -> "granted" -> "yes" or "no": whether the role of the endpoint has it, by itself or by membership."""
    asked = list(privileges)
    questions = ", ".join(f"bool_or({PRIVILEGES[name]})" for name in asked)
    (answers,) = sql.rows(where, f"SELECT {questions} FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')")
    return {name: {"granted": "yes" if answer else "no"} for name, answer in zip(asked, answers, strict=True)}


def tried(where: sql.Endpoint, actions: Iterable[str]) -> dict[str, dict[str, str]]:
    """Action -> "outcome" -> "done", or the error that refused it: "insufficient privilege". Each is rolled back.

    On a worker of Citus it is tried on that server alone: what is passed on to the other nodes is refused by them.
    """
    with sql.session(where, autocommit=False) as session:
        return {action: {"outcome": _try(session, ACTIONS[action])} for action in actions}


def stored_passwords(administration: sql.Endpoint) -> dict[str, dict[str, str]]:
    """Every role that can log in with a password -> "stored as" -> "SCRAM", "an MD5 hash" or "something else"."""
    return {role: {"stored as": form} for role, form in sql.rows(administration, _STORED)}


def _try(session: sql.Session, statement: str) -> str:
    sql.execute(session, _ALONE)
    refused = sql.error_of(lambda: sql.execute(session, statement))
    session.rollback()
    if refused is None:
        return "done"
    if "pg_class" in statement and "pg_class" in str(refused):  # the file was not refused, but then the table was
        return f"not refused: {describe(refused)}"
    return sql.condition_of(refused) or describe(refused)
