"""Redis as users run it: behind Sentinel, as a Redis Cluster, with users, TLS and other databases."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlencode

import pytest
import redis
from booting import boots
from cache_promises import (
    DEFAULT,
    Scene,
    all_keys_expire,
    calm_after_the_storm,
    deleted_for_all,
    entries_apart,
    no_late_fill,
    one_load,
    one_round_trip,
    questions_apart,
    values_unchanged,
)
from conftest import free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis_servers import clustered, running, watched

from steps.cache import redis_steps
from support import libpq, sql
from support.cache.checks import served_within
from support.cache.clients import Recorder
from support.cache.cold import remove
from support.cache.outages import FailedOver, Full, WritesRefused, _probe_of, holder
from support.cache.redis_server import each_replica, refusal_of_a_write
from support.embedded.certificates import KEY, Authority
from support.engine.finding import Finding
from support.engine.history import History, Outcome
from support.engine.world import Context, World
from support.errors import Inconclusive, NotAvailable, RequirementMissing, UsageError
from support.example_app import schema
from support.example_app.cache.repository import Keys
from support.example_app.vectors import PGVECTOR
from support.reporting.evidence import Evidence
from support.reporting.scenario import Verdict, verdict_of
from support.run import Run
from support.settings import Settings
from support.target import health
from support.target.cluster import Cluster
from support.target.discovery import cache
from support.target.redis import (
    ERRORS,
    client_of,
    facts_of,
    keys_at,
    primaries_of,
    replica_facts,
    replicas_of,
    role_of,
    servers_of,
)
from support.target.topology import Address, Login, RedisAddress, Topology
from support.waiting import NotYet, eventually, pause

NUMBERS, PASSWORD = count(), "throw-away"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in {*libpq.VARIABLES, libpq.SET_APART, libpq.URL, *(name.upper() for name in Settings.model_fields)}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def found(**said: object) -> RedisAddress:
    server = cache.find(Settings.load(said), "database.invalid")
    assert server is not None
    return server


def behind(sentinel: int, **said: object) -> RedisAddress:
    """The Redis that a Sentinel knows as "cache"; what is `said` is said in place of the right setting."""
    right = {"redis_sentinels": f"127.0.0.1:{sentinel}", "redis_service": "cache"}
    return found(**{**right, "redis_password": PASSWORD, "redis_sentinel_password": PASSWORD, **said})


@pytest.fixture(scope="module")
def database(postgres: sql.Endpoint) -> Topology:
    """With the application's tables."""
    sql.execute(postgres, "CREATE DATABASE modes")
    login = Login(postgres.user, postgres.password)
    topology = Topology(database="modes", application=login, write=Address(postgres.host, postgres.port))
    sql.execute(Cluster(topology).write, "CREATE EXTENSION vector")
    schema.create(Cluster(topology).write, PGVECTOR)
    return topology


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with watched(tmp_path_factory.mktemp("sentinel"), "cache", PASSWORD) as (_, _, port):
        yield port


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, ...]]:
    with clustered(tmp_path_factory.mktemp("cluster")) as ports:
        yield ports


@pytest.fixture(params=["sentinel", "cluster"])
def server(request: pytest.FixtureRequest) -> RedisAddress:
    if request.param == "sentinel":
        port = request.getfixturevalue("sentinel")
        return behind(port)
    ports = request.getfixturevalue("nodes")
    return found(redis_host=f"127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}")


@pytest.fixture
def scene(database: Topology, server: RedisAddress) -> Iterator[Scene]:
    cluster = Cluster(replace(database, redis=server))
    made = Scene(cluster, DEFAULT, f"modes-{next(NUMBERS)}-", None)  # type: ignore[arg-type]  # nothing freezes it
    with made.cleanup:
        yield made
    cluster.forget_cached(made.namespace)


PROMISES = [
    values_unchanged,
    all_keys_expire,
    deleted_for_all,
    questions_apart,
    entries_apart,
    calm_after_the_storm,
    no_late_fill,
    one_load,
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.__name__)
def test_the_cache_keeps_its_promises(scene: Scene, promise: Callable[[Scene], Finding]) -> None:
    promise(scene).require()


