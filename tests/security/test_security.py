"""What a role may do, who gets in, and where a password could be read; against a real PostgreSQL."""

import gzip
import importlib
import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port
from poolers import pgbouncer

from support import sql
from support.engine.finding import Finding
from support.engine.tables import alike
from support.errors import ConnectFailed, Inconclusive, NotAvailable
from support.hosts.remote.clients import HostUnreached
from support.hosts.remote.logs import RemoteLog
from support.hosts.remote.reach import Reach
from support.run import Run
from support.security import exposure, logins, privileges
from support.security.checks import Search, Unread, all_refused, decoy_found, no_secret_found
from support.security.survey import MOST_ROLES
from support.target.cluster import Cluster
from support.target.login import log_in
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually


@pytest.fixture(scope="module")
def application(postgres: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """A role that may do nothing, and has no table."""
    password = token_hex(12)
    with sql.session(postgres) as session:
        sql.execute(session, f"CREATE ROLE application LOGIN PASSWORD '{password}'")
    yield postgres.as_user("application", password)
    sql.execute(postgres, "DROP OWNED BY application; DROP ROLE application")


@pytest.fixture
def monitoring(postgres: sql.Endpoint) -> Iterator[None]:
    """A further database of the server."""
    sql.execute(postgres, "CREATE DATABASE monitoring")
    yield
    sql.execute(postgres, "DROP DATABASE monitoring")


@pytest.fixture
def cluster(postgres: sql.Endpoint, application: sql.Endpoint) -> Cluster:
    """One PostgreSQL taken for a cluster of one member."""
    address = Address(postgres.host, postgres.port)
    return Cluster(
        Topology(
            database=postgres.database,
            application=Login(application.user, application.password),
            administrator=Login(postgres.user, postgres.password),
            write=address,
            members=(MemberAddress("m1", address),),
        )
    )


class TestPrivileges:
    def test_an_ordinary_role_is_refused_every_action(self, application: sql.Endpoint) -> None:
        assert privileges.tried(application, privileges.ACTIONS) == alike(
            privileges.ACTIONS, {"outcome": "insufficient privilege"}
        )

    def test_an_ordinary_role_of_citus_is_refused_every_action(self, citus: sql.Endpoint) -> None:
        sql.execute(citus, "CREATE ROLE ordinary LOGIN PASSWORD 'x'")
        try:
            tried = privileges.tried(citus.as_user("ordinary", "x"), privileges.ACTIONS)
            superuser = privileges.tried(citus, privileges.ACTIONS)
        finally:
            sql.execute(citus, "DROP ROLE ordinary")
        assert tried == alike(privileges.ACTIONS, {"outcome": "insufficient privilege"})
        assert {row["outcome"] for row in superuser.values()} == {"done", "undefined file", "feature not supported"}

    @pytest.mark.parametrize("path", ["''", "public", "pg_temp"])
    def test_where_nothing_can_be_created_the_privileges_are_judged_all_the_same(
        self, postgres: sql.Endpoint, application: sql.Endpoint, path: str
    ) -> None:
        with sql.session(postgres) as session:
            sql.execute(session, f"ALTER ROLE application SET search_path = {path}")
            sql.execute(session, "REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC")
        try:
            tried = privileges.tried(application, privileges.ACTIONS)
            sql.execute(postgres, "UPDATE pg_language SET lanpltrusted = true WHERE lanname = 'c'")
            may_use_c = privileges.tried(application, privileges.ACTIONS)
        finally:
            with sql.session(postgres) as session:
                sql.execute(session, "UPDATE pg_language SET lanpltrusted = false WHERE lanname = 'c'")
                sql.execute(session, "GRANT TEMPORARY ON DATABASE postgres TO PUBLIC")
                sql.execute(session, "ALTER ROLE application RESET search_path")
        assert tried == alike(privileges.ACTIONS, {"outcome": "insufficient privilege"})
        assert may_use_c == {**tried, "load code into the server": {"outcome": "feature not supported"}}

    def test_one_who_may_read_files_is_not_taken_for_refused(
        self, postgres: sql.Endpoint, application: sql.Endpoint
    ) -> None:
        """The table into which the file would be loaded is refused to everybody but superusers."""
        (load,) = [action for action, statement in privileges.ACTIONS.items() if statement.startswith("COPY pg_class")]
        sql.execute(postgres, "GRANT pg_read_server_files TO application")
        try:
            outcome = privileges.tried(application, [load])[load]["outcome"]
        finally:
            sql.execute(postgres, "REVOKE pg_read_server_files FROM application")
        assert outcome.startswith("not refused: ")

    def test_a_superuser_is_refused_none_and_leaves_nothing(self, postgres: sql.Endpoint) -> None:
        outcomes = {row["outcome"] for row in privileges.tried(postgres, privileges.ACTIONS).values()}
        assert outcomes == {"done", "undefined file", "feature not supported"}
        assert sql.rows(postgres, "SELECT 1 FROM pg_roles WHERE rolname = 'accept_action'") == []

    def test_an_ordinary_role_has_no_privilege(self, application: sql.Endpoint) -> None:
        assert privileges.granted(application, privileges.PRIVILEGES) == alike(privileges.PRIVILEGES, {"granted": "no"})

    def test_a_superuser_has_all(self, postgres: sql.Endpoint) -> None:
        assert privileges.granted(postgres, privileges.PRIVILEGES) == alike(privileges.PRIVILEGES, {"granted": "yes"})

    @pytest.mark.parametrize(
        ("grant", "privilege"),
        [
            ("ALTER ROLE between CREATEROLE", "create roles"),
            ("ALTER ROLE between REPLICATION", "replicate the server"),
            ("GRANT pg_read_server_files TO between", "read files of the server"),
            ("GRANT pg_execute_server_program TO between", "run programs on the server"),
        ],
    )
    def test_a_privilege_through_another_role_counts(
        self, postgres: sql.Endpoint, application: sql.Endpoint, grant: str, privilege: str
    ) -> None:
        sql.execute(postgres, f"CREATE ROLE between; {grant}; GRANT between TO application")
        try:
            granted = privileges.granted(application, privileges.PRIVILEGES)
        finally:
            sql.execute(postgres, "DROP ROLE between")
        assert [name for name, row in granted.items() if row["granted"] == "yes"] == [privilege]

    def test_stored_passwords(self, postgres: sql.Endpoint, application: sql.Endpoint) -> None:
        sql.execute(postgres, "SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'x'; CREATE ROLE no LOGIN")
        try:
            stored = privileges.stored_passwords(postgres)
        finally:
            sql.execute(postgres, "DROP ROLE old; DROP ROLE no")
        assert stored["application"] == {"stored as": "SCRAM"}
        assert stored["old"] == {"stored as": "an MD5 hash"}
        assert "no" not in stored


@pytest.fixture
def log(postgres: sql.Endpoint) -> Path:
    """The server's log (see `servers`)."""
    return Path(sql.value(postgres, "SHOW data_directory")).parent / "log"


def _require_logged(log: Path, word: str) -> None:
    if word not in log.read_text():
        raise NotYet("it is not logged")


def _require_told(postgres: sql.Endpoint, log: Path, name: str) -> None:
    """A login under that name is logged as soon as it begins."""
    log_in(postgres.as_user(name, "x"))
    _require_logged(log, f"connection received: host={postgres.host}")


def _require_refused(endpoint: sql.Endpoint) -> None:
    if not log_in(endpoint).refusal:
        raise NotYet("it is accepted")


DATABASES = "SELECT datname FROM pg_database WHERE datallowconn"


@contextmanager
def ruled(
    postgres: sql.Endpoint,
    rule: str,
    meant: sql.Endpoint,
    *,
    accepted: bool = True,
    replication: bool = False,
    proof: str = "",
) -> Iterator[None]:
    """A rule before all others in pg_hba.conf, in effect once the login that is meant is accepted, or is not; or once
    that proof is demanded of it."""
    access = Path(sql.value(postgres, "SHOW hba_file"))
    before = access.read_text()

    def reload(contents: str, wanted: bool) -> None:
        access.write_text(contents)
        sql.value(postgres, "SELECT pg_reload_conf()")
        eventually(lambda: require_authenticated(wanted), within=5, subject="pg_hba.conf is read")

    def require_authenticated(wanted: bool) -> None:
        answer = log_in(meant, replication=replication)
        if ((answer.asked_for == proof) if proof else answer.authenticated) is not wanted:
            raise NotYet(f"{meant}: {'refused' if wanted else 'accepted'}")

    reload(f"{rule}\n{before}", accepted)
    try:
        yield
    finally:
        reload(before, not accepted)


def behind(pooler: sql.Endpoint, cluster: Cluster, application: sql.Endpoint) -> Cluster:
    """The cluster behind a pooler; no superuser is declared."""
    login = Login(application.user, application.password)
    write = Address(pooler.host, pooler.port)
    return Cluster(replace(cluster.topology, administrator=None, application=login, write=write))


def asked_of(asked: Mapping[str, Mapping[str, str]], role: str) -> set[str]:
    """The proofs that are demanded of that role."""
    return {row["asks for"] for name, row in asked.items() if f" as {role})" in name}


def judged_by_step(cluster: Cluster) -> dict[str, str]:
    """What the step about SCRAM attaches to the report of its endpoints. Raises AssertionError as the step does."""
    attached = dict[str, str]()
    evidence = SimpleNamespace(attach=attached.__setitem__)
    context = SimpleNamespace(world=SimpleNamespace(cluster=cluster, evidence=evidence))
    importlib.import_module("steps.security.security_steps").step_scram_is_asked_for(context, "endpoint")
    return attached


class TestLogins:
    @pytest.mark.parametrize("where", ["endpoint", "member"])
    @pytest.mark.parametrize("wrong", logins.WRONG)
    def test_each_is_refused(self, cluster: Cluster, where: str, wrong: str) -> None:
        attempts = logins.wrong_logins(cluster, where, wrong)
        databases = {database for (database,) in sql.rows(cluster.write, DATABASES)}
        assert {"postgres", "template1"} <= databases
        if where == "endpoint":
            databases.remove("template1")
        assert len(attempts) == 2 * (len(databases) + 1), "two roles, for a session at each, and for replication"
        assert all_refused(attempts).holds is True

    def test_a_member_asks_for_scram(self, cluster: Cluster) -> None:
        logins.require_right_login_accepted(cluster, "member")
        asked = logins.authentication_asked_for(cluster, "member")
        databases = len(sql.rows(cluster.write, DATABASES))
        assert len(asked) == 2 * databases + 1, "the application's role and the superuser at each; it may replicate"
        assert [*asked.values()] == [{"asks for": "SCRAM"}] * len(asked)

    @pytest.mark.parametrize(
        ("where", "open_to"), [("endpoint", "monitoring"), ("member", "monitoring"), ("member", "template1")]
    )
    @pytest.mark.usefixtures("monitoring")
    def test_a_database_that_trusts_anybody_is_noticed(
        self, postgres: sql.Endpoint, cluster: Cluster, where: str, open_to: str
    ) -> None:
        """Behind it are the same roles, and from there every other database."""
        with ruled(postgres, f"host {open_to} all all trust", replace(postgres, database=open_to, password="")):
            for wrong in logins.WRONG:
                finding = all_refused(logins.wrong_logins(cluster, where, wrong))
                assert finding.holds is False, wrong
                assert finding.words.startswith("2 of "), "for both roles"
                assert finding.words.count(f"/{open_to} as ") == 2
            asked = logins.authentication_asked_for(cluster, where)
        trusting = [name for name, row in asked.items() if row["asks for"] != "SCRAM"]
        assert len(trusting) == 2
        assert all(f"/{open_to} as " in name for name in trusting)

    @pytest.mark.parametrize("where", ["endpoint", "member"])
    @pytest.mark.parametrize(
        ("attributes", "database", "at", "purpose"),
        [
            ("", "all", "postgres", "for a session"),
            ("", "grafana", "grafana", "for a session"),
            ("REPLICATION", "replication", "postgres", "for replication"),
            ("SUPERUSER", "all", "postgres", "for a session"),
        ],
    )
    def test_a_role_that_nobody_declared_and_that_is_trusted_is_noticed(
        self,
        postgres: sql.Endpoint,
        cluster: Cluster,
        where: str,
        attributes: str,
        database: str,
        at: str,
        purpose: str,
    ) -> None:
        """Such as that of the replicas or of a monitor."""
        sql.execute(postgres, f"CREATE ROLE grafana LOGIN {attributes} PASSWORD 'x'")
        sql.execute(postgres, "CREATE DATABASE grafana")
        replication = database == "replication"
        meant = replace(postgres, database=at, user="grafana", password="")
        try:
            with ruled(postgres, f"host {database} grafana all trust", meant, replication=replication):
                finding = all_refused(logins.wrong_logins(cluster, where, "no password"))
                asked = logins.authentication_asked_for(cluster, where)
        finally:
            sql.execute(postgres, "DROP DATABASE grafana")
            sql.execute(postgres, "DROP ROLE grafana")
        assert finding.holds is False
        assert f"/{at} as grafana) {purpose}" in finding.words
        assert finding.words.count(" as ") == finding.words.count(" as grafana)")
        trusting = [name for name, row in asked.items() if row["asks for"] == "nothing"]
        assert any(f"/{at} as grafana) {purpose}" in name for name in trusting)
        assert all(" as grafana)" in name for name in trusting)

    def test_a_role_whose_password_crosses_the_network_is_noticed(
        self, postgres: sql.Endpoint, cluster: Cluster
    ) -> None:
        sql.execute(postgres, "CREATE ROLE grafana LOGIN PASSWORD 'x'")
        try:
            with ruled(
                postgres,
                "host all grafana all password",
                postgres.as_user("grafana", "x"),
                proof="the password in the clear",
            ):
                asked = logins.authentication_asked_for(cluster, "member")
                assert all_refused(logins.wrong_logins(cluster, "member", "no password")).holds is True
        finally:
            sql.execute(postgres, "DROP ROLE grafana")
        other = {name: row for name, row in asked.items() if row["asks for"] != "SCRAM"}
        assert {row["asks for"] for row in other.values()} == {"the password in the clear"}
        assert all(" as grafana)" in name for name in other)

    def test_no_role_is_locked_out(self, postgres: sql.Endpoint, cluster: Cluster, log: Path) -> None:
        """PostgreSQL checks no password of a role that is not declared: it logs no failed login."""
        sql.execute(postgres, "CREATE ROLE grafana LOGIN PASSWORD 'x'")
        try:
            before = log.stat().st_size
            for wrong in logins.WRONG:
                attempts = logins.wrong_logins(cluster, "member", wrong)
                assert any(" as grafana)" in name for name in attempts) is (wrong == "no password")
            logins.authentication_asked_for(cluster, "member")
            log_in(postgres.as_user("accept_last", "x"))
            eventually(lambda: _require_logged(log, "accept_last"), within=5, subject="it is logged")
        finally:
            sql.execute(postgres, "DROP ROLE grafana")
        said = log.read_bytes()[before:].decode()
        assert 'password authentication failed for user "application"' in said
        assert "grafana" not in said

    @pytest.mark.parametrize("wrong", logins.WRONG)
    @pytest.mark.usefixtures("monitoring")
    def test_the_declared_roles_are_not_locked_out(
        self, postgres: sql.Endpoint, cluster: Cluster, log: Path, wrong: str
    ) -> None:
        """One wrong password is given as each, to each server, and the right one follows at once."""
        sql.execute(postgres, "ALTER SYSTEM SET log_connections = on")
        sql.value(postgres, "SELECT pg_reload_conf()")
        try:
            eventually(lambda: _require_told(postgres, log, "accept_first"), within=5, subject="logins are logged")
            before = log.stat().st_size
            attempts = logins.wrong_logins(cluster, "member", wrong)
            logins.authentication_asked_for(cluster, "member")
            log_in(postgres.as_user("accept_last", "x"))
            eventually(lambda: _require_logged(log, 'user "accept_last"'), within=5, subject="it is logged")
        finally:
            sql.execute(postgres, "ALTER SYSTEM RESET log_connections")
            sql.value(postgres, "SELECT pg_reload_conf()")
        assert set(attempts.values()) == {"28000", "28P01"}
        said = log.read_bytes()[before:].decode()
        of_last = said.index('user "accept_last"')
        failed = re.findall(r'password authentication failed for user "([^"]+)"', said[:of_last])
        if wrong == "an unknown role":
            assert len(failed) == 1
            return
        assert sorted(failed) == sorted([postgres.user, "application"])
        for role in failed:
            after = said[said.index(f'failed for user "{role}"') :]
            assert f"connection authorized: user={role} " in after.split("accept_last")[0]

    def test_a_wrong_password_is_given_for_each_kind_of_proof(
        self, postgres: sql.Endpoint, application: sql.Endpoint, cluster: Cluster, log: Path
    ) -> None:
        """What checks a password in the clear may be LDAP, which may accept what the database would not."""
        with ruled(
            postgres,
            "host template1 application all password",
            replace(application, database="template1"),
            proof="the password in the clear",
        ):
            before = log.stat().st_size
            assert all_refused(logins.wrong_logins(cluster, "member", "a wrong password")).holds is True
            log_in(postgres.as_user("accept_end", "x"))
            eventually(lambda: _require_logged(log, "accept_end"), within=5, subject="it is logged")
        said = log.read_bytes()[before:].decode()
        assert said.count('password authentication failed for user "application"') == 2

    def test_of_very_many_roles_the_mightiest_are_tried(self, postgres: sql.Endpoint, cluster: Cluster) -> None:
        names = [f"a{number:02}" for number in range(MOST_ROLES)]
        with sql.session(postgres) as session:
            sql.execute(session, f"{';'.join(f'CREATE ROLE {name} LOGIN' for name in names)}")
            sql.execute(session, "CREATE ROLE zz_copies LOGIN REPLICATION; CREATE ROLE zz_rules LOGIN SUPERUSER")
        try:
            attempts = logins.wrong_logins(cluster, "member", "no password")
            left_out = logins.left_out(cluster, "member")
        finally:
            sql.execute(postgres, f"DROP ROLE {', '.join(names)}, zz_copies, zz_rules")
        assert list(left_out) == names[-2:]
        for name in (*names[:-2], "zz_copies", "zz_rules"):
            assert any(f" as {name}) for replication" in attempt for attempt in attempts), name
        assert all_refused(attempts).holds is True
        assert logins.left_out(cluster, "member") == []

    @pytest.mark.parametrize("where", ["endpoint", "member"])
    def test_a_database_that_lets_nobody_in_is_no_deviation(
        self, postgres: sql.Endpoint, cluster: Cluster, where: str
    ) -> None:
        """Rules for the application's database alone are the strictest ones."""
        with ruled(postgres, "host template1 all all reject", replace(postgres, database="template1"), accepted=False):
            assert all_refused(logins.wrong_logins(cluster, where, "no password")).holds is True
            asked = logins.authentication_asked_for(cluster, where)
        assert not any("/template1 as" in name for name in asked)
        assert [*asked.values()] == [{"asks for": "SCRAM"}] * len(asked)

    @pytest.mark.parametrize("serves", ["*", "postgres"])
    def test_through_a_pooler(self, postgres: sql.Endpoint, cluster: Cluster, tmp_path: Path, serves: str) -> None:
        """It may serve a single database: at every other one nobody gets in."""
        with pgbouncer(tmp_path, free_port(), postgres, serves=serves) as through:
            pooled = Cluster(
                replace(
                    cluster.topology,
                    application=Login(postgres.user, postgres.password),
                    write=Address(through.host, through.port),
                )
            )
            for wrong in logins.WRONG:
                attempts = logins.wrong_logins(pooled, "endpoint", wrong)
                assert all_refused(attempts).holds is True, attempts
            asked = logins.authentication_asked_for(pooled, "endpoint")
        assert [*asked.values()] == [{"asks for": "SCRAM"}] * len(asked)

    def test_a_pooler_is_not_judged_by_roles_that_it_does_not_know(
        self, application: sql.Endpoint, cluster: Cluster, postgres: sql.Endpoint, tmp_path: Path
    ) -> None:
        """By its default, PgBouncer asks these for an MD5 hash, and those for SCRAM whose SCRAM secret it has."""
        secret = sql.value(postgres, "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [application.user])
        with pgbouncer(tmp_path, free_port(), application, secret=secret, auth_type="md5") as through:
            pooled = behind(through, cluster, application)
            asked = logins.authentication_asked_for(pooled, "endpoint")
            attached = judged_by_step(pooled)
        assert asked_of(asked, application.user) == {"SCRAM"}
        assert asked_of(asked, postgres.user) == {logins.ASKED_OF_UNKNOWN_ROLES}
        ((title, names),) = attached.items()
        assert "the pooler may not know these roles" in title
        assert f" as {postgres.user})" in names
        assert f" as {application.user})" not in names

    def test_a_pooler_is_judged_by_the_application_that_it_knows(
        self, application: sql.Endpoint, cluster: Cluster, tmp_path: Path
    ) -> None:
        """Though it asks roles that it does not know for the same."""
        with pgbouncer(tmp_path, free_port(), application, auth_type="md5") as through:
            pooled = behind(through, cluster, application)
            asked = logins.authentication_asked_for(pooled, "endpoint")
            with pytest.raises(AssertionError, match="expected SCRAM, observed an MD5 hash"):
                judged_by_step(pooled)
        assert asked_of(asked, application.user) == {"an MD5 hash"}

    @pytest.mark.parametrize("known", [False, True])
    @pytest.mark.usefixtures("monitoring")
    def test_no_session_of_a_pooler_is_left_where_databases_are_copied_or_dropped(
        self, postgres: sql.Endpoint, cluster: Cluster, tmp_path: Path, known: bool
    ) -> None:
        """It looks up in the database of a login how to authenticate it, and keeps the session for which it did so."""
        asks = {"auth_user": postgres.user, "auth_query": "SELECT usename, passwd FROM pg_shadow WHERE usename = $1"}
        with pgbouncer(tmp_path, free_port(), postgres, "session", **asks) as through:
            write = Address(through.host, through.port)
            pooling = ("write",) if known else ()
            pooled = Cluster(replace(cluster.topology, write=write, session_pooling=pooling))
            for wrong in logins.WRONG:
                finding = all_refused(logins.wrong_logins(pooled, "endpoint", wrong))
                assert finding.holds is True, finding
            assert all_refused(logins.plain_logins(pooled, "endpoint")).holds is False
            assert {row["asks for"] for row in logins.authentication_asked_for(pooled, "endpoint").values()} == {
                "SCRAM"
            }
            busy = sql.rows(postgres, "SELECT DISTINCT datname FROM pg_stat_activity WHERE datname IS NOT NULL")
            sql.execute(postgres, "CREATE DATABASE created_meanwhile")
            sql.execute(postgres, "DROP DATABASE created_meanwhile")
        assert busy == [(postgres.database,)]

    def test_a_member_behind_a_pooler_is_no_way_to_ask_it_directly(
        self, postgres: sql.Endpoint, cluster: Cluster, tmp_path: Path
    ) -> None:
        with pgbouncer(tmp_path, free_port(), postgres) as through:
            member = MemberAddress("m1", Address(through.host, through.port))
            login = Login(postgres.user, postgres.password)
            pooled = Cluster(replace(cluster.topology, members=(member,), application=login))
            attempts = logins.wrong_logins(pooled, "member", "a wrong password")
        assert all_refused(attempts).holds is True
        assert not any("/template1 as" in name for name in attempts)

    def test_databases_that_nobody_lists_may_let_anybody_in(self, cluster: Cluster) -> None:
        forgotten = Cluster(replace(cluster.topology, application=Login("application", "forgotten")))
        finding = all_refused(logins.wrong_logins(forgotten, "member", "no password"))
        assert finding.holds is None
        assert "the databases and roles of member m1" in finding.words

    def test_a_member_that_refuses_before_any_proof_says_so(
        self, postgres: sql.Endpoint, application: sql.Endpoint, cluster: Cluster
    ) -> None:
        access = Path(sql.value(postgres, "SHOW hba_file"))
        before = access.read_text()
        access.write_text(f"host all {application.user} all reject\n{before}")
        try:
            sql.value(postgres, "SELECT pg_reload_conf()")
            eventually(lambda: _require_refused(application), within=5, subject="pg_hba.conf is read")
            (asked,) = logins.authentication_asked_for(cluster, "member").values()
        finally:
            access.write_text(before)
            sql.value(postgres, "SELECT pg_reload_conf()")
            eventually(
                lambda: sql.value(application, "SELECT 1"),
                within=5,
                subject="it is accepted again",
                retry_on=(ConnectFailed,),
            )
        assert asked["asks for"].startswith("nothing: the login is refused (pg_hba.conf rejects connection")

    def test_an_endpoint_that_refuses_the_right_login_proves_nothing(self, cluster: Cluster) -> None:
        shut = Cluster(replace(cluster.topology, application=Login("application", "forgotten")))
        with pytest.raises(Inconclusive, match="right login is refused"):
            logins.require_right_login_accepted(shut, "endpoint")

    @pytest.mark.parametrize("where", ["endpoint", "member"])
    def test_an_accepted_login_without_tls_is_noticed(self, cluster: Cluster, where: str) -> None:
        assert all_refused(logins.plain_logins(cluster, where)).holds is False

    def test_a_server_without_tls_proves_nothing_about_its_certificate(self, cluster: Cluster) -> None:
        verifying = Cluster(replace(cluster.topology, options={"sslmode": "verify-full"}))
        assert all_refused(logins.mistrusting_logins(verifying, "endpoint")).holds is None

    def test_a_client_that_verifies_nothing_is_noticed(self, cluster: Cluster) -> None:
        assert all_refused(logins.mistrusting_logins(cluster, "endpoint")).holds is False

    def test_an_endpoint_that_is_gone_proves_nothing(self, cluster: Cluster) -> None:
        gone = Cluster(replace(cluster.topology, write=Address("127.0.0.1", free_port())))
        assert all_refused(logins.wrong_logins(gone, "endpoint", "no password")).holds is None
        with pytest.raises(Inconclusive, match="not every endpoint answers"):
            logins.authentication_asked_for(gone, "endpoint")


class TestExposure:
    def search(self, cluster: Cluster) -> Search:
        return Search(exposure.passwords(cluster), decoy="decoy-1", planted=exposure.DECOYS)

    def test_every_password_is_searched_for(self, cluster: Cluster) -> None:
        assert set(exposure.passwords(cluster)) == {"the application's password", "the administrator's password"}

    def test_it_is_searched_for_in_every_form(self, cluster: Cluster) -> None:
        odd = Cluster(replace(cluster.topology, application=Login("application", 'a "b"/ü')))
        forms = exposure.passwords(odd)["the application's password"]
        sent = b64encode('application:a "b"/ü'.encode())
        assert {'a "b"/ü'.encode(), json.dumps('a "b"/ü')[1:-1].encode(), b"a%20%22b%22%2F%C3%BC", sent} <= forms
        in_postgresqls_logs = {'a ""b""/ü', 'a \\"b\\"/ü'}  # csvlog, jsonlog
        assert {one.encode() for one in in_postgresqls_logs} <= forms

    @pytest.mark.parametrize(
        "line",
        [
            r"""STATEMENT:  ALTER ROLE app PASSWORD 'it''s a \ "word"/é'""",
            r"""STATEMENT:  ALTER ROLE app PASSWORD E'it''s a \\ "word"/é'""",
            r"""STATEMENT:  ALTER ROLE app PASSWORD E'it\'s a \\ "word"/é'""",
            r"""user=app password='it\'s a \\ "word"/é' host=db""",
            r"""2024-01-01,"ALTER ROLE app PASSWORD 'it''s a \ ""word""/é'",""",
            r"""{"statement":"ALTER ROLE app PASSWORD 'it''s a \\ \"word\"/é'"}""",
            r"""{"password":"it's a \\ \"word\"/\u00e9"}""",
            "postgresql://app:it%27s%20a%20%5C%20%22word%22%2F%C3%A9@db/app",
            "postgresql://app:it%27s%20a%20%5C%20%22word%22/%C3%A9@db/app",
            "password=it%27s+a+%5C+%22word%22%2F%C3%A9&user=app",
        ],
    )
    def test_a_password_is_found_as_a_program_may_write_it(self, cluster: Cluster, line: str) -> None:
        odd = Cluster(replace(cluster.topology, application=Login("application", r"""it's a \ "word"/é""")))
        search = self.search(odd)
        search.look_into([("a log", line.encode())])
        assert search.found == {"the application's password": ["a log"]}

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "iso8859-15"])
    def test_a_password_is_found_in_the_encoding_of_the_database(self, cluster: Cluster, encoding: str) -> None:
        secret = "p\xe4ss '\u20ac'" if encoding != "latin-1" else "p\xe4ss '\xa4'"  # the euro, which Latin-1 lacks
        odd = Cluster(replace(cluster.topology, application=Login("application", secret)))
        quoted = secret.replace("'", "''")
        for line in (f"STATEMENT:  ALTER ROLE app PASSWORD '{quoted}'", f"password={secret}"):
            search = self.search(odd)
            search.look_into([("a log", line.encode(encoding))])
            assert search.found == {"the application's password": ["a log"]}
        assert (
            b64encode(f"application:{secret}".encode(encoding)) in exposure.passwords(odd)["the application's password"]
        )

    def test_a_password_that_is_a_name_cannot_be_searched_for(self, cluster: Cluster) -> None:
        named = replace(cluster.topology, administrator=None, application=Login("application", "application"))
        with pytest.raises(NotAvailable, match="also the name"):
            exposure.passwords(Cluster(named))

    def test_no_error_message_contains_a_password(self, cluster: Cluster) -> None:
        search = self.search(cluster)
        search.look_into(exposure.error_messages(cluster, search.decoy))
        assert search.places == 7, "six failing logins, and the cluster's description"
        assert decoy_found(search).holds is True
        assert no_secret_found(search).holds is True

    @pytest.mark.parametrize("options", [{}, {"target_session_attrs": "any", "hostaddr": "127.0.0.1,127.0.0.1"}])
    def test_a_write_endpoint_may_have_several_hosts(self, cluster: Cluster, options: dict[str, str]) -> None:
        """None of them accepts a login that should fail."""
        write = cluster.topology.write
        several = replace(cluster.topology, further_write=(write,), write_options=options)
        search = self.search(Cluster(several))
        search.look_into(exposure.error_messages(Cluster(several), search.decoy))
        assert decoy_found(search).holds is True

    def test_a_message_with_a_password_is_found(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sql.Endpoint, "__str__", lambda endpoint: f"{endpoint.user}:{endpoint.password}")
        search = self.search(cluster)
        search.look_into(exposure.error_messages(cluster, search.decoy))
        finding = no_secret_found(search)
        assert finding.holds is False
        assert "the application's password in a login to a database that does not exist" in finding.words

    def test_a_login_that_does_not_fail_proves_nothing(self, cluster: Cluster) -> None:
        with pytest.raises(Inconclusive, match="a login to a database that does not exist did not fail"):
            dict(exposure.error_messages(cluster, cluster.topology.database))

    def test_the_report_is_searched_without_what_configures_it(self, cluster: Cluster, tmp_path: Path) -> None:
        run = Run(id="1", directory=tmp_path / "run", results=tmp_path / "results", seed=1)
        run.directory.mkdir()
        run.results.mkdir()
        run.save()
        cluster.topology.save(run.topology)
        (run.directory / "sandbox").mkdir()
        cluster.topology.save(run.directory / "sandbox" / "configuration")
        run.journal.write_text("a line")
        planted = exposure.attach_to_report(run, lambda name, text: (run.results / name).write_text(text), "decoy-1")
        search = self.search(cluster)
        search.planted = planted
        search.look_into(exposure.report(run))
        assert ([*planted], search.places) == ([str(run.results / "decoy")], 2)
        assert decoy_found(search).holds is True
        assert no_secret_found(search).holds is True
        run.journal.write_text(cluster.topology.application.password)
        search.look_into(exposure.report(run))
        assert no_secret_found(search).holds is False

    def test_files_of_other_jobs_appear_beside_the_decoy(self, tmp_path: Path) -> None:
        """They are not all text, and may be gone when they are looked into."""
        run = Run(id="1", directory=tmp_path, results=tmp_path / "results", seed=1)
        run.results.mkdir()

        def attach(name: str, text: str) -> None:
            (run.results / name).write_text(text)
            (run.results / "another.jsonl.gz").write_bytes(b"\x1f\x8b\xff")
            (run.results / "gone").symlink_to(run.results / "nowhere")

        assert exposure.attach_to_report(run, attach, "decoy-1") == [str(run.results / "decoy")]

    def test_packed_histories_are_searched(self, tmp_path: Path) -> None:
        run = Run(id="1", directory=tmp_path, results=tmp_path / "results", seed=1)
        run.results.mkdir()
        packed = gzip.compress(b'{"error": "password=s3cret"}\n')
        for content in (packed, packed[:-8]):  # also one that is being written
            (run.results / "history.jsonl.gz").write_bytes(content)
            search = Search({"a password": [b"s3cret"]}, decoy="decoy-1")
            search.look_into(exposure.report(run))
            assert no_secret_found(search).holds is False

    def test_the_journal_of_a_run_with_several_jobs_is_searched(self, tmp_path: Path) -> None:
        """It is in a folder beside that of the job."""
        whole, own = tmp_path / "1", tmp_path / "1-job"
        whole.mkdir()
        own.mkdir()
        run = Run(id="1", directory=own, results=own / "results", seed=1, whole=whole)
        run.journal.write_text("s3cret")
        search = Search({"a password": [b"s3cret"]}, decoy="decoy-1")
        search.look_into(exposure.report(run))
        assert no_secret_found(search).holds is False

    def test_a_run_without_a_report(self, tmp_path: Path) -> None:
        run = Run(id="1", directory=tmp_path, results=tmp_path / "results", seed=1)
        with pytest.raises(NotAvailable, match="no report is written"):
            exposure.attach_to_report(run, lambda name, text: None, "decoy-1")

    def test_files_that_are_gone_are_skipped(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_bytes(b"a")
        assert list(exposure.files([tmp_path / "a.log", tmp_path / "b.log", tmp_path])) == [
            (str(tmp_path / "a.log"), b"a")
        ]

    def test_a_member_that_is_down_leaves_the_others_to_be_judged(self, cluster: Cluster, log: Path) -> None:
        """Of its own logs nothing is known."""
        down = MemberAddress("m2", Address("127.0.0.1", free_port()))
        unreached = MemberAddress("m3", Address("127.0.0.1", free_port()), unreached="it is elsewhere")
        members = (*cluster.topology.members, down, unreached)
        search = Search({"a password": [b"s3cret"]}, decoy="decoy-of-a-member")
        search.planted, search.unsearched = exposure.log_on_every_member(
            Cluster(replace(cluster.topology, members=members)), search.decoy
        )
        assert search.planted == ["m1"]
        eventually(lambda: _require_logged(log, search.decoy), within=5, subject="it is logged")
        search.look_into([("log of m1", log.read_bytes()), ("log of m2", b"")])
        assert decoy_found(search).holds is True
        finding = no_secret_found(search)
        assert finding.holds is None
        assert "m2: " in finding.words
        assert "Connection refused" in finding.words
        assert "m3: it is elsewhere" in finding.words
        search.look_into([("log of m2", b"s3cret")])
        assert no_secret_found(search).holds is False

    def test_a_log_that_cannot_be_read_leaves_the_others_to_be_judged(self, tmp_path: Path) -> None:
        """Nor can those of a host that does not answer."""
        log, reach = tmp_path / "log", Reach.of("local:")
        log.write_text("decoy-1, and nothing else")
        logs = {"a": RemoteLog(reach, f"{log} of old"), "b": RemoteLog(reach, str(log))}

        def unreached() -> object:
            raise HostUnreached("h2 gave no answer")

        hosts = [
            SimpleNamespace(name="h1", logs=lambda: logs),
            SimpleNamespace(name="h2", logs=unreached, listed=unreached),
        ]
        site = SimpleNamespace(hosts={host.name: host for host in hosts})
        search = Search({"a password": [b"s3cret"]}, decoy="decoy-1", planted=("h1", "h2"))
        search.look_into(exposure.logs(cast(Cluster, SimpleNamespace(site=site))))
        assert decoy_found(search).holds is True
        finding = no_secret_found(search)
        assert finding.holds is None
        assert "a of h1: " in finding.words
        assert "the logs of h2: h2 gave no answer" in finding.words
        del site.hosts["h1"]
        search.look_into(exposure.arguments(cast(Cluster, SimpleNamespace(site=site))))
        assert "h2" in search.unsearched


class TestRefusals:
    def test_refused(self) -> None:
        assert all_refused({"an endpoint": "28P01", "another": "28000"}).holds is True
        assert all_refused({"a pooler": "08P01"}).holds is True
        assert all_refused({"a request": "401", "another": "403", "a command": "NOAUTH"}).holds is True
        assert all_refused({"a request": "401", "another": ""}).holds is False
        assert all_refused({"a request": "401", "another": "500"}).holds is None

    def test_one_accepted_among_silent_ones(self) -> None:
        finding = all_refused({"an endpoint": "28P01", "another": "", "a third": "no answer (it is down)"})
        assert finding.holds is False
        assert finding.words == "1 of 3 were accepted: another"

    @pytest.mark.parametrize("outcome", ["no answer ([Errno 111] Connection refused)", "53300", "57P03", "28"])
    def test_another_reason_is_no_evidence(self, outcome: str) -> None:
        assert all_refused({"an endpoint": "28P01", "another": outcome}).holds is None

    def test_no_attempt_no_evidence(self) -> None:
        assert all_refused({}).holds is None


class TestSearch:
    def searched(self, *contents: bytes, planted: Collection[str] = ("file 0",)) -> Search:
        search = Search({"a password": [b"s3cret", b"c2VjcmV0"]}, decoy="decoy-1", planted=planted)
        search.look_into((f"file {number}", content) for number, content in enumerate(contents))
        return search

    def test_nothing_there(self) -> None:
        search = self.searched(b"a log with decoy-1 in it", b"another log")
        assert decoy_found(search).holds is True
        assert no_secret_found(search).holds is True
        assert (search.places, search.size) == (2, 35)

    @pytest.mark.parametrize("content", [b"password=s3cret", b"Basic c2VjcmV0"])
    def test_every_form_is_found(self, content: bytes) -> None:
        finding = no_secret_found(self.searched(b"decoy-1", content))
        assert finding.holds is False
        assert finding.words == "secrets can be read: a password in file 1"

    @pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 30])
    def test_a_long_place_is_searched_in_portions(self, length: int) -> None:
        """Also what begins in one of them and ends in another; what is in two places is in neither."""
        content = b"decoy-1 password=s3cret; s3cret. Basic c2Vj"
        portions = [content[first : first + length] for first in range(0, len(content), length)]
        search = Search({"a password": [b"s3cret"], "another": [b"c2VjcmV0"]}, decoy="decoy-1", planted=("a log",))
        search.look_into([*(("a log", portion) for portion in portions), ("a further log", b"cmV0")])
        assert decoy_found(search).holds is True
        assert search.found["a password"] == ["a log"]
        assert "another" not in search.found
        assert (search.places, search.size) == (2, len(content) + 4)

    def test_the_words_never_contain_the_secret(self) -> None:
        search = self.searched(b"s3cret")
        assert "s3cret" not in f"{search!r} {no_secret_found(search).words}"

    def test_a_decoy_that_is_not_found_everywhere_proves_nothing(self) -> None:
        assert decoy_found(self.searched(b"decoy-1", planted=("file 0", "file 1"))).holds is None
        assert decoy_found(self.searched(b"a log")).holds is None
        assert decoy_found(self.searched(b"decoy-1", planted=())).holds is None

    def test_a_decoy_that_was_planted_where_nothing_could_be_searched(self) -> None:
        search = Search({"a password": [b"s3cret"]}, decoy="decoy-1", planted=("pg1", "pg2"))
        search.look_into((f"the logs of {host}", Unread("no answer")) for host in ("pg1", "pg2"))
        assert decoy_found(search) == Finding.unknown(
            "none of the places where the decoy was planted could be searched: the logs of pg1: no answer, the logs of "
            "pg2: no answer"
        )

    def test_a_decoy_that_is_found_twice_on_one_host_says_nothing_about_another(self) -> None:
        """Members may write several logs each, and one of them none that can be read."""
        search = Search({"a password": [b"s3cret"]}, decoy="decoy-1", planted=("pg1", "pg2", "pg3"))
        search.look_into((f"{log} of {host}", b"decoy-1") for host in ("pg1", "pg3") for log in ("stderr", "csvlog"))
        assert decoy_found(search) == Finding.unknown(
            "the decoy was not found where it was planted: pg2; it was found in stderr of pg1, csvlog of pg1, "
            "stderr of pg3, csvlog of pg3"
        )
        search.look_into([("journal of pg2", b"decoy-1")])
        assert decoy_found(search).holds is True

    def test_nothing_to_search_and_no_secret_prove_nothing(self) -> None:
        assert no_secret_found(self.searched()).holds is None
        assert no_secret_found(Search({}, decoy="decoy-1", places=1, size=9)).holds is None
