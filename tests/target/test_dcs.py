"""What Patroni keeps in its DCS, read by Patroni's own clients from real DCSs; and wrong settings for them."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from booting import boots
from conftest import free_port
from etcd_servers import Ensemble, ask, encoded, ensemble, put, require_login, secured

from support.errors import RequirementMissing, UsageError
from support.settings import Settings
from support.target import dcs, etcd
from support.target.discovery.addresses import Reach, reach
from support.target.discovery.dcs import Declared, _members_unknown, _wrong, declared, discover
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually

ETCD = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")
NOWHERE = Topology("app", Login("app", ""), Address("db", 1), scope="main")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """One etcd without TLS or logins, which also answers by its API v2."""
    with ensemble(tmp_path_factory.mktemp("etcd"), 1, enable_v2="true") as found:
        yield found


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """One etcd with TLS and a login; Patroni's cluster main is in /team/db."""
    with secured(tmp_path_factory.mktemp("secured")) as found:
        keep(found.topology(0, scope="main"), "/team/db/main", system="4711")
        require_login(found.topology(0), "secret")
        found.access = {**found.access, "username": "root", "password": "secret"}
        yield found


KEPT = frozenset({"pg2", "pg9"})


def keep(topology: Topology, path: str, system: str = "4711", leader: str = "pg1") -> None:
    """The keys of a cluster of three, as Patroni writes them."""
    values = {
        "initialize": system,
        "leader": leader,
        "status": json.dumps({"optime": 50331648, "slots": {"pg2": 50331648}, "retain_slots": ["pg2", "pg9"]}),
        "sync": json.dumps({"leader": leader, "sync_standby": "pg2,pg3", "quorum": 1}),
        "failover": "{}",
    }
    for name, value in values.items():
        put(topology, f"{path}/{name}", value)


@ETCD
def test_all_that_is_known_of_a_cluster(plain: Ensemble) -> None:
    topology = plain.topology(0, scope="whole")
    assert dcs.state(topology) == dcs.GroupState()
    keep(topology, "/service/whole")
    keep(topology, "/service/whole0", leader="of another cluster")
    assert dcs.state(topology) == dcs.GroupState("4711", "pg1", frozenset({"pg2", "pg3"}), 50331648, {}, KEPT)
    put(topology, "/service/whole/failover", '{"leader": "pg1", "member": "pg2"}')
    assert dcs.state(topology).failover == {"leader": "pg1", "candidate": "pg2"}


@ETCD
def test_groups(plain: Ensemble) -> None:
    topology = plain.topology(0, scope="sharded")
    for group in (0, 1):
        keep(topology, f"/service/sharded/{group}", leader=f"leader of {group}")
    assert dcs.state(topology).leader == "leader of 0"  # even where nothing is known about its workers
    members = tuple(MemberAddress(f"m{group}", Address("db", 5432), None, group) for group in (0, 1))
    assert dcs.state(replace(topology, members=members), 1).leader == "leader of 1"
    assert dcs.state(replace(topology, members=members), 2) == dcs.GroupState()


@ETCD
def test_api_v2(plain: Ensemble) -> None:
    address = plain.clients[0]
    topology = replace(plain.topology(0, scope="old"), dcs_access={"etcd": {"hosts": str(address)}})
    for name, value in (("initialize", "4711"), ("leader", "pg1")):
        url = f"http://{address}/v2/keys/service/old/{name}"
        requests.put(url, data={"value": value}, timeout=5).raise_for_status()
    assert dcs.state(topology).leader == "pg1"
    assert dcs.kind(topology) == "etcd (v2 API)"
    found, lacks = discover(topology, Declared(topology.dcs, topology.dcs_access), "4711")
    assert (found.dcs_namespace, lacks) == ("/service", {})


@ETCD
def test_a_node_that_is_gone_is_passed_over(plain: Ensemble) -> None:
    keep(plain.topology(0), "/service/some")
    gone = Address("127.0.0.1", free_port())
    topology = replace(plain.topology(0, scope="some"), dcs=(gone, *plain.clients))
    assert dcs.state(topology).leader == "pg1"


