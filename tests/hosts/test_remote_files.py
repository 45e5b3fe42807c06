"""A member's files on a machine reached by ssh: edited and put aside, and back again whatever becomes of the suite."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port
from patroni.config import _AUTH_ALLOWED_PARAMETERS
from remote_hosts import SCOPE, Machine, ssh_hosts
from servers import PASSWORD, postgres

from support import sql
from support.embedded.certificates import Authority
from support.errors import Inconclusive, NotAvailable, ProcessFailed
from support.faults.nemesis import Nemesis
from support.faults.process import DataDestroyed
from support.hosts.remote import Guards, HostRefused, ProgramAccess, RemoteHost, RemoteSite
from support.hosts.remote import files as remote_files
from support.hosts.remote.guards import heal_left
from support.hosts.remote.processes import parsed_table, program_trees
from support.hosts.remote.reach import Reach
from support.target.discovery.user_files import FoundFiles, find_files
from support.target.member_files import certificate_files, files_of, overruled
from support.waiting import NotYet, eventually

_CONFIGURATION = "scope: staging\ntags: {clonefrom: true}\npostgresql: {authentication: {replication: {username: r}}}\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("files")
    with ssh_hosts(folder, "one") as found:
        for program in ("patroni", "postgres"):
            shutil.copy(str(shutil.which("python3", path="/usr/bin")), folder / program)
        yield found["one"]


class Member:
    """What looks like one: programs of these names, a configuration file, a data directory."""

    def __init__(self, machine: Machine, folder: Path, title: str = "postgres -D data") -> None:
        self.machine, self.file, self.data = machine, folder / "patroni.yml", folder / "data"
        self.home = folder / "home of a user"
        self.home.mkdir()
        self.file.write_text(_CONFIGURATION)
        self.make_data("old")
        self._run("patroni", folder, str(self.file))
        self.serve(title)

    def make_data(self, word: str) -> None:
        (self.data / "pg_tblspc").mkdir(parents=True)
        (self.data / "PG_VERSION").write_text(word)

    def serve(self, title: str) -> None:
        """A process of PostgreSQL's with that title, in the data directory."""
        self._run("postgres", self.data, title)

    def end(self) -> None:
        self.machine.call("sh", "-c", "for p in $(pgrep 'patroni|postgres'); do kill -9 $p; done; :")

    def _run(self, program: str, where: Path, title: str) -> None:
        hears = "signal.signal(signal.SIGHUP, lambda *_: open('reloaded', 'w').close())"
        wait = f"import signal, time; {hears}; time.sleep(600); time.sleep(600)"
        binary = self.machine.folder.parent / program
        variables = f"HOME='{self.home}' PGSSLMODE=verify-full"
        self.machine.spawn("sh", "-c", f"cd {where} && exec env {variables} {binary} -c \"{wait}\" '{title}'")

    def files(self) -> FoundFiles:
        reach = Reach.of(self.machine.url)

        def found() -> FoundFiles:
            trees = program_trees(parsed_table(reach.run("table")), SCOPE)
            where = find_files(reach, trees.get("patroni", ()), SCOPE)
            if not where.configuration or where.data != str(self.data.resolve()):
                raise NotYet(str(where))
            return where

        return eventually(found, within=10, subject="it runs")

    def host(self, guards: Guards | None = None) -> RemoteHost:
        where = self.files()
        assert (where.file_fixed, where.data_fixed, where.data_moves) == ("", "", "")
        more = {"configuration": where.configuration, "data": where.data, "binaries": where.binaries}
        access = replace(self.machine.access(), programs={"patroni": ProgramAccess("true")}, **more)
        return RemoteSite({"one": access}, guards or Guards(grace=4, beat=1.0)).machines["one"]


@pytest.fixture
def member(machine: Machine, tmp_path: Path) -> Iterator[Member]:
    found = Member(machine, tmp_path)
    yield found
    assert machine.left() == []
    found.end()


@pytest.mark.parametrize(
    ("link", "title"), [("data", "-D data"), ("data", "-D {}/data/ --port=5432"), ("..", "-D {}/data")]
)
def test_a_data_directory_behind_a_link_is_left_where_it_is(
    machine: Machine, tmp_path: Path, link: str, title: str
) -> None:
    """Patroni would remove the link alone, and build the member anew on the disk where that was. A link further up the
    path leads to the same place before and afterwards."""
    disk, folder = tmp_path / "disk", tmp_path / "member"
    disk.mkdir()
    if link == "data":
        folder.mkdir()
        (folder / "data").symlink_to(disk)
    else:
        folder.symlink_to(disk)
    found = Member(machine, folder, f"postgres {title.format(folder)}")
    try:
        where = found.files()
    finally:
        found.end()
    assert where.data == str(disk if link == "data" else disk / "data")
    expected = f"{folder}/data is a symbolic link" if link == "data" else ""
    assert where.data_fixed.partition(",")[0] == where.data_moves.partition(",")[0] == expected


