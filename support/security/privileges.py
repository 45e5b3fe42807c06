"""What a role may do beyond its own data, by what the catalogue says and by trying."""

from collections.abc import Iterable, Mapping

from support import sql
from support.waiting import describe

ATTRIBUTES: Mapping[str, str] = {
    "be a superuser": "rolsuper",
    "create roles": "rolcreaterole",
    "create databases": "rolcreatedb",
    "copy the whole cluster": "rolreplication",
    "pass over row security": "rolbypassrls",
    "read files of the server": "rolname = 'pg_read_server_files'",
    "write files of the server": "rolname = 'pg_write_server_files'",
    "run programs on the server": "rolname = 'pg_execute_server_program'",
    "end the sessions of others": "rolname = 'pg_signal_backend'",
}
"""A power -> what gives it to a role, and to every role that is a member of it."""

# Each fails at the check of privileges, or else changes nothing: all are undone, and no such file can be there.
DEEDS: Mapping[str, str] = {
    "read a file of the server": "SELECT pg_read_file('PG_VERSION')",
    "list a directory of the server": "SELECT pg_ls_dir('.')",
    "load a file of the server into a table": "COPY metadata FROM '/nonexistent/accept'",
    "write a file on the server": "COPY metadata TO '/nonexistent/accept'",
    "run a program on the server": "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "create a role": "CREATE ROLE accept_deed",
    "become the first superuser": "SELECT set_config('role', rolname, true) FROM pg_roles WHERE oid = 10",
    "see the stored passwords": "SELECT rolpassword FROM pg_authid",
    "switch off triggers and constraints": "SET session_replication_role = replica",
    "reload the server's configuration": "SELECT pg_reload_conf()",
    "load code into the server": "CREATE FUNCTION accept_deed() RETURNS int LANGUAGE C AS '/nonexistent/accept'",
}
"""What only an administrator may do -> a statement that does it."""

_STORED = """
    SELECT rolname, CASE WHEN rolpassword LIKE 'SCRAM-SHA-256$%%' THEN 'SCRAM'
                         WHEN rolpassword LIKE 'md5%%' THEN 'an MD5 hash' ELSE 'something else' END
      FROM pg_authid WHERE rolcanlogin AND rolpassword IS NOT NULL
"""


def held(where: sql.Endpoint, powers: Iterable[str]) -> dict[str, dict[str, str]]:
    """Power -> "answer" -> "yes" or "no": whether the role that logs in there has it, by itself or by membership."""
    asked = list(powers)
    questions = ", ".join(f"bool_or({ATTRIBUTES[power]})" for power in asked)
    (answers,) = sql.rows(where, f"SELECT {questions} FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')")
    return {power: {"answer": "yes" if answer else "no"} for power, answer in zip(asked, answers, strict=True)}


def tried(where: sql.Endpoint, deeds: Iterable[str]) -> dict[str, dict[str, str]]:
    """Deed -> "outcome" -> "done", or what refused it, such as "insufficient privilege". Each is undone."""
    with sql.session(where, autocommit=False) as session:
        return {deed: {"outcome": _try(session, DEEDS[deed])} for deed in deeds}


def stored_passwords(administration: sql.Endpoint) -> dict[str, dict[str, str]]:
    """Every role that can log in with a password -> "stored as" -> "SCRAM", "an MD5 hash" or "something else"."""
    return {role: {"stored as": form} for role, form in sql.rows(administration, _STORED)}


def _try(session: sql.Session, statement: str) -> str:
    refused = sql.error_of(lambda: sql.execute(session, statement))
    session.rollback()
    return "done" if refused is None else sql.condition_of(refused) or describe(refused)
