"""Sabotages of authentication, privileges and secrets."""

from collections.abc import Callable, Mapping, Sequence

import requests
import yaml

from support import sql
from support.sabotage.damage import Damage, MakeDamage, by_shared_configuration, by_sql, confirmed_by_every_member
from support.sabotage.own_hosts import cache_host, host_of, proxy_host
from support.sabotage.programs import rewritten
from support.sabotage.sabotage import Sabotage, notices
from support.target import http
from support.target.cluster import Cluster
from support.target.patroni_commands import reload_configuration
from support.timeouts import REST
from support.waiting import NotYet

_RULES = "SELECT bool_or(auth_method = '{}') FROM pg_hba_file_rules"
_REPLICATION = "host replication replicator 0.0.0.0/0 scram-sha-256"
_LEAKS_FOR = "600"


def access(method: str, database: str = "all", role: str = "all") -> MakeDamage:
    """Every member accepts logins to these databases, as these roles, by that method."""
    rules = [f"host {database} {role} 0.0.0.0/0 {method}", "host all all 0.0.0.0/0 scram-sha-256", _REPLICATION]
    return confirmed_by_every_member(by_shared_configuration({"postgresql": {"pg_hba": rules}}), _RULES.format(method))


def _one_member_trusts(cluster: Cluster) -> Damage:
    host = host_of(cluster, "a replica")
    file, there = host.directory / "data" / "pg_hba.conf", cluster.administration_of(host.name)
    before = file.read_text()

    def write(contents: str) -> None:
        file.write_text(contents)
        sql.execute(there, "SELECT pg_reload_conf()")

    def check() -> None:
        if sql.value(there, _RULES.format("trust")) is not True:
            raise NotYet(f"{host.name} still asks for passwords")

    return Damage(
        f"{host.name} accepts logins without a password",
        lambda: write(f"host all all 0.0.0.0/0 trust\n{before}"),
        check,
        lambda: write(before),
    )


def leaking(argv: Callable[[str], Sequence[str]], seen_in_log: bool) -> MakeDamage:
    """A program on the proxy's host that leaks the application's password."""

    def make(cluster: Cluster) -> Damage:
        host, password = proxy_host(cluster), cluster.topology.application.password
        log = host.directory / "leak.log"

        def leak() -> None:
            host.add("leak", argv(password), {"LEAK": password} if seen_in_log else None).start()

        def check() -> None:
            if host.processes["leak"].pid is None or (seen_in_log and password not in log.read_text()):
                raise NotYet("the password is not visible yet")

        def stop() -> None:
            if "leak" in host.processes:
                host.add("leak", ["true"]).kill()
            log.unlink(missing_ok=True)

        return Damage("a password leaks", leak, check, stop)

    return make


def power(grant: str, revoke: str, sign: str) -> MakeDamage:
    """The application's role may do more than it should."""
    return by_sql(grant, revoke, sign)


_ATTRIBUTE = "SELECT {} FROM pg_roles WHERE rolname = '$app'"


def _patroni_asks_for_no_login(cluster: Cluster) -> Damage:
    files = {name: cluster.sandbox.hosts[name].directory / "patroni.yml" for name in cluster.members}
    before = {name: file.read_text() for name, file in files.items()}

    def without_login(contents: str) -> str:
        configuration = yaml.safe_load(contents)
        del configuration["restapi"]["authentication"]
        return yaml.safe_dump(configuration)

    def write(contents: Mapping[str, str]) -> None:
        for name, file in files.items():
            file.write_text(contents[name])
            reload_configuration(cluster, name)

    def check() -> None:
        for name in files:
            answer = http.send("PATCH", f"{cluster.patroni(name).url}/config", json={}, timeout=REST)
            if answer.status_code == requests.codes.unauthorized:
                raise NotYet(f"{name} answers with {answer.status_code}")

    return Damage(
        "Patroni asks for no login",
        lambda: write({name: without_login(contents) for name, contents in before.items()}),
        check,
        lambda: write(before),
    )