@pytest.mark.parametrize(("section", "advised"), [("consul", True), ("zookeeper", False)])
def test_keys_that_a_token_may_not_read_look_as_if_they_were_not_there(section: str, advised: bool) -> None:
    """In Consul: it leaves them out of what it lists."""
    said = replace(NOWHERE, dcs_access={section: {"host": "db"}}, dcs_namespace="/service")
    words = _wrong(said, dcs.GroupState(), "4711")
    assert "give the namespace of Patroni's own configuration" in words
    assert ("or a token that may read them ([dcs.consul] token)" in words) is advised


def test_nobody_answers() -> None:
    nowhere = replace(NOWHERE, dcs=(Address("127.0.0.1", free_port()),))
    with pytest.raises(dcs.Unreadable, match=r"etcd gave no answer: .*refused"):
        dcs.state(nowhere)


@ETCD
def test_the_namespace_is_found(plain: Ensemble) -> None:
    topology = plain.topology(0, scope="shop")
    keep(topology, "/db/shop", "4711")
    keep(topology, "/team/a/shop", "4712", leader="pg2")
    found, lacks = discover(topology, Declared(topology.dcs), "4712")
    assert (found.dcs_namespace, lacks) == ("/team/a", {})
    assert dcs.state(found).leader == "pg2"
    _, lacks = discover(topology, Declared(topology.dcs), "another")
    assert lacks == {"dcs_keys": "several clusters are called shop, in /db and /team/a"}
    _, lacks = discover(replace(topology, scope="nobody"), Declared(topology.dcs), "1")
    assert "no keys of Patroni's cluster nobody" in lacks["dcs_keys"]


def test_an_etcd_that_is_declared_and_not_there() -> None:
    gone = (Address("127.0.0.1", free_port()),)
    with pytest.raises(RequirementMissing, match="ETCD_HOSTS declares something that does not exist"):
        discover(NOWHERE, Declared(gone), "")


def test_no_dcs_was_named() -> None:
    _, lacks = discover(NOWHERE, Declared(), "")
    assert lacks == dict.fromkeys(("dcs", "dcs_keys"), "no DCS was named ([dcs] or ETCD_HOSTS)")


def asked(section: Mapping[str, Any], **further: object) -> tuple[Topology, dict[str, str]]:
    """What is found by these settings."""
    settings = Settings.load({"dcs": {"etcd3": section, **further}})
    return discover(NOWHERE, declared(settings), "4711")


@ETCD
def test_tls_a_login_and_another_namespace(encrypted: Ensemble) -> None:
    for given in ({}, {"namespace": "/team/db/"}, {"namespace": "team/db", "scope": "main"}):
        found, lacks = asked(encrypted.section(0), **given)
        assert (found.dcs_namespace, lacks) == ("/team/db", {})
        assert dcs.state(found).leader == "pg1"
    assert "secret" in found.secrets
    assert "secret" not in repr(found)


@ETCD
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"password": "wrong"}, "check username and password"),
        ({"username": "", "password": ""}, "set username and password"),
        ({"cacert": ""}, "check cacert"),
        ({"protocol": "http"}, "check protocol"),
        ({"hosts": ["127.0.0.1:1"]}, "check hosts"),
        ({"hosts": ["no-such-host.invalid:2379"]}, "check hosts"),
    ],
)
def test_wrong_access_is_told_in_one_line(encrypted: Ensemble, change: Mapping[str, Any], complaint: str) -> None:
    section = {name: value for name, value in {**encrypted.section(0), **change}.items() if value != ""}
    with pytest.raises(RequirementMissing) as told:
        asked(section, namespace="/team/db")
    assert str(told.value).startswith("[dcs.etcd3] cannot be read: ")
    assert complaint in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400