@pytest.mark.parametrize(
    ("promise", "broken"),
    [(deleted_for_all, "remembers_in_process"), (entries_apart, "joins_with_colons"), (no_late_fill, "fills_late")],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_a_broken_cache_is_noticed(scene: Scene, promise: Callable[[Scene], Finding], broken: str) -> None:
    scene.name = f"support.sabotage.broken_caches:{broken}"
    assert promise(scene).holds is False


def test_keys_are_removed_everywhere(scene: Scene) -> None:
    with scene.cluster.redis() as client:
        for number in range(50):
            client.set(f"{scene.namespace}{number}", "x", ex=60)
    assert scene.cluster.forget_cached(scene.namespace) == 50
    assert scene.cluster.forget_cached(scene.namespace) == 0


def test_keys_are_found_on_the_servers_that_have_them(scene: Scene) -> None:
    with scene.cluster.redis() as client:
        for number in range(50):
            client.set(f"{scene.namespace}{number}", "x", ex=60)
    found = {one: keys_at(one, scene.namespace, 10) for one in primaries_of(scene.cluster.redis_address)}
    assert sum(map(len, found.values())) == 50
    assert remove(found) == 50
    assert remove(found) == 0


def test_a_redis_that_fails_over_serves_nothing_stale(scene: Scene) -> None:
    """After a failover the cache has hits again, and none of them is older than the bound."""
    clients = scene.clients(2, staleness_bound=2.0)
    history = History()
    recorders = [Recorder(history, number, client, scene.namespace) for number, client in enumerate(clients)]
    fault, led = FailedOver(scene.cluster), primaries_of(scene.cluster.redis_address)
    recorders[0].write("k", "old")
    assert [one.read("k").action for one in recorders] == ["hit", "hit"]
    fault.inject()
    for number in range(40):
        recorders[0].write("k", str(number))
        recorders[1].read("k")
        pause(0.05)
    eventually(
        fault.require_in_effect,
        within=fault.takes_effect_within,
        subject="another server takes writes",
        retry_on=ERRORS,
    )
    for former in led:  # Sentinel leaves it a master for a while, and clients keep their connections to it
        with client_of(former) as client:
            assert role_of(client) == "slave"

    def hits_again() -> None:
        assert {one.read("k").action for one in recorders} == {"hit"}

    eventually(hits_again, within=10, subject="hits again", retry_on=(AssertionError,))
    served_within(2.0, history).require()
    assert {one.outcome for one in history.of(action="write")} == {Outcome.OK}
    assert max(one.ended - one.begun for one in history.of(action="write")) < 3


def test_an_outage_hits_the_server_that_has_the_keys(scene: Scene) -> None:
    """All of a scenario's may be on one node of a Redis Cluster."""
    (client,), server = scene.clients(1), scene.cluster.redis_address
    if server.mode == "cluster":
        with pytest.raises(Inconclusive, match=f"no key that begins with {scene.namespace}"):
            holder(server, scene.namespace)
    client.repository.write(scene.namespace, "k", "v")
    with client_of(holder(server, scene.namespace)) as hit:
        assert [*hit.scan_iter(match=f"{scene.namespace}*")]
    for number in range(9):  # so that it is not by chance that the right one is hit
        prefix = f"{scene.namespace}{number}"
        key = Keys(prefix).entry(prefix, "k")
        with scene.cluster.redis() as wherever:
            wherever.set(key, "x", ex=60)
        with client_of(holder(server, prefix)) as hit:
            assert hit.get(key) == b"x"


@boots  # by a fixture that is chosen at run time
def test_a_probe_is_on_the_very_server_that_is_restarted(server: RedisAddress) -> None:
    for one in primaries_of(server):
        with client_of(one) as client:
            name = _probe_of(client)
            assert client.exists(name)
            assert client.delete(name)


def test_a_full_redis_is_emptied_again(scene: Scene) -> None:
    fault = Full(scene.cluster)
    try:
        fault.inject()
        fault.require_in_effect()
        (client,) = scene.clients(1)
        client.repository.write(scene.namespace, "k", "v")
        assert client.repository.read(scene.namespace, "k").value == "v"
    finally:
        fault.heal()
    with scene.cluster.redis() as client_of_redis:
        assert client_of_redis.set(f"{scene.namespace}x", "x", ex=5)


def test_a_redis_that_refuses_every_write_refuses_deletions_too(scene: Scene) -> None:
    """A full one deletes."""
    full, refusing = Full(scene.cluster), WritesRefused(scene.cluster)
    try:
        full.inject()
        full.require_in_effect()
        with pytest.raises(NotYet, match="still accepts deletions"):
            refusing.require_in_effect()
    finally:
        full.heal()
    try:
        refusing.inject()
        refusing.require_in_effect()
    finally:
        refusing.heal()
    with pytest.raises(NotYet, match="still accepts deletions"):
        refusing.require_in_effect()
    with scene.cluster.redis() as client:
        assert client.set(f"{scene.namespace}x", "x", ex=5)


@boots  # by a fixture that is chosen at run time
def test_what_they_report(server: RedisAddress) -> None:
    with client_of(server) as client:
        facts = facts_of(client)
    assert facts.role == "master"
    assert facts.mode == ("cluster" if server.mode == "cluster" else "standalone")
    assert len(primaries_of(server)) == (3 if server.mode == "cluster" else 1)


@boots  # by a fixture that is chosen at run time
def test_each_primary_has_to_take_writes(server: RedisAddress) -> None:
    """One that lacks replicas refuses the keys in its own slots; all other keys are stored."""
    with client_of(server) as client:
        assert refusal_of_a_write(client, "accept-x") == ""
    for one in primaries_of(server):
        with client_of(one) as primary:
            primary.config_set("min-replicas-to-write", "9")
            try:
                with client_of(server) as client:
                    said = refusal_of_a_write(client, "accept-x")
            finally:
                primary.config_set("min-replicas-to-write", "0")
        assert "Not enough good replicas" in said
        if server.mode == "cluster":
            assert re.fullmatch(f"the primary at {one.address}: .*", said)
            assert "the primary at" not in said.removeprefix("the primary at"), "the others store theirs"


@pytest.fixture
def limited(server: RedisAddress) -> RedisAddress:
    """Every server has a memory limit, and evicts."""
    for one in servers_of(server):
        with client_of(one) as client:
            client.config_set("maxmemory", "64mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
    return server


@boots
@pytest.mark.parametrize(
    ("setting", "right", "wrong", "said"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", "replicas that do not evict by allkeys-lru or .* noeviction"),
        ("maxmemory", "64mb", "0", "replicas that do not have a memory limit.* no limit"),
    ],
)
def test_a_replica_is_the_cache_after_the_next_failover(
    database: Topology, limited: RedisAddress, tmp_path: Path, setting: str, right: str, wrong: str, said: str
) -> None:
    world = World(Run("run", tmp_path, tmp_path, 1), Cluster(replace(database, redis=limited)), Evidence())
    context = cast(Context, SimpleNamespace(world=world))

    def judge() -> None:
        redis_steps.step_facts(context)
        redis_steps.step_eviction(context)
        redis_steps.step_memory_limit(context)

    judge()
    primaries = primaries_of(limited)
    (replica, *_) = [one for one in servers_of(limited) if one not in primaries]
    with client_of(replica) as client:
        client.config_set(setting, wrong)
        try:
            with pytest.raises(AssertionError, match=said) as told:
                judge()
            assert str(replica.address) in str(told.value)
        finally:
            client.config_set(setting, right)


def test_a_replica_that_does_not_report_is_not_judged() -> None:
    found = each_replica({"10.0.0.7:6379": "timed out"}, lambda facts: True, "evict")
    assert (found.holds, found.words) == (None, "replicas that do not report their state: 10.0.0.7:6379: timed out")
    assert each_replica({}, lambda facts: False, "evict").holds is True


def test_round_trips_are_counted_behind_a_sentinel(database: Topology, sentinel: int) -> None:
    server = behind(sentinel)
    made = Scene(Cluster(replace(database, redis=server)), DEFAULT, "trips-", None)  # type: ignore[arg-type]
    with made.cleanup:
        one_round_trip(made).require()


def test_a_declared_cluster_is_expected_to_be_one() -> None:
    assert Settings.load({"redis_cluster": True, "redis_host": "r"}).expectations.redis_mode == "cluster"
    assert Settings.load({"redis_host": "r"}).expectations.redis_mode is None


def test_what_is_wrong_with_sentinel_is_named(sentinel: int) -> None:
    for said, words in (
        ({"redis_service": "mymaster"}, r"know no master mymaster \(they know cache\): check REDIS_SERVICE"),
        ({"redis_sentinels": f"127.0.0.1:{free_port()}"}, "know no master cache .*refused.*: check REDIS_SENTINELS"),
        ({"redis_password": "x"}, "refuses the login .*: check REDIS_USER and REDIS_PASSWORD"),
        ({"redis_sentinel_password": "x"}, "a Sentinel at .* refuses the login .*: check REDIS_SENTINEL_PASSWORD"),
    ):
        with pytest.raises(RequirementMissing, match=words):
            behind(sentinel, **said)
    with pytest.raises(UsageError, match="needs REDIS_SERVICE"):
        found(redis_sentinels=f"127.0.0.1:{sentinel}")
    with pytest.raises(UsageError, match="is a Sentinel, not a cache: name it in REDIS_SENTINELS"):
        found(redis_host="127.0.0.1", redis_port=sentinel, redis_password=PASSWORD)


def test_a_master_that_is_down_is_named(tmp_path: Path) -> None:
    with watched(tmp_path, "cache", PASSWORD) as (master, replica, sentinel):
        for port in (replica, master):
            with client_of(RedisAddress(Address("127.0.0.1", port), PASSWORD)) as client, suppress(redis.RedisError):
                client.shutdown(nosave=True)
        with pytest.raises(RequirementMissing, match=r"the master cache of .* is down|no Redis answers at the master"):
            behind(sentinel)


def test_what_is_wrong_with_a_cluster_is_named(nodes: tuple[int, ...], tmp_path: Path) -> None:
    assert found(redis_host="127.0.0.1", redis_port=nodes[0]).mode == "cluster"
    with pytest.raises(UsageError, match="database 0 only"):
        found(redis_host="127.0.0.1", redis_port=nodes[0], redis_cluster=True, redis_db=3)
    with running(tmp_path, free_port()) as alone, pytest.raises(RequirementMissing, match="leave REDIS_CLUSTER out"):
        found(redis_host="127.0.0.1", redis_port=alone.port, redis_cluster=True)


def test_a_cluster_that_announces_addresses_without_a_certificate_is_named(tmp_path: Path) -> None:
    """As where certificates name hosts, and the nodes announce IP addresses: here, they name one address of two."""
    authority = Authority.create(tmp_path / "authority")
    issued = authority.issue(["127.0.0.2"])
    (tmp_path / "server.pem").write_text(issued.certificate)
    (tmp_path / "server.key").write_text(issued.key)
    port, said = free_port(), {"redis_cafile": str(authority.certificate)}
    files = ["--tls-cert-file", f"{tmp_path}/server.pem", "--tls-key-file", f"{tmp_path}/server.key"]
    options = ["--tls-port", str(port), *files, "--tls-ca-cert-file", said["redis_cafile"], "--tls-auth-clients", "no"]
    options += ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--tls-cluster", "yes"]
    options += ["--cluster-announce-ip", "127.0.0.1", "--bind", "127.0.0.1", "127.0.0.2"]
    with running(tmp_path, free_port(), options) as there:
        with there.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        for host, words in (
            ("127.0.0.2", r"its nodes announce addresses that their certificates are not for \(127.0.0.1\): set clus"),
            ("127.0.0.1", "its certificate is for another name: check REDIS_HOST"),
        ):
            with pytest.raises(RequirementMissing, match=words):
                found(redis_host=host, redis_port=port, redis_cluster=True, **said)


def test_users_and_databases(tmp_path: Path, database: Topology) -> None:
    users = ("user app on >secret ~* &* +@all", "user reader on >secret ~* -@all", "user default off")
    with with_users(tmp_path, *users) as port:
        server = found(redis_url=f"redis://app:secret@127.0.0.1:{port}/3")
        assert (server.user, server.database) == ("app", 3)
        with client_of(server) as client:
            client.set("k", "v", ex=5)
            assert client.info("keyspace")["db3"]["keys"] == 1
        at = {"redis_host": "127.0.0.1", "redis_port": port}
        assert found(**at, redis_user="app", redis_password="secret", redis_db=3) == server
        for said, words in (
            ({"redis_user": "app", "redis_password": "wrong"}, "refuses the login .*: check REDIS_USER"),
            ({}, "check REDIS_USER and REDIS_PASSWORD"),
            ({"redis_user": "reader", "redis_password": "secret"}, "may not use it: check REDIS_USER and its ACL"),
            ({"redis_user": "app", "redis_password": "secret", "redis_db": 99}, "check REDIS_DB"),
        ):
            with pytest.raises(RequirementMissing, match=words) as refused:
                found(**at, **said)
            assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1", ""),
        ("redis://h:port", ""),
        ("redis://h:0", ""),
        ("127.0.0.1:6379", ""),
        ("redis+sentinel://:hush@s1:26379,s2:26379/mymaster/0", "REDIS_SENTINELS and REDIS_SERVICE"),
        ("redis-sentinel://:hush@s1/mymaster", "REDIS_SENTINELS and REDIS_SERVICE"),
        ("unix:///run/redis.sock", "a Unix socket"),
        ("redis://:hush@n1:6379,n2:6379", "belong in REDIS_HOST"),
    ],
)
def test_a_wrong_url(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=f"REDIS_URL should be like.*{words}") as refused:
        found(redis_url=url)
    assert "hush" not in str(refused.value)
    # A variable meant for another program is no error, and does not interfere with the user's settings.
    monkeypatch.setenv("REDIS_URL", url)
    assert cache.find(Settings.load({}), "database.invalid") is None
    assert re.search(f"no Redis was named.*REDIS_URL should be like.*{words}", cache.why_none(Settings.load({})))
    with pytest.raises(RequirementMissing, match=r"no Redis answers at 127\.0\.0\.1:1 "):
        found(redis_host="127.0.0.1", redis_port=1)


