"""Where members are reached from here, told by what answers: real PostgreSQLs under addresses that lead nowhere."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import postgres as throw_away_postgres

from support import sql
from support.errors import RequirementMissing, UsageError
from support.failover import member_health
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.discovery import addresses, identity, user_cluster
from support.target.discovery.addresses import Place, Reach
from support.target.leadership import member_roles
from support.target.login import salt
from support.target.members import status_of
from support.target.patroni_commands import restart
from support.target.topology import Address, Topology
from support.waiting import NotYet


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sql.Endpoint, sql.Endpoint]]:
    """Two PostgreSQLs on one host, at ports of their own."""
    with ExitStack() as both:
        found = [
            both.enter_context(throw_away_postgres(tmp_path_factory.mktemp(name), free_port())) for name in ("a", "b")
        ]
        yield found[0], found[1]


@pytest.fixture
def cluster(pair: tuple[sql.Endpoint, sql.Endpoint]) -> list[Member]:
    """A leader and a replica, by Patroni's word, which call themselves by names that are known nowhere here."""
    a, b = pair
    return [
        Member("a", "leader", f"a.invalid:{a.port}", "a.invalid:8008", a),
        Member("b", "replica", f"b.invalid:{b.port}", "b.invalid:8008", b),
    ]


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither accept.toml nor a variable of the developer's."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def apis() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def published(apis: ExitStack, cluster: list[Member], known: list[Member] | None = None) -> list[str]:
    """Where the REST APIs of those members are reached."""
    return [f"localhost:{apis.enter_context(patroni(one, known or cluster))}" for one in cluster]


def look(pair: tuple[sql.Endpoint, sql.Endpoint], hosts: list[str], **said: object) -> Topology:
    """What is found of the cluster. The write endpoint is the leader, by another name of this host."""
    a = pair[0]
    target = {
        "ruvector_host": "127.0.0.2" if said.pop("apart", False) else a.host,
        "ruvector_port": a.port,
        "ruvector_password": a.password,
        "patroni_hosts": ",".join(hosts) or None,
    }
    return user_cluster.discover(Settings.load(target | said))


def reached(topology: Topology) -> dict[str, tuple[str, str]]:
    return {one.name: ("" if one.unreached else str(one.postgres), str(one.rest)) for one in topology.members}


def places(pair: tuple[sql.Endpoint, sql.Endpoint]) -> dict[str, str]:
    return {"a": f"localhost:{pair[0].port}", "b": f"localhost:{pair[1].port}"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("localhost:5435", Place(Address("localhost", 5435))),
        ("db1", Place(Address("db1", 5432))),
        ("localhost:5435/8009", Place(Address("localhost", 5435), Address("localhost", 8009))),
        ("db1/8008", Place(Address("db1", 5432), Address("db1", 8008))),
        ("db1:5433/api1:8009", Place(Address("db1", 5433), Address("api1", 8009))),
        ("[::1]:5435/8009", Place(Address("::1", 5435), Address("::1", 8009))),
    ],
)
def test_a_place(text: str, place: Place) -> None:
    assert addresses.places("[members]", {"m": text}) == {"m": place}


