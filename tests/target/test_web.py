"""Patroni's REST API and HAProxy's page by https: what is found with the right settings, and told of wrong ones."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from patronis import Member, patroni

from support import sql
from support.embedded.certificates import Authority
from support.errors import RequirementMissing, UsageError
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.discovery import user_cluster, web
from support.target.topology import Topology, WebAccess

HOST = "127.0.0.1"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The certificates of a server and of a client, and the authority that signed both; and another authority."""
    authority = Authority.create(tmp_path / "authority")
    found = {"ca": authority.certificate, "other": Authority.create(tmp_path / "other").certificate}
    for name, hosts in (("server", [HOST]), ("client", ["accept"])):
        issued = authority.issue(hosts)
        for kind, text in (("crt", issued.certificate), ("key", issued.key)):
            found[f"{name}.{kind}"] = tmp_path / f"{name}.{kind}"
            found[f"{name}.{kind}"].write_text(text)
    return found


@pytest.fixture
def port(postgres: sql.Endpoint, files: dict[str, Path]) -> Iterator[int]:
    """Where the Patroni of that PostgreSQL is, which asks clients for a certificate."""
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(files["server.crt"], files["server.key"])
    secure.load_verify_locations(files["ca"])
    secure.verify_mode = ssl.CERT_REQUIRED
    member = Member("pg1", "leader", f"{postgres.host}:{postgres.port}", f"{HOST}:1", postgres)
    with patroni(member, [member], secure) as found:
        yield found


def discovered(postgres: sql.Endpoint, **said: object) -> Topology:
    about = {"ruvector_host": postgres.host, "ruvector_port": postgres.port, "ruvector_db": postgres.database}
    login = {"ruvector_user": postgres.user, "ruvector_password": postgres.password}
    return user_cluster.discover(Settings.load({**about, **login, **said}))


def access(files: dict[str, Path], **other: str) -> dict[str, str]:
    given = {
        "patroni_ctl_cacert": str(files["ca"]),
        "patroni_ctl_certfile": str(files["client.crt"]),
        "patroni_ctl_keyfile": str(files["client.key"]),
        **other,
    }
    return {name: value for name, value in given.items() if value}


def test_members_are_found_by_https(postgres: sql.Endpoint, port: int, files: dict[str, Path]) -> None:
    topology = discovered(postgres, patroni_hosts=f"https://{HOST}:{port}", **access(files))
    assert [one.name for one in topology.members] == ["pg1"]
    assert Cluster(topology).leader() == "pg1"
    assert "certificates" not in topology.lacks


def test_a_certificate_without_the_address_that_a_member_announces_is_told(
    postgres: sql.Endpoint, tmp_path: Path
) -> None:
    """As where certificates name hosts, and the members announce IP addresses."""
    authority = Authority.create(tmp_path / "authority")
    issued = authority.issue(["localhost"])
    for kind, text in (("crt", issued.certificate), ("key", issued.key)):
        (tmp_path / f"by_name.{kind}").write_text(text)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(tmp_path / "by_name.crt", tmp_path / "by_name.key")
    leader = Member("pg1", "leader", f"{postgres.host}:{postgres.port}", f"{HOST}:1", postgres)
    members = [leader, Member("pg2", "replica", f"{HOST}:1", "", None)]
    with patroni(leader, members, secure) as first, patroni(members[1], members, secure) as second:
        members[1].api = f"{HOST}:{second}"
        trusted = str(authority.certificate)
        topology = discovered(postgres, patroni_hosts=f"localhost:{first}", patroni_ctl_cacert=trusted)
    assert (
        f"pg2: {HOST}:{second} cannot be reached from here (certificate verify failed: IP address mismatch, "
        f"certificate is not valid for '{HOST}'): its certificate was rejected: check PATRONI_CTL_CACERT, and that "
        "PATRONI_HOSTS has the names in it"
    ) in topology.lacks["patroni"]


@pytest.mark.parametrize(
    ("other", "advice"),
    [
        ({"patroni_ctl_cacert": "other"}, "check PATRONI_CTL_CACERT"),
        ({"patroni_ctl_certfile": "", "patroni_ctl_keyfile": ""}, "check PATRONI_CTL_CERTFILE and PATRONI_CTL_KEYFILE"),
        (
            dict.fromkeys(("patroni_ctl_cacert", "patroni_ctl_certfile", "patroni_ctl_keyfile"), ""),
            "PATRONI_CTL_CACERT",
        ),
    ],
)
def test_wrong_access_is_told(
    postgres: sql.Endpoint, port: int, files: dict[str, Path], other: dict[str, str], advice: str
) -> None:
    said = access(files, **{name: str(files[value]) if value else "" for name, value in other.items()})
    with pytest.raises(RequirementMissing) as told:
        discovered(postgres, patroni_hosts=f"{HOST}:{port}", **said)
    assert f"no Patroni REST API answers at {HOST}:{port}: " in str(told.value)
    assert advice in str(told.value)


def test_https_where_there_is_none(postgres: sql.Endpoint, files: dict[str, Path]) -> None:
    member = Member("pg1", "leader", f"{postgres.host}:{postgres.port}", f"{HOST}:1", postgres)
    with (
        patroni(member, [member]) as plain,
        pytest.raises(RequirementMissing, match="it speaks plain HTTP: leave PATRONI_CTL_CACERT out"),
    ):
        discovered(postgres, patroni_hosts=f"{HOST}:{plain}", **access(files))


def test_files_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"PATRONI_CTL_CACERT is '/no/such': there is no such file"):
        web.of_patroni(Settings.load({"patroni_ctl_cacert": "/no/such"}))
    (tmp_path / "key").touch()
    with pytest.raises(UsageError, match="give that, too, as PATRONI_CTL_CERTFILE"):
        web.of_patroni(Settings.load({"patroni_ctl_keyfile": str(tmp_path / "key")}))
    with pytest.raises(UsageError, match="HAPROXY_STATS_CACERT is '/no/such'"):
        web.authority_of_page(Settings.load({"haproxy_stats_cacert": "/no/such"}))


def test_https_by_the_address_alone_trusts_what_the_system_trusts() -> None:
    assert web.of_patroni(Settings.load({"patroni_hosts": "https://db1:8008"})) == WebAccess("https")
    assert web.of_patroni(Settings.load({"patroni_hosts": "db1:8008"})) == WebAccess()