def test_an_edited_file_is_as_before_afterwards(member: Member) -> None:
    files = files_of(member.host())
    files.change_configuration({"tags": {"nofailover": True}})
    assert files.configuration()["tags"] == {"nofailover": True}
    assert files.configuration()["scope"] == "staging"
    files.restore_configuration()
    files.restore_configuration()
    assert member.file.read_text() == _CONFIGURATION


def test_a_file_that_somebody_else_has_given_back_is_no_evidence(member: Member) -> None:
    """As the management of a machine's configuration does, every half an hour."""
    files = files_of(member.host())
    files.change_configuration({"tags": {"nofailover": True}})
    member.file.write_text(_CONFIGURATION)
    with pytest.raises(Inconclusive, match="somebody else had ended it"):
        files.restore_configuration()


def test_a_guard_restores_an_edited_file(member: Member) -> None:
    files_of(member.host(Guards(grace=2, beat=60))).change_configuration({"tags": {}})
    assert member.file.read_text() != _CONFIGURATION
    eventually(lambda: _require(member.file.read_text() == _CONFIGURATION), within=8, subject="its guard restored it")
    _heal(member)


def _heal(member: Member) -> None:
    assert heal_left(Reach.of(member.machine.url))


def _require(true: object) -> None:
    if not true:
        raise NotYet("not so")


def _forget(machine: Machine, *folders: str) -> None:
    """What a reset of the machine loses: /run, and every process of ours."""
    machine.call(
        "sh", "-c", f"rm -rf {' '.join(folders)}; for p in $(pgrep -f '^sh /run/accep[t]/'); do kill -9 $p; done; :"
    )


@pytest.mark.parametrize("lost", [("/run/accept",), ("/run/accept", "/var/lib/accept")], ids=["a reset", "a new one"])
def test_a_reboot_loses_no_file(member: Member, lost: tuple[str, ...]) -> None:
    """With the second folder lost, as where a container is made anew, it is found beside what runs."""
    member.file.write_text(f"# a comment\n{_CONFIGURATION}")
    files_of(member.host(Guards(beat=600))).change_configuration({"tags": {"nofailover": True}})
    assert "a comment" not in member.file.read_text()
    _forget(member.machine, *lost)
    assert len(member.machine.left()) == 1, "which keeps every other run from it"
    told: list[str] = []
    assert heal_left(Reach.of(member.machine.url), told.append)
    assert [one.partition(" ")[0] for one in told] == ["healed"]
    assert member.file.read_text() == f"# a comment\n{_CONFIGURATION}"
    eventually(lambda: _require((member.file.parent / "reloaded").exists()), within=5, subject="it is read")
    assert not list(member.file.parent.glob("*.accept-*"))
    assert member.machine.call("ls", "/var/lib") == ""


def test_a_reboot_loses_no_data(member: Member) -> None:
    DataDestroyed(member.host(Guards(beat=600))).inject()
    _forget(member.machine, "/run/accept")
    assert len(member.machine.left()) == 1
    member.make_data("half of a copy")
    assert not heal_left(Reach.of(member.machine.url)), "it does not stream"
    shutil.rmtree(member.data)
    _heal(member)
    assert (member.data / "PG_VERSION").read_text() == "old"
    assert _kept(member) == []


def test_a_fault_of_before_a_reboot_is_over_and_its_scenario_undecided(member: Member) -> None:
    host = member.host(Guards(beat=600))
    files = files_of(host)
    files.change_configuration({"tags": {}})
    _forget(member.machine, "/run/accept")
    with pytest.raises(Inconclusive, match="was restarted"):
        files.restore_configuration()
    assert member.file.read_text() == _CONFIGURATION


def _kept(member: Member) -> list[Path]:
    return list(member.data.parent.glob("data.accept-*"))