def test_a_url_of_valkey(tmp_path: Path) -> None:
    with with_users(tmp_path, "user app on >secret ~* &* +@all", "user default off") as port:
        valkey, same = (found(redis_url=f"{scheme}://app:secret@127.0.0.1:{port}/3") for scheme in ("valkey", "redis"))
    assert valkey == same


def test_tls(tmp_path: Path) -> None:
    authority, other = Authority.create(tmp_path / "authority"), Authority.create(tmp_path / "other", "another one")
    issued = authority.issue(["127.0.0.1"])
    (tmp_path / "server.pem").write_text(issued.certificate)
    (tmp_path / "server.key").write_text(issued.key)
    for name, by in (("client", authority), ("stranger", other)):
        for_client(by, tmp_path / name)
    port, plain = free_port(), free_port()
    files = ["--tls-cert-file", f"{tmp_path}/server.pem", "--tls-key-file", f"{tmp_path}/server.key"]
    options = ["--tls-port", str(port), *files, "--tls-ca-cert-file", str(authority.certificate)]
    right = {"redis_cafile": str(authority.certificate)}
    own = {"redis_certfile": f"{tmp_path}/client.pem", "redis_keyfile": f"{tmp_path}/client.key"}
    strange = {"redis_certfile": f"{tmp_path}/stranger.pem", "redis_keyfile": f"{tmp_path}/stranger.key"}
    with running(tmp_path, plain, [*options, "--tls-auth-clients", "yes"]):
        at = f"rediss://127.0.0.1:{port}"
        server = found(redis_url=at, **right, **own)
        with client_of(server) as client:
            assert client.ping()
        in_the_url = {
            "ssl_ca_certs": right["redis_cafile"],
            "ssl_certfile": own["redis_certfile"],
            "ssl_keyfile": own["redis_keyfile"],
        }
        assert found(redis_url=f"{at}?{urlencode(in_the_url)}") == server
        for said, words in (
            ({"redis_url": f"{at}?ssl_cert_reqs=none", **own}, r"check REDIS_CAFILE; the suite verifies it, ignoring"),
            ({"redis_cafile": str(other.certificate), **own}, "its certificate was rejected: check REDIS_CAFILE$"),
            (right, "set REDIS_CERTFILE and REDIS_KEYFILE"),
            (right | strange, "check REDIS_CERTFILE and REDIS_KEYFILE"),
            ({"redis_cafile": f"{tmp_path}/nothing.pem"}, "check REDIS_CAFILE"),
        ):
            with pytest.raises(RequirementMissing, match=words):
                found(**{"redis_url": at, **said})
        with pytest.raises(RequirementMissing, match="set REDIS_TLS, or use a rediss:// URL"):
            found(redis_host="127.0.0.1", redis_port=port)
        with pytest.raises(RequirementMissing, match=r"it does not speak TLS[:,] leave REDIS_TLS out"):
            found(redis_host="127.0.0.1", redis_port=plain, redis_tls=True, **right)
        with client_of(found(redis_url=f"rediss://127.0.0.1:{plain}", redis_tls=False)) as client:
            assert client.ping()
        with pytest.raises(UsageError, match=r"REDIS_TLS=false .*: leave out REDIS_CAFILE"):
            found(redis_url=f"rediss://127.0.0.1:{plain}", redis_tls=False, **right)