@ETCD
def test_a_login_that_may_not_look_for_the_namespace(tmp_path: Path) -> None:
    """As in Pigsty, whose logins may read the keys of one cluster only: it is the right one all the same."""
    with ensemble(tmp_path, 1) as found:
        keep(found.topology(0), "/pg/main/main")
        may_read = {"permType": "READ", "key": encoded("/pg/main/"), "range_end": encoded("/pg/main0")}
        ask(found.topology(0), "/v3/auth/user/add", {"name": "main", "password": "secret"})
        ask(found.topology(0), "/v3/auth/role/add", {"name": "one"})
        ask(found.topology(0), "/v3/auth/role/grant", {"name": "one", "perm": may_read})
        ask(found.topology(0), "/v3/auth/user/grant", {"user": "main", "role": "one"})
        require_login(found.topology(0), "other")
        section = {**found.section(0), "username": "main", "password": "secret"}
        topology, lacks = asked(section, namespace="/pg/main")
        assert (dcs.state(topology).leader, lacks) == ("pg1", {})
        with pytest.raises(RequirementMissing) as untold:
            asked(section)
        with pytest.raises(RequirementMissing) as wrong:
            asked(section, namespace="/service")
    assert "give the namespace of Patroni's own configuration ([dcs] namespace)" in str(untold.value)
    assert "use the one in Patroni's own configuration" not in str(untold.value)
    assert str(wrong.value).endswith("use the one in Patroni's own configuration")


@ETCD
def test_a_certificate_of_the_client(tmp_path: Path) -> None:
    with secured(tmp_path, client_certificates=True) as found:
        keep(found.topology(0, scope="main"), "/service/main")
        topology, lacks = asked(found.section(0), namespace="/service")
        assert (dcs.state(topology).leader, lacks) == ("pg1", {})
        without = {name: value for name, value in found.section(0).items() if name not in ("cert", "key")}
        with pytest.raises(RequirementMissing, match=r"check .*cert and key"):
            asked(without)


@ETCD
def test_a_certificate_with_its_key_in_one_file(tmp_path: Path) -> None:
    with secured(tmp_path, client_certificates=True) as found:
        keep(found.topology(0, scope="main"), "/service/main")
        both = tmp_path / "both.pem"
        both.write_text((tmp_path / "client.crt").read_text() + (tmp_path / "client.key").read_text())
        section = {name: value for name, value in found.section(0).items() if name != "key"} | {"cert": str(both)}
        topology, lacks = asked(section)
        assert (dcs.state(topology).leader, lacks) == ("pg1", {})


@ETCD
def test_a_proxy_is_asked_as_its_url_says(encrypted: Ensemble) -> None:
    """By Patroni, too, whatever else is there."""
    authority = encrypted.access["cacert"]
    section = {"proxy": f"https://root:secret@{encrypted.clients[0]}", "hosts": ["127.0.0.1:1"], "cacert": authority}
    found, lacks = asked(section)
    assert (found.dcs, found.dcs_namespace, lacks) == (tuple(encrypted.clients), "/team/db", {})
    assert dcs.state(found).leader == "pg1"


@ETCD
def test_hosts_are_asked_rather_than_a_url(plain: Ensemble) -> None:
    keep(plain.topology(0), "/service/main")
    found, lacks = asked({"url": "http://127.0.0.1:1", "hosts": [str(plain.clients[0])]})
    assert (dcs.state(found).leader, lacks) == ("pg1", {})


@pytest.mark.parametrize("option", ["srv", "discovery_srv", "srv_domain"])
@pytest.mark.parametrize("kind", ["etcd3", "etcd"])
def test_addresses_in_dns_are_not_searched(kind: str, option: str) -> None:
    said = declared(Settings.load({"dcs": {kind: {option: "example.org"}}}))
    lacks = _members_unknown(replace(NOWHERE, dcs=said.etcd, dcs_access=said.access))
    assert lacks["dcs"].startswith(f"etcd's addresses are in DNS ({option})")