SABOTAGES = (
    Sabotage(
        "patroni-asks-for-no-login",
        "anyone who can reach a member can trigger a switchover",
        notices({"SE-04 Patroni": "were accepted"}),
        _patroni_asks_for_no_login,
    ),
    Sabotage(
        "redis-asks-for-no-password",
        "anyone who can reach Redis can empty it",
        notices({"SE-04 Redis": "were accepted"}),
        rewritten(cache_host, "redis.conf", {"requirepass ": "protected-mode no\n# "}),
    ),
    Sabotage(
        "passwords-not-asked-for",
        "every member accepts logins without a password",
        notices(
            {
                "SE-01 Every endpoint": "were accepted",
                "SE-01 Every member": "were accepted",
                "SE-02 Every endpoint": "asks for: expected SCRAM",
                "SE-02 Every member": "asks for: expected SCRAM",
            }
        ),
        access("trust"),
    ),
    Sabotage(
        "one-database-trusts",
        "every member accepts logins without a password to the database that every server has",
        notices(
            {
                "SE-01 Every endpoint": "were accepted.*/postgres",
                "SE-01 Every member": "were accepted.*/postgres",
                "SE-02 Every endpoint": "/postgres.*asks for: expected SCRAM",
                "SE-02 Every member": "/postgres.*asks for: expected SCRAM",
            }
        ),
        access("trust", "postgres"),
    ),
    Sabotage(
        "replication-role-trusts",
        "every member lets the role of the replicas in without a password, and so hands out a copy of everything",
        notices(
            {
                "SE-01 Every endpoint refuses a login with no password": r"were accepted.*replicator\) for replication",
                "SE-01 Every member refuses a login with no password": r"were accepted.*replicator\) for replication",
                "SE-02 Every endpoint": r"replicator\) for replication.*asks for: expected SCRAM",
                "SE-02 Every member": r"replicator\) for replication.*asks for: expected SCRAM",
            }
        ),
        access("trust", "replication", "replicator"),
    ),
    Sabotage(
        "one-member-trusts",
        "one replica accepts logins without a password",
        notices({"SE-01 Every member": "were accepted", "SE-02 Every member": "asks for: expected SCRAM"}),
        _one_member_trusts,
    ),
    Sabotage(
        "passwords-in-the-clear",
        "passwords cross the network in plain text",
        notices({"SE-02 Every endpoint": "asks for: expected SCRAM"}),
        access("password"),
    ),
    Sabotage(
        "password-stored-as-md5",
        "a role's password is stored as an MD5 hash",
        notices({"SE-02 stored password": "expected SCRAM, observed an MD5 hash"}),
        by_sql(
            "SET password_encryption = 'md5';;CREATE ROLE careless LOGIN PASSWORD 'careless'",
            "DROP ROLE IF EXISTS careless",
            "SELECT rolpassword LIKE 'md5%' FROM pg_authid WHERE rolname = 'careless'",
        ),
    ),
    Sabotage(
        "application-is-superuser",
        "the application's role is a superuser",
        notices({"SE-02 no privileges": "superuser", "SE-02 is refused": "expected insufficient privilege"}),
        power("ALTER ROLE $app SUPERUSER", "ALTER ROLE $app NOSUPERUSER", _ATTRIBUTE.format("rolsuper")),
    ),
    Sabotage(
        "application-reads-files",
        "the application's role can read the server's files through another role",
        notices({"SE-02 no privileges": "read files", "SE-02 is refused": "expected insufficient privilege"}),
        power(
            "GRANT pg_read_server_files TO $app",
            "REVOKE pg_read_server_files FROM $app",
            "SELECT pg_has_role('$app', 'pg_read_server_files', 'MEMBER')",
        ),
    ),
    Sabotage(
        "password-in-a-log",
        "a program writes the application's password into its log",
        notices({"SE-05 logs": "the application's password"}),
        leaking(lambda password: ["sh", "-c", f'echo "using $LEAK"; exec sleep {_LEAKS_FOR}'], True),
    ),
    Sabotage(
        "password-among-arguments",
        "a program is started with the application's password as an argument",
        notices({"SE-05 arguments": "the application's password"}),
        leaking(lambda password: ["sh", "-c", f"sleep {_LEAKS_FOR}; true", password], False),
    ),
)