def test_destroyed_data_is_kept_until_there_is_another_that_streams(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "_COPIED_WITHIN", 3.0)
    nemesis = Nemesis()
    nemesis.inject(DataDestroyed(member.host()))
    assert not member.data.exists()
    member.make_data("new")
    with pytest.raises(ProcessFailed, match="kept at") as told:
        nemesis.heal()
    (kept,) = _kept(member)
    assert str(kept) in str(told.value)
    member.serve("postgres: staging: walreceiver streaming 0/3000148")
    eventually(lambda: _heal(member), within=10, subject="it is healed")
    assert _kept(member) == []
    assert (member.data / "PG_VERSION").read_text() == "new"


def test_a_receiver_that_stays_streams_where_titles_are_not_updated(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With update_process_title off, a title shows what a process is, but not what it does."""
    monkeypatch.setattr(remote_files, "_COPIED_WITHIN", 3.0)
    nemesis = Nemesis()
    nemesis.inject(DataDestroyed(member.host()))
    member.make_data("new")
    member.serve("postgres: staging: startup ")
    member.serve("postgres: staging: walreceiver ")
    with pytest.raises(ProcessFailed, match="does not stream yet"):
        nemesis.heal()
    eventually(lambda: _heal(member), within=20, subject="it is healed")
    assert _kept(member) == []


def test_a_receiver_that_stays_and_does_not_stream_is_told_by_the_titles(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "_COPIED_WITHIN", 10.0)
    nemesis = Nemesis()
    nemesis.inject(DataDestroyed(member.host()))
    member.make_data("new")
    member.serve("postgres: staging: startup recovering 000000010000000000000003")
    member.serve("postgres: staging: walreceiver ")
    with pytest.raises(ProcessFailed, match="does not stream yet"):
        nemesis.heal()
    assert _kept(member)
    member.serve("postgres: staging: walreceiver streaming 0/3000148")
    eventually(lambda: _heal(member), within=10, subject="it is healed")


def test_destroyed_data_that_nobody_replaced_is_put_back(member: Member) -> None:
    fault = DataDestroyed(member.host(Guards(grace=2, beat=60)))
    fault.inject()
    assert not member.data.exists()
    eventually(lambda: _require(member.data.exists()), within=8, subject="its guard has put it back")
    assert (member.data / "PG_VERSION").read_text() == "old"
    assert _kept(member) == []
    _heal(member)


@pytest.mark.parametrize("how", ["symbolic link", "mount point"])
def test_data_of_which_a_part_is_elsewhere_is_left_alone(member: Member, tmp_path: Path, how: str) -> None:
    """A disk of its own for the WAL: a copy would fail as it is not empty, or put the WAL on the disk of the data."""
    host, wal = member.host(), member.data / "pg_wal"
    if how == "symbolic link":
        (tmp_path / "wal").mkdir()
        wal.symlink_to(tmp_path / "wal")
    else:
        wal.mkdir()
        member.machine.call("mount", "-t", "tmpfs", "tmpfs", str(wal))
    with pytest.raises(HostRefused, match=f"pg_wal is a {how}, so not all of the data is in"):
        DataDestroyed(host).inject()
    assert member.data.exists()
    if how == "mount point":
        member.machine.call("umount", str(wal))


@pytest.mark.parametrize("what", ["no PG_VERSION", "tablespaces"])
def test_what_is_not_understood_is_left_alone(member: Member, what: str) -> None:
    host = member.host()
    if what == "tablespaces":
        (member.data / "pg_tblspc/16400").symlink_to("/elsewhere")
    else:
        (member.data / "PG_VERSION").unlink()
    with pytest.raises(HostRefused, match=r"tablespaces|is not a PostgreSQL data directory"):
        DataDestroyed(host).inject()
    assert member.data.exists()
    assert host.files.environment()["PATH"]


def test_a_program_that_is_not_there_is_no_refusal_of_a_login(member: Member) -> None:
    with pytest.raises(NotAvailable, match=r"there is no .*psql on one"):
        files_of(member.host()).run("psql", "-c", "SELECT 1")


def _with_tls() -> Path:
    """The programs of a PostgreSQL that has TLS, which that of the wheel has not; skips the test if there is none."""
    for server in Path("/usr/lib/postgresql").glob("*/bin/postgres"):
        if "libssl" in subprocess.run(["ldd", server], capture_output=True, text=True, check=False).stdout:
            return server.parent
    pytest.skip("a PostgreSQL with TLS is needed, such as Debian's")


def test_a_login_is_tried_with_the_files_and_variables_of_patroni(member: Member, tmp_path: Path) -> None:
    """A certificate of its own, and the authority's, where libpq looks for them: in ~/.postgresql of its user."""
    bindir = _with_tls()
    address = f"{member.machine.address.rpartition('.')[0]}.1"
    authority, server, own = Authority.create(tmp_path / "ca"), tmp_path / "server", member.home / ".postgresql"
    authority.issue_client()
    issued = authority.issue([address])
    server.mkdir()
    for name, text in (("server.crt", issued.certificate), ("server.key", issued.key)):
        (server / name).touch(mode=0o600)
        (server / name).write_text(text)
    tls = {"cert": server / "server.crt", "key": server / "server.key", "ca": authority.certificate}
    settings = ["ssl=on", "listen_addresses=*", *(f"ssl_{name}_file={file}" for name, file in tls.items())]
    port = free_port()
    with postgres(server, port, bindir, *settings) as endpoint:
        with (server / "data/pg_hba.conf").open("a") as rules:
            rules.write("hostssl all all all scram-sha-256 clientcert=verify-ca\n")
        sql.execute(endpoint, "SELECT pg_reload_conf()")
        host = member.host()
        host.access = replace(host.access, binaries=str(bindir))
        login = [f"host={address} port={port} user=postgres dbname=postgres", "-wAtc", "SHOW ssl"]
        with pytest.raises(ProcessFailed, match=r"root\.crt"):
            host.files.run("psql", *login, passwords=[f"*:*:*:*:{PASSWORD}"])
        own.mkdir()
        certificate, key = authority.client
        for name, file in (("root.crt", tls["ca"]), ("postgresql.crt", certificate), ("postgresql.key", key)):
            shutil.copy(file, own / name)
        assert host.files.run("psql", *login, passwords=[f"*:*:*:*:{PASSWORD}"]).strip() == "on"
        (member.home / ".pgpass").touch(mode=0o600)
        (member.home / ".pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
        assert host.files.run("psql", *login).strip() == "on"


def test_a_file_that_is_not_there_is_empty(member: Member) -> None:
    (member.home / "client.crt").write_text("PEM")
    files = files_of(member.host())
    assert files.read(str(member.home / "client.crt")).strip() == b"PEM"
    assert files.read("/no/such/file") == b""


def test_passwords_are_in_a_file_only_while_they_are_needed(machine: Machine) -> None:
    reach = Reach.of(machine.url)
    said = reach.run("with_passwords", "*:*:*:*:it's\n", "sh", "-c", 'stat -c %a "$PGPASSFILE"; cat "$PGPASSFILE"')
    assert said.split() == ["600", "*:*:*:*:it's"]
    with pytest.raises(HostRefused):
        reach.run("with_passwords", "*:*:*:*:x\n", "false")
    assert machine.call("find", "/run/accept", "-name", "passwords*") == ""


@pytest.mark.parametrize(
    ("variables", "login"),
    [
        ({}, {"username": "of the file"}),
        ({"PATRONI_REPLICATION_USERNAME": "of the variable"}, {"username": "of the variable"}),
        *(
            ({f"PATRONI_REPLICATION_{name}".upper(): "x"}, {"username": "of the file", name: "x"})
            for name in _AUTH_ALLOWED_PARAMETERS
            if name != "username"
        ),
    ],
)
def test_variables_overrule_the_file(variables: Mapping[str, str], login: Mapping[str, str]) -> None:
    configured = {"postgresql": {"authentication": {"replication": {"username": "of the file"}}}}
    logins = overruled(configured, variables)["postgresql"]["authentication"]
    assert logins == {"replication": login}


def test_the_certificates_with_which_a_member_logs_in_are_named() -> None:
    """Each once, by whole paths, also by variables."""
    logins = {"superuser": {"sslcert": "/pg.crt"}, "replication": {"sslcert": "/pg.crt"}, "rewind": None}
    configured = {
        "etcd3": {"cert": "/etcd.crt", "cacert": "/ca.crt"},
        "ctl": {"certfile": "relative.crt"},
        "restapi": {"certfile": "/served.crt"},
        "postgresql": {"authentication": logins},
    }
    assert certificate_files(configured) == ("/etcd.crt", "/pg.crt")
    variables = {"PATRONI_ETCD3_CERT": "/other.crt", "PATRONI_CTL_CERTFILE": "/ctl.crt"}
    assert certificate_files(overruled(configured, variables)) == ("/other.crt", "/ctl.crt", "/pg.crt")
    assert certificate_files(overruled({}, {"PATRONI_REWIND_SSLCERT": "/pg.crt"})) == ("/pg.crt",)
    assert certificate_files({}) == certificate_files({"etcd3": None, "postgresql": None}) == ()