@ETCD
def test_wrong_names_are_told(encrypted: Ensemble) -> None:
    with pytest.raises(RequirementMissing, match=r"namespace /db of etcd has no keys .* main \(it has such keys in /t"):
        asked(encrypted.section(0), namespace="/db")
    with pytest.raises(RequirementMissing, match="scope = 'mine', but Patroni says that its cluster is called main"):
        asked(encrypted.section(0), scope="mine")
    said = declared(Settings.load({"dcs": {"etcd3": encrypted.section(0), "namespace": "/team/db"}}))
    with pytest.raises(RequirementMissing, match=r"keys of another cluster called main .* yours is 4712"):
        discover(NOWHERE, said, "4712")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"etcd4": {"hosts": "a"}}, r"\[dcs\] etcd4 is not a DCS that Patroni supports; did you mean etcd"),
        ({"postgres": {}}, "it is one of etcd3, etcd, zookeeper"),
        ({"namespace": "/db"}, "needs the section of one DCS"),
        ({"etcd3": {"hosts": "a"}, "consul": {"host": "b"}}, "needs the section of one DCS"),
        ({"etcd3": "10.0.0.1"}, "needs the section of one DCS"),
        ({"etcd3": {}}, r"\[dcs.etcd3\] does not say where etcd is"),
        ({"etcd3": {"hosts": "a", "port": "many"}}, r"\[dcs.etcd3\] port = 'many' is no port number"),
        ({"etcd3": {"hosts": 7}}, r"\[dcs.etcd3\] hosts should be like"),
        ({"etcd3": {"hosts": "a", "cacert": "/no/such"}}, r"\[dcs.etcd3\] cacert = '/no/such': there is no such file"),
    ],
)
def test_what_patroni_would_not_understand(given: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        declared(Settings.load({"dcs": given}))


@pytest.mark.parametrize(
    ("kind", "answers", "said", "refused"),
    [
        ("etcd", True, "it answers 404: 404 page not found", False),
        ("etcd", True, "it answers 401: no login", False),
        ("etcd", False, "Connection refused", True),
        ("etcd3", True, "it answers 404: 404 page not found", False),
        ("etcd3", True, "it answers 401: no login", True),
        ("etcd3", False, "Connection refused", True),
    ],
)
def test_the_health_of_an_old_etcd_is_only_not_judged(
    monkeypatch: pytest.MonkeyPatch, kind: str, answers: bool, said: str, refused: bool
) -> None:
    """Before 3.4, the JSON gateway is elsewhere, which Patroni's client knows; with API v2, it needs none."""

    def no_gateway(topology: Topology) -> etcd.Quorum:
        raise NotYet(f"no member of etcd answered: a:2379: {said}")

    monkeypatch.setattr(etcd, "quorum", no_gateway)
    monkeypatch.setattr(etcd, "answers", lambda topology: answers)
    known = Topology("app", Login("app", ""), Address("db", 5432), dcs=(Address("a", 2379),))
    topology = replace(known, dcs_access={kind: {"hosts": "a"}})
    if refused:
        with pytest.raises(RequirementMissing):
            _members_unknown(topology)
    else:
        assert "JSON gateway" in _members_unknown(topology)["dcs"]


def test_etcd_is_named_in_one_place() -> None:
    with pytest.raises(UsageError, match="leave ETCD_HOSTS out"):
        declared(Settings.load({"dcs": {"etcd3": {"hosts": "a"}}, "etcd_hosts": "b"}))


def test_the_environment_has_it_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPT_DCS", '{"etcd3": {"hosts": "a:1,b", "url": ""}, "namespace": "db"}')
    said = declared(Settings.load())
    assert (said.etcd, said.namespace) == ((Address("a", 1), Address("b", 2379)), "/db")


@pytest.mark.skipif(importlib.util.find_spec("kazoo") is not None, reason="kazoo is installed")
def test_a_driver_that_is_missing_is_named() -> None:
    settings = Settings.load({"dcs": {"zookeeper": {"hosts": ["127.0.0.1:1"]}}})
    with pytest.raises(RequirementMissing, match=r"kazoo is not installed.* pip install .*requirements/dcs.lock"):
        discover(NOWHERE, declared(settings), "")


def needs(module: str) -> pytest.MarkDecorator:
    """Drivers are installed by those who need them: requirements/dcs.lock."""
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


JARS = "/usr/share/java/zookeeper.jar"


@boots
@pytest.fixture
def zookeeper(tmp_path: Path) -> Iterator[Address]:
    """A ZooKeeper of Debian's package."""
    address = Address("127.0.0.1", free_port())
    (tmp_path / "zoo.cfg").write_text(f"dataDir={tmp_path}\nclientPortAddress=127.0.0.1\nclientPort={address.port}\n")
    command = ["java", "-Dzookeeper.admin.enableServer=false", "-cp", JARS, _ZOOKEEPER, str(tmp_path / "zoo.cfg")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _require_open(address), within=30, subject="ZooKeeper answers")
        yield address
    finally:
        server.kill()
        server.wait()


_ZOOKEEPER = "org.apache.zookeeper.server.ZooKeeperServerMain"


def _require_open(address: Address) -> None:
    if reach(address) is not Reach.OPEN:
        raise NotYet("it does not accept connections")


@needs("kazoo")
@pytest.mark.skipif(not Path(JARS).exists(), reason="ZooKeeper is not installed")
def test_zookeeper(zookeeper: Address) -> None:
    from kazoo.client import KazooClient

    client = KazooClient(str(zookeeper))
    client.start()
    for name, value in {
        "initialize": b"4711",
        "leader": b"pg1",
        "sync": b'{"leader": "pg1", "sync_standby": "pg2"}',
    }.items():
        client.create(f"/team/db/main/{name}", value, makepath=True)
    client.stop()
    said = declared(Settings.load({"dcs": {"zookeeper": {"hosts": [str(zookeeper)]}, "namespace": "/team/db/"}}))
    topology, lacks = discover(NOWHERE, said, "4711")
    assert lacks == {"dcs": "the DCS is ZooKeeper: the health of the members can be judged for etcd only"}
    assert dcs.state(topology) == dcs.GroupState("4711", "pg1", frozenset({"pg2"}))
    with pytest.raises(RequirementMissing, match="namespace /service of ZooKeeper has no keys"):
        discover(NOWHERE, replace(said, namespace=None), "4711")


@needs("kazoo")
def test_a_zookeeper_that_is_not_there() -> None:
    said = declared(Settings.load({"dcs": {"zookeeper": {"hosts": [f"127.0.0.1:{free_port()}"]}}}))
    with pytest.raises(RequirementMissing, match=r"\[dcs.zookeeper\] cannot be read: .*refused.*: check hosts"):
        discover(NOWHERE, said, "")


_RAFT = """
import sys, threading
from patroni.dcs.raft import KVStoreTTL
address, directory = sys.argv[1:]
there = threading.Event()
store = KVStoreTTL(there.set, None, None, self_addr=address, partner_addrs=[], password="secret", data_dir=directory)
store.startAutoTick()
there.wait()
store.set("/service/main/initialize", "4711")
store.set("/service/main/leader", "pg1")
print("there", flush=True)
sys.stdin.read()
"""


@boots
@pytest.fixture
def raft(tmp_path: Path) -> Iterator[str]:
    """A Raft of one member, as Patroni has it."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", _RAFT, address, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "there\n"
        yield address
        server.kill()


@needs("pysyncobj")
def test_raft(raft: str) -> None:
    section = {"partner_addrs": [raft], "password": "secret"}
    topology, _ = discover(NOWHERE, declared(Settings.load({"dcs": {"raft": section}})), "4711")
    assert dcs.state(topology).leader == "pg1"
    said = declared(Settings.load({"dcs": {"raft": {**section, "password": "wrong"}}}))
    with pytest.raises(RequirementMissing, match=r"\[dcs.raft\] cannot be read"):
        discover(NOWHERE, said, "4711")
