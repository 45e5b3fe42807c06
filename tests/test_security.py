"""What a role may do, who is believed, and where a password could be read; against a real PostgreSQL."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import pytest
from conftest import free_port

from support import sql
from support.engine.tables import alike
from support.errors import ConnectFailed, Inconclusive, NotAvailable
from support.run import Run
from support.security import exposure, failing_logins, logins, privileges
from support.security.checks import Search, all_refused, decoy_found, nothing_told
from support.target.cluster import Cluster
from support.target.login import log_in
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually


@pytest.fixture(scope="module")
def application(postgres: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """A role that owns a table `metadata` and may do nothing else."""
    password = token_hex(12)
    with sql.session(postgres) as session:
        sql.execute(session, f"CREATE ROLE application LOGIN PASSWORD '{password}'")
        sql.execute(session, "CREATE TABLE metadata (key text); ALTER TABLE metadata OWNER TO application")
    yield postgres.as_user("application", password)
    sql.execute(postgres, "DROP OWNED BY application; DROP ROLE application")


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


class TestPowers:
    def test_an_ordinary_role_is_refused_every_deed(self, application: sql.Endpoint) -> None:
        assert privileges.tried(application, privileges.DEEDS) == alike(
            privileges.DEEDS, {"outcome": "insufficient privilege"}
        )

    def test_a_superuser_is_refused_none_and_leaves_nothing(self, postgres: sql.Endpoint) -> None:
        outcomes = {row["outcome"] for row in privileges.tried(postgres, privileges.DEEDS).values()}
        assert outcomes == {"done", "undefined file"}
        assert sql.rows(postgres, "SELECT 1 FROM pg_roles WHERE rolname = 'accept_deed'") == []

    def test_an_ordinary_role_holds_no_power(self, application: sql.Endpoint) -> None:
        assert privileges.held(application, privileges.ATTRIBUTES) == alike(privileges.ATTRIBUTES, {"answer": "no"})

    def test_a_superuser_holds_all(self, postgres: sql.Endpoint) -> None:
        assert privileges.held(postgres, privileges.ATTRIBUTES) == alike(privileges.ATTRIBUTES, {"answer": "yes"})

    @pytest.mark.parametrize(
        ("grant", "power"),
        [
            ("ALTER ROLE between CREATEROLE", "create roles"),
            ("ALTER ROLE between REPLICATION", "copy the whole cluster"),
            ("GRANT pg_read_server_files TO between", "read files of the server"),
            ("GRANT pg_execute_server_program TO between", "run programs on the server"),
        ],
    )
    def test_a_power_through_another_role_counts(
        self, postgres: sql.Endpoint, application: sql.Endpoint, grant: str, power: str
    ) -> None:
        sql.execute(postgres, f"CREATE ROLE between; {grant}; GRANT between TO application")
        try:
            held = privileges.held(application, privileges.ATTRIBUTES)
        finally:
            sql.execute(postgres, "DROP ROLE between")
        assert [name for name, row in held.items() if row["answer"] == "yes"] == [power]

    def test_stored_passwords(self, postgres: sql.Endpoint, application: sql.Endpoint) -> None:
        sql.execute(postgres, "SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'x'; CREATE ROLE no LOGIN")
        try:
            stored = privileges.stored_passwords(postgres)
        finally:
            sql.execute(postgres, "DROP ROLE old; DROP ROLE no")
        assert stored["application"] == {"stored as": "SCRAM"}
        assert stored["old"] == {"stored as": "an MD5 hash"}
        assert "no" not in stored


def _require_refused(endpoint: sql.Endpoint) -> None:
    if not log_in(endpoint).refusal:
        raise NotYet("it is let in")


class TestStrangers:
    @pytest.mark.parametrize("where", ["endpoint", "member"])
    @pytest.mark.parametrize("wrong", logins.WRONG)
    def test_each_is_refused(self, cluster: Cluster, where: str, wrong: str) -> None:
        attempts = logins.attempts(cluster, where, wrong)
        assert len(attempts) == 4, "two roles, for a session and for a copy"
        assert all_refused(attempts).holds is True

    def test_a_door_asks_for_scram(self, cluster: Cluster) -> None:
        logins.require_open_to_owner(cluster, "member")
        assert [*logins.proofs_asked_for(cluster, "member").values()] == [{"asks for": "SCRAM"}]

    def test_a_door_that_refuses_before_any_proof_says_so(
        self, postgres: sql.Endpoint, application: sql.Endpoint, cluster: Cluster
    ) -> None:
        access = Path(sql.value(postgres, "SHOW hba_file"))
        before = access.read_text()
        access.write_text(f"host all {application.user} all reject\n{before}")
        try:
            sql.value(postgres, "SELECT pg_reload_conf()")
            eventually(lambda: _require_refused(application), within=5, subject="pg_hba.conf is read")
            (asked,) = logins.proofs_asked_for(cluster, "member").values()
        finally:
            access.write_text(before)
            sql.value(postgres, "SELECT pg_reload_conf()")
            eventually(
                lambda: sql.value(application, "SELECT 1"),
                within=5,
                subject="it is let in again",
                retry_on=(ConnectFailed,),
            )
        assert asked["asks for"].startswith("nothing: the login is refused (pg_hba.conf rejects connection")

    def test_a_door_that_is_shut_to_its_owner_proves_nothing(self, cluster: Cluster) -> None:
        shut = Cluster(replace(cluster.topology, application=Login("application", "forgotten")))
        with pytest.raises(Inconclusive, match="right login is refused"):
            logins.require_open_to_owner(shut, "endpoint")

    @pytest.mark.parametrize("where", ["endpoint", "member"])
    def test_a_login_in_the_clear_that_is_believed_is_told(self, cluster: Cluster, where: str) -> None:
        assert all_refused(logins.plain_logins(cluster, where)).holds is False

    def test_a_server_without_tls_proves_nothing_of_its_certificate(self, cluster: Cluster) -> None:
        verifying = Cluster(replace(cluster.topology, options={"sslmode": "verify-full"}))
        assert all_refused(logins.distrustful_logins(verifying, "endpoint")).holds is None

    def test_a_client_that_verifies_nothing_is_told(self, cluster: Cluster) -> None:
        assert all_refused(logins.distrustful_logins(cluster, "endpoint")).holds is False

    def test_a_door_that_is_gone_proves_nothing(self, cluster: Cluster) -> None:
        gone = Cluster(replace(cluster.topology, write=Address("127.0.0.1", free_port())))
        assert all_refused(logins.attempts(gone, "endpoint", "no password")).holds is None
        with pytest.raises(Inconclusive, match="not every endpoint answers"):
            logins.proofs_asked_for(gone, "endpoint")


class TestExposure:
    def search(self, cluster: Cluster) -> Search:
        return Search(exposure.passwords(cluster), decoy="decoy-1", planted=1)

    def test_every_password_is_sought(self, cluster: Cluster) -> None:
        assert set(exposure.passwords(cluster)) == {"the application's password", "the administrator's password"}

    def test_it_is_sought_in_the_forms_that_it_may_take(self, cluster: Cluster) -> None:
        odd = Cluster(replace(cluster.topology, application=Login("application", 'a "b"/ü')))
        forms = exposure.passwords(odd)["the application's password"]
        sent = b64encode('application:a "b"/ü'.encode())
        assert {'a "b"/ü'.encode(), json.dumps('a "b"/ü')[1:-1].encode(), b"a%20%22b%22%2F%C3%BC", sent} <= forms

    def test_a_password_that_is_a_name_cannot_be_sought(self, cluster: Cluster) -> None:
        named = replace(cluster.topology, administrator=None, application=Login("application", "application"))
        with pytest.raises(NotAvailable, match="also the name"):
            exposure.passwords(Cluster(named))

    def test_no_mishap_tells_a_password(self, cluster: Cluster) -> None:
        search = self.search(cluster)
        search.look_into(failing_logins.messages(cluster, search.decoy))
        assert search.places == 7, "six mishaps, and the cluster's description"
        assert decoy_found(search).holds is True
        assert nothing_told(search).holds is True

    def test_a_message_that_tells_is_found(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sql.Endpoint, "__str__", lambda endpoint: f"{endpoint.user}:{endpoint.password}")
        search = self.search(cluster)
        search.look_into(failing_logins.messages(cluster, search.decoy))
        finding = nothing_told(search)
        assert finding.holds is False
        assert "the application's password in a login to a database that is not there" in finding.words

    def test_a_mishap_that_does_not_happen_proves_nothing(self, cluster: Cluster) -> None:
        with pytest.raises(Inconclusive, match="a login to a database that is not there did not fail"):
            dict(failing_logins.messages(cluster, cluster.topology.database))

    def test_the_report_is_searched_without_what_configures_it(self, cluster: Cluster, tmp_path: Path) -> None:
        run = Run(id="1", directory=tmp_path / "run", results=tmp_path / "results", seed=1)
        run.directory.mkdir()
        run.results.mkdir()
        run.save()
        cluster.topology.save(run.topology)
        (run.directory / "sandbox").mkdir()
        cluster.topology.save(run.directory / "sandbox" / "configuration")
        run.journal.write_text("a line")
        planted = exposure.have_in_report(run, lambda name, text: (run.results / name).write_text(text), "decoy-1")
        search = self.search(cluster)
        search.look_into(exposure.report(run))
        assert (planted, search.places) == (1, 2)
        assert decoy_found(search).holds is True
        assert nothing_told(search).holds is True
        run.journal.write_text(cluster.topology.application.password)
        search.look_into(exposure.report(run))
        assert nothing_told(search).holds is False

    def test_a_run_without_a_report(self, tmp_path: Path) -> None:
        run = Run(id="1", directory=tmp_path, results=tmp_path / "results", seed=1)
        with pytest.raises(NotAvailable, match="no report is written"):
            exposure.have_in_report(run, lambda name, text: None, "decoy-1")

    def test_files_that_are_gone_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_bytes(b"a")
        assert list(exposure.files([tmp_path / "a.log", tmp_path / "b.log", tmp_path])) == [
            (str(tmp_path / "a.log"), b"a")
        ]