@pytest.mark.parametrize("text", ["", "localhost:abc", "a:1:2", "localhost:5435/", "db1:70000", "http://db1", "/8008"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match=r"\[members\]: m = .*host:port/port"):
        addresses.places("[members]", {"m": text})


def test_what_comes_of_a_connection(postgres: sql.Endpoint) -> None:
    at = Address(postgres.host, postgres.port)
    nobody, unknown = Address("127.0.0.1", free_port()), Address("nowhere.invalid", 5432)
    assert addresses.reach_each([at, nobody, unknown]) == {
        at: Reach.OPEN,
        nobody: Reach.REFUSED,
        unknown: Reach.UNKNOWN,
    }


def test_servers_are_told_by_how_they_salt(pair: tuple[sql.Endpoint, sql.Endpoint]) -> None:
    a, b = (one.as_user("made_up", "") for one in pair)
    assert salt(a) == salt(replace(a, database="another")) != ""
    assert salt(a) != salt(b)


def test_published_members_are_found_by_what_they_say(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    hosts = published(apis, cluster)
    assert reached(look(pair, hosts[::-1], members={"a": places(pair)["a"]})) == {
        "a": (places(pair)["a"], hosts[0]),
        "b": (places(pair)["b"], hosts[1]),
    }


def test_the_hosts_that_members_tell_others_to_connect_to_are_known(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    cluster[1].api = "api.b.invalid:8008"
    found = look(pair, published(apis, cluster), members=places(pair))
    assert found.advertised == {"a": ("a.invalid",), "b": ("b.invalid", "api.b.invalid")}


def test_an_endpoint_is_no_members_own_address(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    topology = look(pair, published(apis, cluster))
    assert reached(topology)["a"][0] == ""
    assert "a.invalid" in topology.lacks["members"]
    assert "say in [members] where a is" in topology.lacks["members"]
    assert "patroni" not in topology.lacks


@pytest.mark.parametrize("tells_name", [True, False], ids=["by name", "by its server"])
def test_the_address_of_whoever_leads_is_no_members_own(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack, tells_name: bool
) -> None:
    """As a virtual address, at which the Patroni of the leader answers, whichever member that is."""
    for one, at in zip(cluster, published(apis, cluster), strict=True):
        one.tells_name, one.api = tells_name, at.replace("localhost", "127.0.0.1")
    (moving,) = published(apis, cluster[:1], cluster)
    own = {one.name: one.api for one in cluster}
    for hosts in ([moving], [*own.values(), moving]):
        found = reached(look(pair, hosts, members=places(pair)))
        assert {name: rest for name, (_, rest) in found.items()} == own


@pytest.mark.parametrize("stranger", [{"name": "b"}, {"beside": None, "scope": "another"}, {"beside": "b"}], ids=str)
def test_a_stranger_at_a_members_own_address_is_not_that_member(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack, stranger: dict[str, Any]
) -> None:
    """As where members call themselves by addresses that mean another machine here."""
    hosts = published(apis, cluster)
    if "beside" in stranger:
        stranger = stranger | {"beside": pair[1] if stranger["beside"] else None}
    (there,) = published(apis, [replace(cluster[0], **stranger)], cluster)
    cluster[0].api = there
    assert reached(look(pair, hosts, members=places(pair)))["a"][1] == hosts[0]


def test_a_dead_member_is_not_counted_twice_where_both_its_addresses_are_right(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    """As with containers on this machine, which are reached at their own addresses and at published ports."""
    gone, dead = Member("c", "replica", "c.invalid:5432", "c.invalid:8008", None), f"localhost:{free_port()}"
    hosts = published(apis, cluster, [*cluster, gone])
    for one, at in zip(cluster, published(apis, cluster, [*cluster, gone]), strict=True):
        one.api = at
    topology = look(pair, [*hosts, dead], members=places(pair))
    assert [(one.name, str(one.rest)) for one in topology.absent] == [("c", dead)]
    assert {name: rest for name, (_, rest) in reached(topology).items()} == {one.name: one.api for one in cluster}


def test_the_place_in_members_counts(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    hosts = published(apis, cluster)
    (own,) = published(apis, cluster[:1], cluster)
    cluster[0].api = own
    declared = places(pair) | {"a": f"{places(pair)['a']}/{hosts[0].partition(':')[2]}"}
    assert reached(look(pair, hosts[1:], members=declared))["a"][1] == hosts[0]


def test_another_member_that_answers_at_a_members_address_is_not_taken_for_it(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    """An address that moved: what b says there is no word of a, and what a is to do is not told to b."""
    hosts = published(apis, cluster)
    topology = look(pair, hosts, members=places(pair))
    cluster[0].extra = {"xlog": {"location": 1}, "timeline": 1}
    assert member_roles(Cluster(topology))["a"] == "the primary on timeline 1"
    cluster[0].name, cluster[0].replies = "b", {"/restart": (200, "restarted")}
    moved = Cluster(topology)
    assert "a" not in member_roles(moved)
    words = rf"b answers at http://{hosts[0]}, and not a: give the address of .* in \[members\]"
    for ask in (status_of, restart):
        with pytest.raises(NotYet, match=words):
            ask(moved, "a")
    restart(Cluster(replace(topology, members=(replace(topology.members[0], name="b"),))), "b")


def test_names_are_told_where_patroni_does_not_say_them(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    silent = [replace(one, tells_name=False) for one in cluster]
    hosts = published(apis, silent)
    assert {name: at for name, (_, at) in reached(look(pair, hosts[::-1])).items()} == {"a": hosts[0], "b": hosts[1]}


def test_what_is_said_of_a_member_is_held_against_what_is_there(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    hosts, at = published(apis, cluster), places(pair)
    with pytest.raises(UsageError, match=r"\[members\] says that b is at .*, but that is a"):
        look(pair, hosts, members={"b": at["a"]})
    with pytest.raises(UsageError, match=r"names c, which Patroni does not know: it knows a, b; at .* is b"):
        look(pair, hosts, members={"c": at["b"]})
    with pytest.raises(UsageError, match=r"the Patroni of a is at .*, but that is b's"):
        look(pair, hosts, members={"a": f"{at['a']}/{hosts[1].partition(':')[2]}"})


def test_a_declared_member_that_is_dead_is_expected(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    dead = f"localhost:{free_port()}"
    topology = look(pair, [*published(apis, cluster), dead], members=places(pair))
    assert [one.name for one in topology.absent] == [dead]
    assert not topology.lacks.keys() & {"members", "replicas", "patroni"}
    seen = Cluster(topology)
    assert seen.members == ("a", "b")
    assert seen.as_declared.members == ("a", "b", dead)


def test_a_dead_member_may_be_known_by_its_database_alone(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    dead = f"localhost:{free_port()}"
    seen = Cluster(look(pair, published(apis, cluster), members={**places(pair), "c": dead})).as_declared
    signs = member_health.vital_signs(seen)
    assert signs["a"] == {"PostgreSQL": "answers", "Patroni": "without a heartbeat"}  # /liveness is not said here
    assert "Connection refused" in signs["c"]["PostgreSQL"]
    assert signs["c"]["Patroni"] == "no answer (the address of its Patroni is not known ([members]))"


def test_a_server_that_does_not_tell_its_system(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    known = identity.server_at(pair[0])
    assert identity.ServerIdentity(known.started, "") == known
    assert identity.ServerIdentity(known.started, "another") != known
    for one in pair:
        sql.execute(one, "REVOKE EXECUTE ON FUNCTION pg_control_system FROM PUBLIC")
        sql.execute(one, "CREATE ROLE app LOGIN PASSWORD 'secret'")
    try:
        app = {"ruvector_user": "app", "ruvector_password": "secret", "ruvector_db": "postgres"}
        assert identity.server_at(pair[0].as_user("app", "secret")).system == ""
        topology = look(pair, published(apis, cluster), members=places(pair), **app)
        assert reached(topology)["b"][0] == places(pair)["b"]
    finally:
        for one in pair:
            sql.execute(one, "DROP ROLE app")
            sql.execute(one, "GRANT EXECUTE ON FUNCTION pg_control_system TO PUBLIC")


def test_a_dead_member_has_the_name_that_is_said_or_known(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    dead, at = free_port(), places(pair)
    gone = Member("c", "replica", "c.invalid:5432", "c.invalid:8008", None)
    said = look(pair, published(apis, cluster), members={**at, "c": f"localhost:{free_port()}/{dead}"})
    assert [one.name for one in said.absent] == ["c"]
    listed = published(apis, cluster, [*cluster, gone])
    known = look(pair, [*listed, f"localhost:{dead}"], members=at)
    assert [(one.name, str(one.rest)) for one in known.absent] == [("c", f"localhost:{dead}")]
    assert set(known.lacks).isdisjoint({"members", "patroni"})


def test_a_dead_member_is_one_where_its_database_and_its_patroni_are_said_apart(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    """Patroni has forgotten it: [members] has the name and the database, PATRONI_HOSTS the REST API."""
    database, rest = f"localhost:{free_port()}", f"localhost:{free_port()}"
    topology = look(pair, [*published(apis, cluster), rest], members={**places(pair), "c": database})
    assert [(one.name, str(one.postgres), str(one.rest)) for one in topology.absent] == [("c", database, rest)]


def test_two_dead_members_of_which_one_has_a_name_stay_apart(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    database, rests = f"localhost:{free_port()}", [f"localhost:{free_port()}", f"localhost:{free_port()}"]
    topology = look(pair, [*published(apis, cluster), *rests], members={**places(pair), "c": database})
    assert [(one.name, one.rest is None) for one in topology.absent] == [("c", True), *((one, False) for one in rests)]


def test_members_whose_patroni_was_not_given_are_told(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    topology = look(pair, published(apis, cluster)[:1], members=places(pair))
    told = r"b: b\.invalid:8008 cannot be reached from here \(\[Errno -\d\] [\w ]+\): "
    advice = r"add its address to PATRONI_HOSTS, or to \[members\]"
    assert re.search(f"{told}{advice}$", topology.lacks["patroni"])
    (cluster[1].api,) = published(apis, cluster[:1], cluster)
    topology = look(pair, published(apis, cluster)[:1], members=places(pair))
    assert re.search(f"b: at its own address {cluster[1].api}, a answers here: {advice}$", topology.lacks["patroni"])


def test_a_patroni_of_another_cluster_is_no_member(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    other = Member("x", "leader", "x.invalid:5432", "x.invalid:8008", pair[1], scope="another")
    hosts = [*published(apis, [other]), *published(apis, cluster)]
    topology = look(pair, hosts, members=places(pair))
    assert topology.scope == "test"
    assert set(reached(topology)) == {"a", "b"}
    assert [one.name for one in topology.absent] == [f"{hosts[0]} (of cluster another)"]


def test_a_member_that_refuses_the_application_is_evidence(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    hosts = published(apis, cluster)
    a, b = pair
    for one in pair:
        sql.execute(one, "CREATE ROLE app LOGIN PASSWORD 'secret'")
    sql.execute(b, "ALTER ROLE app CONNECTION LIMIT 0")
    try:
        app = {"ruvector_user": "app", "ruvector_password": "secret", "ruvector_db": "postgres"}
        topology = look(pair, hosts, members=places(pair), **app)
        assert "members" not in topology.lacks
        assert topology.absent == ()
        sql.execute(a, "ALTER ROLE app CONNECTION LIMIT 0")
        with pytest.raises(Exception, match="too many connections"):
            look(pair, hosts, members=places(pair), **app)
    finally:
        for one in pair:
            sql.execute(one, "DROP ROLE app")


def test_a_superuser_whom_a_member_lets_in_is_no_wrong_declaration(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    """As where a pooler before the members does not know superusers; here, the leader does not know this one."""
    hosts = published(apis, cluster)
    given = {"accept_admin_user": "boss", "accept_admin_password": "secret", "members": places(pair)}
    with pytest.raises(RequirementMissing, match="ACCEPT_ADMIN_USER declares something that does not exist: the write"):
        look(pair, hosts, **given)
    sql.execute(pair[1], "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'secret'")
    try:
        lacks = look(pair, hosts, **given).lacks
        assert lacks["admin"].startswith("the superuser cannot log in to every member: member a")
        assert lacks["monitor"] == lacks["admin"], "that login is used to see the sessions of each member"
        assert lacks["archive_status"] == lacks["admin"]
    finally:
        sql.execute(pair[1], "DROP ROLE boss")


def test_where_patroni_is_declared_and_silent_nothing_is_skipped(pair: tuple[sql.Endpoint, sql.Endpoint]) -> None:
    with pytest.raises(RequirementMissing, match="PATRONI_HOSTS"):
        look(pair, [f"localhost:{free_port()}"])


def test_the_patroni_of_another_database_is_not_ours(
    pair: tuple[sql.Endpoint, sql.Endpoint], cluster: list[Member], apis: ExitStack
) -> None:
    hosts = published(apis, [replace(one, beside=pair[1]) for one in cluster])
    with pytest.raises(RequirementMissing, match="a database system other than the one under test"):
        look(pair, hosts)
    port = hosts[0].partition(":")[2]
    assert "a database system other than" in look(pair, [], patroni_port=port).lacks["patroni"]


def test_where_several_addresses_lead_to_a_member_none_is_taken(pair: tuple[sql.Endpoint, sql.Endpoint]) -> None:
    a, b = (identity.server_at(one) for one in pair)
    assert a != b
    found, in_doubt = identity.published(
        pair[0], {"a": a, "b": b}, {"localhost": 1, "127.0.0.1": 1}, [pair[0].port, pair[1].port], ()
    )
    assert found == {}
    assert set(in_doubt) == {"a", "b"}


@pytest.mark.parametrize(("required", "all_found"), [("scram-sha-256", True), ("md5", False)])
def test_members_are_searched_by_the_methods_that_the_user_requires(
    pair: tuple[sql.Endpoint, sql.Endpoint], required: str, all_found: bool
) -> None:
    """Their passwords are stored for SCRAM."""
    wanted = dict(zip("ab", map(identity.server_at, pair), strict=True))
    base, ports = replace(pair[0], options={"require_auth": required}), [one.port for one in pair]
    found, _ = identity.published(base, wanted, {"localhost": 1}, ports, ())
    assert (found.keys() == {"a", "b"}) is all_found