def for_client(authority: Authority, path: Path) -> None:
    """A client's certificate and key: path.pem, path.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    signs = serialization.load_pem_private_key((authority.directory / KEY).read_bytes(), password=None)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(signs, hashes.SHA256())  # type: ignore[arg-type]
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(key.private_bytes(*form))


@pytest.mark.parametrize(
    ("rules", "lacks"),
    [
        ("~* +@all", {}),
        ("~* +@all -@dangerous", {"cache_state": r"\+info", "cache_settings": r"\+config\|get"}),  # as Redis advises
        ("~* +@all -@dangerous +info", {"cache_settings": r"\+config\|get"}),
        ("~* +@all -config|set", {"cache_settings": r"\+config\|set"}),
        ("~app:* +@all", {"cache_keys": "~accept-"}),
        (
            "~* +@read +@write -@dangerous",  # not even PING
            {"cache_state": r"\+info", "cache_keys": r"\+evalsha \+script\|load", "cache_settings": r"\+config\|get"},
        ),
    ],
)
def test_what_the_user_may_not_do_is_lacking_and_not_broken(tmp_path: Path, rules: str, lacks: dict[str, str]) -> None:
    with with_users(tmp_path, f"user app on >secret {rules}", "user default off") as port:
        server = found(redis_url=f"redis://app:secret@127.0.0.1:{port}")
        lacking = cache.lacking(server, own_repository=True)
        cluster = Cluster(Topology("d", Login("jo", "x"), Address("127.0.0.1", 1), redis=server, lacks=lacking))
        assert "set REDIS_SENTINELS and REDIS_SERVICE" in lacking.pop("redis_failover")
        assert ("no limit" in lacking.pop("small_cache")) is ("cache_state" not in lacks)
        assert lacking.keys() == lacks.keys()
        for name, advice in lacks.items():
            assert re.search(f"app may not .* in Redis: ACL SETUSER app {advice}", lacking[name]), lacking[name]
        health.require_cache(cluster)
        assert cluster.forget_cached("accept-nobody") == 0
        with client_of(server) as client:
            if "cache_state" in lacks:
                with pytest.raises(NotAvailable, match="does not show its state to this user") as refused:
                    facts_of(client)
                assert verdict_of(refused.value) is Verdict.ERROR
            else:
                assert facts_of(client).role == "master"
            assert (refusal_of_a_write(client, "accept-x") == "") == (rules[:2] == "~*")


def test_a_silent_redis_lacks_nothing_and_is_broken(tmp_path: Path) -> None:
    with running(tmp_path, free_port()) as alone:
        server = found(redis_host="127.0.0.1", redis_port=alone.port)
        alone.kill()
        assert cache.lacking(server, own_repository=True).keys() <= {"cache_settings", "redis_failover"}
        with client_of(server) as client, pytest.raises(AssertionError, match="Redis does not answer"):
            facts_of(client)


def test_nothing_is_left_of_what_was_tried(tmp_path: Path) -> None:
    with running(tmp_path, free_port(), ["--maxmemory", "64mb"]) as alone, alone.client() as client:
        before = client.config_get("*")
        lacking = cache.lacking(found(redis_host="127.0.0.1", redis_port=alone.port), own_repository=True)
        assert lacking.keys() == {"redis_failover"}
        assert (client.dbsize(), client.config_get("*")) == (0, before)


@boots  # by a fixture that is chosen at run time
def test_redis_is_told_to_fail_over_only_where_its_user_may(server: RedisAddress) -> None:
    before = {one.address for one in primaries_of(server)}
    assert "redis_failover" not in cache.lacking(server, own_repository=True)
    assert {one.address for one in primaries_of(server)} == before


@boots  # by a fixture that is chosen at run time
def test_replicas_are_addressed_as_they_are_announced(server: RedisAddress) -> None:
    primaries = {one.address for one in primaries_of(server)}
    replicas = replicas_of(server)
    assert replicas.keys() == primaries
    assert {one.address for one in replicas.values()} == {one.address for one in servers_of(server)} - primaries


def test_a_replica_of_a_cluster_is_known_by_the_name_that_it_announces(nodes: tuple[int, ...]) -> None:
    """As where clients reach the nodes by names only: among themselves, nodes use addresses."""
    name = "127.1"  # which leads to them, and is not how nodes tell each other apart
    server = found(redis_host=f"127.0.0.1:{nodes[0]}")
    told = [RedisAddress(Address("127.0.0.1", port)) for port in nodes]
    try:
        for one in told:
            with client_of(one) as client:
                client.config_set("cluster-announce-hostname", name)
                client.config_set("cluster-preferred-endpoint-type", "hostname")

        def announced() -> None:
            replicas = replicas_of(server)
            assert len(replicas) == 3
            assert {one.address.host for one in replicas.values()} == {name}

        eventually(announced, within=20, subject="all know the names", retry_on=ERRORS, pause=0.2)
    finally:
        for one in told:
            with client_of(one) as client:
                client.config_set("cluster-preferred-endpoint-type", "ip")
                client.config_set("cluster-announce-hostname", "")


def test_a_replica_that_sentinels_never_choose_takes_over_from_nobody(sentinel: int) -> None:
    server = behind(sentinel)
    (replica,) = replicas_of(server).values()
    assert [*replica_facts(server)] == [str(replica.address)]
    with client_of(replica) as client:
        client.config_set("replica-priority", 0)
        try:
            eventually(lambda: _require_none(server), within=25, subject="the Sentinel knows", pause=0.2)
            assert replica_facts(server) == {}
            assert "has a replica that could" in cache.lacking(server, own_repository=True)["redis_failover"]
        finally:
            client.config_set("replica-priority", 100)
            eventually(lambda: _require_one(server), within=25, subject="the Sentinel knows", pause=0.2)


def _require_none(server: RedisAddress) -> None:
    if replicas_of(server):
        raise NotYet("it would still be chosen")


def _require_one(server: RedisAddress) -> None:
    if not replicas_of(server):
        raise NotYet("it would not be chosen")


def test_a_user_who_may_not_make_a_cluster_fail_over(nodes: tuple[int, ...]) -> None:
    for port in nodes:
        with client_of(RedisAddress(Address("127.0.0.1", port))) as client:
            client.execute_command(*"ACL SETUSER meek on >secret ~* +@all -cluster|failover".split())
    server = found(redis_url=f"redis://meek:secret@127.0.0.1:{nodes[0]}")
    assert "+cluster|failover" in cache.lacking(server, own_repository=True)["redis_failover"]


@boots
@contextmanager
def with_users(directory: Path, *users: str) -> Iterator[int]:
    """A server whose default user may be off, which `running` cannot wait for."""
    port, file = free_port(), directory / "redis.conf"
    file.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {directory}", 'save ""', *users, ""]))
    process = subprocess.Popen(["redis-server", str(file)], stdout=subprocess.DEVNULL)

    def answers() -> None:
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, socket_timeout=2).ping()

    try:
        eventually(answers, within=10, subject="Redis answers", retry_on=(redis.ConnectionError,), pause=0.05)
        yield port
    finally:
        process.kill()
        process.wait()
