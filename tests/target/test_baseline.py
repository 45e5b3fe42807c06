"""Known limits: what follows from the baseline, each from the one that makes it, and nothing on a cluster without."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import BINDIR, postgres

from support import sql
from support.errors import Inconclusive, RequirementMissing
from support.expectations import Expectations
from support.failover.missed_wal import LittleWalKept
from support.hosts.remote import HostAccess, ProgramAccess
from support.target.accepted_loss import accepted_losses
from support.target.baseline import OF_EMBEDDED, _modes_not_promised, _timing, apply_baseline
from support.target.baseline_facts import Baseline
from support.target.cluster import Cluster
from support.target.copying import not_copyable, wal_not_expendable
from support.target.known_limits import known_limits
from support.target.patroni import MemberView
from support.target.patroni_configuration import PatroniConfiguration, parsed
from support.target.purposes import Purpose, purposes_of
from support.target.redis import RedisFacts
from support.target.replica_capabilities import OF_ANY, OF_SEVERAL
from support.target.standby_names import StandbyNames
from support.target.timing import Span, Timing
from support.target.topology import Address, Login, MemberAddress, Topology

CAREFUL = PatroniConfiguration(ttl=20, loop_wait=1, maximum_lag_set=True, synchronous=True, failsafe=True)
REDIS = RedisFacts("Redis", (7, 0, 0), "standalone", "master", "allkeys-lru", 2**28, 0, 0)
CAREFUL_BASELINE = Baseline({0: CAREFUL}, {0: 3}, voters=3, redis=REDIS)
ASYNCHRONOUS = PatroniConfiguration(maximum_lag=1048576, failsafe=True)


def limits(baseline: Baseline, timing: Timing | None = None, **declared: object) -> tuple[str, ...]:
    return known_limits(baseline, Expectations.parse(declared), timing or Timing())


def told(baseline: Baseline, **declared: object) -> str:
    """The one limit that there is beside that of a careful cluster."""
    usual = limits(CAREFUL_BASELINE)
    (one,) = [limit for limit in limits(baseline, **declared) if limit not in usual]
    return one


def test_of_a_careful_cluster_one_is_known() -> None:
    (one,) = limits(CAREFUL_BASELINE)
    assert "while there is no standby" in one
    assert "synchronous_mode_strict is off" in one


def test_where_nothing_was_read_none_is_known() -> None:
    assert limits(Baseline()) == ()


def test_asynchronous_replication() -> None:
    said = told(replace(CAREFUL_BASELINE, groups={0: replace(ASYNCHRONOUS, maximum_lag_set=True)}))
    assert said == (
        "acknowledged writes of up to 1,048,576 bytes, and those of the last 10 s, can be lost in a failover "
        "(asynchronous replication; maximum_lag_on_failover, loop_wait); Patroni's synchronous_mode would prevent it"
    )
    assert "maximum_lag_on_failover, which is not set" in told(replace(CAREFUL_BASELINE, groups={0: ASYNCHRONOUS}))


def test_a_loss_that_is_declared_to_be_accepted() -> None:
    said = told(replace(CAREFUL_BASELINE, groups={0: ASYNCHRONOUS}), accepted_loss="64kB")
    assert "up to 65,536 bytes can be lost in a failover" in said
    assert "[expect] accepted_loss" in said


def test_asynchronous_where_synchronous_is_declared_is_no_known_limit_but_broken() -> None:
    assert limits(replace(CAREFUL_BASELINE, groups={0: ASYNCHRONOUS}), synchronous=True) == ()


def test_slots_without_a_limit() -> None:
    unlimited = replace(CAREFUL_BASELINE, unbounded_slots=True)
    assert "keeps WAL until the disk of its server is full (max_slot_wal_keep_size is -1" in told(unlimited)
    assert limits(unlimited, bounded_slots=True) == limits(CAREFUL_BASELINE)
    modes = dict(_modes_not_promised(Topology("db", Login("app", ""), Address("h", 1)), unlimited, Expectations()))
    assert "max_slot_wal_keep_size is -1 on every member, and [expect] does not say otherwise" in modes["bounded_slots"]
    declared = Expectations(bounded_slots=False)
    modes = dict(_modes_not_promised(Topology("db", Login("app", ""), Address("h", 1)), unlimited, declared))
    assert "max_slot_wal_keep_size is -1 on every member, as [expect] declares" in modes["bounded_slots"]


def purposes(**delays: str) -> dict[int, dict[str, Purpose]]:
    members = [MemberView(name, "replica", "streaming", "", 0, 1, 0, {}) for name in ("pg1", "pg2", "pg3")]
    return {0: purposes_of("pg1", members, delays)}


def modes(baseline: Baseline) -> dict[str, str]:
    return dict(_modes_not_promised(Topology("db", Login("app", ""), Address("h", 1)), baseline, Expectations()))


def test_a_replica_that_replays_late() -> None:
    late = replace(CAREFUL_BASELINE, purposes=purposes(pg3="1h"))
    assert told(late).startswith("pg3 shows what is committed 1h late (recovery_min_apply_delay)")
    assert "prompt_replicas" not in modes(late)
    every = replace(late, purposes=purposes(pg2="1h", pg3="1h"))
    assert modes(every)["prompt_replicas"] == "no replica is meant to show at once what is committed: pg2, pg3"


def test_a_replica_that_reads_the_archive() -> None:
    members = [MemberView(name, "replica", "", "", 0, 1, 0, {}) for name in ("pg1", "pg2")]
    members.append(MemberView("pg3", "replica", "in archive recovery", "", 0, 1, 0, {"nostream": True}))
    said = told(replace(CAREFUL_BASELINE, purposes={0: purposes_of("pg1", members, {})}))
    assert said.startswith("pg3 streams from nobody (nostream)")


def test_fewer_possible_standbys_than_asked_for() -> None:
    members = [MemberView(name, "replica", "streaming", "", 0, 1, 0, {}) for name in ("pg1", "pg2")]
    members.append(MemberView("pg3", "replica", "streaming", "", 0, 1, 0, {"nosync": True}))
    two = replace(
        CAREFUL_BASELINE, groups={0: replace(CAREFUL, standbys=2)}, purposes={0: purposes_of("pg1", members, {})}
    )
    assert told(two).startswith(
        "commits wait for at most 1 standby of the 2 that Patroni's configuration asks for: pg3"
    )
    assert "synchronous" not in modes(two)
    nobody = [replace(one, tags={"nosync": True}) for one in members]
    none = replace(two, purposes={0: purposes_of("pg1", nobody, {})})
    assert modes(none)["synchronous"] == "no replica may be a synchronous standby, by their tags"
    assert limits(two, synchronous_standbys=2) == limits(CAREFUL_BASELINE)
    assert limits(replace(two, groups={0: CAREFUL})) == limits(CAREFUL_BASELINE)


@pytest.mark.parametrize(
    ("baseline", "key", "wanted", "lacking", "words"),
    [
        (
            replace(CAREFUL_BASELINE, groups={0: replace(CAREFUL, slots=False)}),
            *("replication_slots", True, "replication_slots", "use_slots is off"),
        ),
        (replace(CAREFUL_BASELINE, no_checksums=True), "data_checksums", True, "data_checksums", "pg_checksums"),
        (replace(CAREFUL_BASELINE, no_autovacuum=True), "autovacuum", True, "autovacuum", "autovacuum is off"),
        (
            replace(CAREFUL_BASELINE, leader_serves_reads=True),
            *("leader_serves_reads", False, "reads_apart", "leader serves reads"),
        ),
    ],
)
def test_a_choice_is_a_known_limit_unless_the_opposite_is_declared(
    baseline: Baseline, key: str, wanted: bool, lacking: str, words: str
) -> None:
    assert words in told(baseline)
    assert lacking in modes(baseline)
    assert limits(baseline, **{key: wanted}) == limits(CAREFUL_BASELINE)
    nowhere = Topology("db", Login("app", ""), Address("h", 1))
    assert lacking not in dict(_modes_not_promised(nowhere, baseline, Expectations.parse({key: wanted})))
    assert lacking not in modes(CAREFUL_BASELINE)
    assert getattr(OF_EMBEDDED, key) is wanted


def test_slots_are_used_unless_the_configuration_says_otherwise() -> None:
    assert parsed({}).slots is parsed({"postgresql": {}}).slots is parsed({"postgresql": {"use_slots": "on"}}).slots
    assert parsed({"postgresql": {"use_slots": True}}).slots is True
    assert parsed({"postgresql": {"use_slots": False}}).slots is False


def test_a_delay_in_the_embedded_cluster_is_nobodys_design() -> None:
    assert Expectations().unless_declared(OF_EMBEDDED).delayed_replicas == ()
    assert Expectations(delayed_replicas=("pg3",)).unless_declared(OF_EMBEDDED).delayed_replicas == ("pg3",)


def test_without_archiving_none_can_fail() -> None:
    modes = dict(
        _modes_not_promised(
            Topology("db", Login("app", ""), Address("h", 1)),
            replace(CAREFUL_BASELINE, archives_nothing=True),
            Expectations(),
        )
    )
    assert "archive_mode is off on every member" in modes["archiving"]
    careful = _modes_not_promised(Topology("db", Login("app", ""), Address("h", 1)), CAREFUL_BASELINE, Expectations())
    assert "archiving" not in dict(careful)


@pytest.mark.parametrize(
    ("baseline", "capability"),
    [
        (replace(CAREFUL_BASELINE, not_logical="wal_level is replica on every member"), "logical"),
        (replace(CAREFUL_BASELINE, not_copyable="the databases have 12 GB"), "copyable"),
        (replace(CAREFUL_BASELINE, wal_not_expendable="debezium could lose changes"), "expendable_wal"),
    ],
)
def test_what_a_cluster_cannot_do_is_settled_before_any_scenario(baseline: Baseline, capability: str) -> None:
    somewhere = Topology("db", Login("app", ""), Address("h", 1))
    modes = dict(_modes_not_promised(somewhere, baseline, Expectations()))
    assert modes[capability] in (baseline.not_logical, baseline.not_copyable, baseline.wal_not_expendable)
    assert capability not in dict(_modes_not_promised(somewhere, CAREFUL_BASELINE, Expectations()))


@pytest.mark.parametrize(
    ("maximum_lag", "declared", "words"),
    [
        (10 * 2**30, {}, "maximum_lag_on_failover, which is used in its place, is 10,737,418,240 bytes"),
        (10 * 2**30, {"read_lag": "100MB"}, ""),
        (2**20, {"read_lag": "513MB"}, "[expect] read_lag is 537,919,488 bytes, and a test writes at most 1 GB of WAL"),
        (512 * 2**20, {}, ""),
    ],
)
def test_no_replica_is_made_to_lag_so_far_that_a_disk_could_fill(
    maximum_lag: int, declared: dict[str, str], words: str
) -> None:
    baseline = replace(CAREFUL_BASELINE, groups={0: replace(CAREFUL, maximum_lag=maximum_lag)})
    somewhere = Topology("db", Login("app", ""), Address("h", 1))
    lacks = dict(_modes_not_promised(somewhere, baseline, Expectations.parse(declared)))
    assert ("small_read_lag" in lacks) is bool(words)
    assert words in lacks.get("small_read_lag", "")


def test_logical_slots_keep_a_member_from_missing_wal(tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR, "wal_level=logical") as server:
        topology = Topology(server.database, Login("nobody", ""), Address(*server.hosts[0]))
        with_superuser = Cluster(replace(topology, administrator=Login(server.user, server.password)))
        assert wal_not_expendable(with_superuser) == ""
        sql.rows(server, "SELECT pg_create_logical_replication_slot('debezium', 'pgoutput')")
        assert "a consumer of a logical slot (debezium) could lose changes" in wal_not_expendable(with_superuser)
        assert wal_not_expendable(Cluster(topology)) == "", "nobody asks without a superuser"


def test_physical_slots_of_consumers_that_are_away_keep_a_member_from_missing_wal(tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR) as server:
        at = Address(*server.hosts[0])
        superuser = Login(server.user, server.password)
        topology = Topology(
            server.database, superuser, at, administrator=superuser, absent=(MemberAddress("Pg-2", at),)
        )
        cluster = Cluster(topology)
        sql.rows(server, "SELECT pg_create_physical_replication_slot('pg_2', true)")
        assert wal_not_expendable(cluster) == "", "a member can be rebuilt"
        sql.rows(server, "SELECT pg_create_physical_replication_slot('never_used')")
        assert wal_not_expendable(cluster) == "", "nothing is kept that could be lost"
        assert "a consumer that is away (pg_2: a physical slot)" in wal_not_expendable(
            Cluster(replace(topology, absent=()))
        )
        sql.rows(server, "SELECT pg_create_physical_replication_slot('barman', true)")
        assert "a consumer that is away (barman: a physical slot) could lose WAL" in wal_not_expendable(cluster)


def test_large_databases_are_not_copied_whoever_asks(tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR) as server:
        sql.execute(server, "CREATE ROLE app LOGIN PASSWORD 'of-the-app'")
        topology = Topology(server.database, Login("app", "of-the-app"), Address(*server.hosts[0]))
        with_superuser = replace(topology, administrator=Login(server.user, server.password))
        for cluster in (Cluster(topology), Cluster(with_superuser)):
            assert not_copyable(cluster) == ""
            assert "tests copy no more than 0 GB" in not_copyable(cluster, largest=1000)


def test_a_slot_that_appears_later_keeps_members_from_keeping_little_wal(tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR) as server, ExitStack() as stack:
        leading = Member("pg1", "leader", "pg1:5432", "pg1:8008", server)
        rest = Address("127.0.0.1", stack.enter_context(patroni(leading, [leading])))
        at, superuser = Address(*server.hosts[0]), Login(server.user, server.password)
        members = (MemberAddress("pg1", at, rest),)
        cluster = Cluster(Topology(server.database, superuser, at, administrator=superuser, members=members))
        LittleWalKept(cluster)
        sql.rows(server, "SELECT pg_create_physical_replication_slot('barman', true)")
        with pytest.raises(Inconclusive, match=r"a consumer that is away \(barman: a physical slot\)"):
            LittleWalKept(cluster)


def test_a_worker_group_is_named() -> None:
    first, second = limits(Baseline({0: CAREFUL, 2: ASYNCHRONOUS}, {0: 3, 2: 2}, 3, REDIS))
    assert first.startswith("the coordinator's group: while there is no standby")
    assert second.startswith("worker group 2: acknowledged writes")
    assert len(limits(Baseline({0: CAREFUL, 1: CAREFUL}, {0: 3, 1: 2}, 3, REDIS))) == 1


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (replace(CAREFUL_BASELINE, groups={0: replace(CAREFUL, failsafe=False)}), "failsafe_mode is off"),
        (replace(CAREFUL_BASELINE, members={0: 1}), "single member"),
        (replace(CAREFUL_BASELINE, groups={0: replace(CAREFUL, strict=True)}), "nothing can be written"),
        (replace(CAREFUL_BASELINE, voters=1), "etcd has 1 member: when it is lost,"),
        (replace(CAREFUL_BASELINE, voters=2), "etcd has 2 members: when one of them is lost,"),
    ],
)
def test_each(baseline: Baseline, words: str) -> None:
    assert words in told(baseline)


def test_a_cache_that_evicts_nothing_is_a_known_limit_only_where_that_is_declared() -> None:
    full = replace(CAREFUL_BASELINE, redis=replace(REDIS, eviction="noeviction"))
    assert "maxmemory-policy is noeviction" in told(full, redis_eviction="noeviction")
    assert limits(full) == limits(CAREFUL_BASELINE)


def test_a_recovery_time_that_the_timing_cannot_keep() -> None:
    slow = Timing(ttl=30, loop_wait=10, proxy=12)
    (one,) = [limit for limit in limits(CAREFUL_BASELINE, slow, recovery_time=30) if "failover can take" in limit]
    assert "57 s (ttl 30 + loop_wait 10 + election 5 + proxy 12), and 30 s were declared" in one
    assert not any("failover can take" in limit for limit in limits(CAREFUL_BASELINE, slow, recovery_time=60))


def test_a_recovery_time_that_a_start_after_a_crash_may_exceed() -> None:
    """It is a known limit of its own: a failover whose leader is gone is quick."""
    patient = Timing(start_timeout=300)
    (one,) = [limit for limit in limits(CAREFUL_BASELINE, patient, recovery_time=60) if "recovery_time" in limit]
    assert "takes long to start, it can take 317 s until another member takes over (2 x loop_wait 2 + " in one
    assert "primary_start_timeout 300 + immediate stop 7 + election 5 + proxy 3), and 60 s were declared" in one
    assert not any("recovery_time" in limit for limit in limits(CAREFUL_BASELINE, Timing(), recovery_time=60))
    assert limits(CAREFUL_BASELINE, patient) == limits(CAREFUL_BASELINE)


def test_what_may_be_lost() -> None:
    nothing = Expectations()
    assert not accepted_losses([0], {0: CAREFUL}, nothing)
    assert not accepted_losses([0], {}, nothing)
    found = accepted_losses([0], {0: ASYNCHRONOUS}, nothing)[0]
    assert (found.bytes, found.recent) == (1048576, 10)
    assert not accepted_losses([0], {0: ASYNCHRONOUS}, Expectations(synchronous=True))
    declared = accepted_losses([0, 1], {0: ASYNCHRONOUS}, Expectations(accepted_loss=100))
    assert {group: (one.bytes, one.recent) for group, one in declared.items()} == {0: (100, 0), 1: (100, 0)}


def test_an_asynchronous_group_excuses_no_loss_of_a_synchronous_one() -> None:
    slow = replace(ASYNCHRONOUS, maximum_lag=100, loop_wait=5)
    groups = {0: CAREFUL, 1: ASYNCHRONOUS, 2: slow}
    found = accepted_losses(groups, groups, Expectations())
    assert {group: (one.bytes, one.recent, one.group) for group, one in found.items()} == {
        1: (1048576, 10, 1),
        2: (100, 5, 2),
    }
    assert "those of the last 5 s, can be lost in a failover of worker group 2 (asynchronous" in found[2].why
    assert set(accepted_losses(groups, groups, Expectations(accepted_loss=100))) == {1, 2}
    # Where a group's configuration is not known, nothing is excused, except by what is declared.
    assert set(accepted_losses([0, 1, 3], groups, Expectations())) == {1}
    lacks = dict(_modes_not_promised(NOWHERE, Baseline(groups), Expectations()))
    assert "synchronous_mode is off in worker group 1 and worker group 2" in lacks["synchronous"]
    assert "up to 100 bytes" in lacks["synchronous"]


NOWHERE = Topology(
    database="d",
    application=Login("jo", "x"),
    write=Address("127.0.0.1", 1),
    members=(MemberAddress("pg1", Address("127.0.0.1", 1), Address("127.0.0.1", 1)),),
    dcs=(Address("127.0.0.1", 1),),
    lacks={"replicas": "the only member is pg1", "citus": "not installed"},
)


@pytest.mark.parametrize("program", ["etcd", "consul"])
def test_where_the_dcs_loses_its_leader_with_the_clusters_the_lock_lasts_longer(program: str) -> None:
    """As in autobase, with an etcd or a server of Consul beside each Patroni, and timeouts of 5 s."""
    read = Baseline({0: PatroniConfiguration(ttl=20, loop_wait=5, start_timeout=120)})
    quick = Expectations(proxy_detection=6)
    host = HostAccess("ssh://pg1", programs={program: ProgramAccess("", "", "")})
    there = NOWHERE if program == "etcd" else replace(NOWHERE, dcs=(), dcs_access={"consul": {"host": "pg1"}})
    apart = _timing(Cluster(there), read, quick, 1)
    beside = _timing(Cluster(replace(there, hosts={"pg1": host})), read, quick, 1)
    assert apart.total(Span.FAILOVER) == 20 + 5 + 5 + 6
    assert beside.total(Span.FAILOVER) == apart.total(Span.FAILOVER) + 3 * 5
    assert apart.start_timeout == beside.start_timeout == 120
    assert (apart.second_outage, beside.second_outage) == (5 + 2 * 10 + 5 + 6, 20 + 3 * 5 + 5 + 6)
    assert "election of the DCS, if a host of it is lost (assumed) 15" in beside.limit(Span.FAILOVER, 30).why
    assert "DCS" not in apart.limit(Span.FAILOVER, 30).why
    assert beside.total(Span.SWITCHOVER) == apart.total(Span.SWITCHOVER)
    assert beside.after(["pg1"], ["pg1", "pg2"]) == beside
    assert beside.after(["pg3"], ["pg1", "pg2"]).total(Span.FAILOVER) == apart.total(Span.FAILOVER)


def test_a_cluster_that_does_not_answer_lacks_nothing_and_ends_nothing() -> None:
    settled, known = apply_baseline(NOWHERE, Expectations())
    alone = dict.fromkeys((*OF_ANY, *OF_SEVERAL), "the only member is pg1")
    assert (settled.lacks, known) == ({**NOWHERE.lacks, **alone}, ())
    assert settled.timing == Timing()


def test_what_is_settled_again_is_settled_anew() -> None:
    before = replace(NOWHERE, lacks={"synchronous": "it was off", "spare_dcs": "it had one"})
    settled, _ = apply_baseline(before, Expectations(synchronous=True))
    assert settled.lacks == {}


def test_declared_members_that_are_missing_are_judged() -> None:
    settled, _ = apply_baseline(NOWHERE, Expectations(members=3))
    assert not settled.lacks.keys() & {"replicas", *OF_ANY, *OF_SEVERAL}
    two, _ = apply_baseline(replace(NOWHERE, lacks={"several_replicas": "few"}), Expectations(members=2))
    assert {name for name, why in two.lacks.items() if why == "few"} == {"several_replicas", *OF_SEVERAL}


def test_members_of_worker_groups_are_no_replicas_of_the_coordinator() -> None:
    at = Address("127.0.0.1", 1)
    workers = tuple(MemberAddress(f"w{group}{one}", at, group=group) for group in (1, 2) for one in "ab")
    few = replace(NOWHERE, members=(MemberAddress("c1", at), *workers[1:]), absent=workers[:1])
    for declared in (5, ("c1", *(one.name for one in workers))):
        settled, _ = apply_baseline(few, Expectations(members=declared))
        assert settled.lacks["replicas"] == "the only member is pg1"
    settled, _ = apply_baseline(few, Expectations(members=("c1", "c2", *(one.name for one in workers))))
    assert "replicas" not in settled.lacks


STRICT = replace(CAREFUL, strict=True)


def writes_lacking(baseline: Baseline, sandbox: Path | None = None) -> set[str]:
    topology = Topology("db", Login("app", ""), Address("h", 1), sandbox=sandbox)
    lacks = dict(_modes_not_promised(topology, baseline, Expectations()))
    return lacks.keys() & {"writes_without_standby", "writes_after_loss"}


def test_in_strict_synchronous_mode_writes_wait_for_a_standby_as_configured() -> None:
    assert writes_lacking(CAREFUL_BASELINE) == set()
    strict = replace(CAREFUL_BASELINE, groups={0: STRICT}, purposes=purposes())
    assert writes_lacking(strict) == {"writes_without_standby"}
    assert writes_lacking(replace(strict, purposes={})) == {"writes_without_standby"}
    two = replace(strict, members={0: 2}, purposes={})
    assert writes_lacking(two) == {"writes_without_standby", "writes_after_loss"}
    assert writes_lacking(strict, sandbox=Path("sandbox")) == set(), "there it is nobody's design"
    off = replace(strict, groups={0: replace(STRICT, synchronous=False)})
    assert writes_lacking(off) == set(), "without synchronous_mode, strict says nothing"


def test_a_replica_that_may_not_be_waited_for_is_no_standby_after_a_loss() -> None:
    members = [MemberView(name, "replica", "streaming", "", 0, 1, 0, {}) for name in ("pg1", "pg2")]
    members.append(MemberView("pg3", "replica", "streaming", "", 0, 1, 0, {"nosync": True}))
    strict = replace(CAREFUL_BASELINE, groups={0: STRICT}, purposes={0: purposes_of("pg1", members, {})})
    assert writes_lacking(strict) == {"writes_without_standby", "writes_after_loss"}


def test_postgresqls_own_synchronous_replication_waits_as_well() -> None:
    own = replace(
        CAREFUL_BASELINE,
        groups={0: replace(ASYNCHRONOUS, maximum_lag_set=True)},
        own_standbys={0: StandbyNames.parse("ANY 1 (*)")},
        purposes=purposes(),
    )
    assert writes_lacking(own) == {"writes_without_standby"}
    two = replace(own, own_standbys={0: StandbyNames.parse("ANY 2 (*)")})
    assert writes_lacking(two) == {"writes_without_standby", "writes_after_loss"}
    named = replace(own, own_standbys={0: StandbyNames.parse("pg2")})
    assert writes_lacking(named) == {"writes_without_standby", "writes_after_loss"}, "pg2 may lead then"
    said = " / ".join(limits(own))
    assert "nothing can be written (PostgreSQL's own synchronous_standby_names is ANY 1 (*))" in said
    assert "replication that Patroni regards as asynchronous" in said


def test_commits_that_the_members_themselves_make_wait_cannot_be_let_go() -> None:
    """What is not in the configuration that they share cannot be taken out of it."""
    any_one = StandbyNames.parse("ANY 1 (*)")
    shared = parsed({"postgresql": {"parameters": {"synchronous_standby_names": any_one.setting}}})

    def lacking(configured: PatroniConfiguration, own: StandbyNames | None, sandbox: Path | None = None) -> bool:
        standbys = {0: own} if own else {}
        baseline = replace(CAREFUL_BASELINE, groups={0: configured}, own_standbys=standbys, purposes=purposes())
        topology = Topology("db", Login("app", ""), Address("h", 1), sandbox=sandbox)
        return "asynchronous_commits" in dict(_modes_not_promised(topology, baseline, Expectations()))

    assert lacking(ASYNCHRONOUS, any_one)
    assert lacking(shared, StandbyNames.parse("ANY 1 (pg2)")), "a member's own file comes before what they share"
    assert not lacking(shared, any_one)
    assert not lacking(ASYNCHRONOUS, None)
    assert not lacking(CAREFUL, None)
    assert not lacking(ASYNCHRONOUS, any_one, sandbox=Path("sandbox")), "there it is nobody's design"


def test_without_patroni_nothing_is_known_of_modes() -> None:
    settled, known = apply_baseline(replace(NOWHERE, lacks={"patroni": "none answers"}), Expectations())
    assert settled.lacks["synchronous"] == settled.lacks["failsafe"] == "not known without Patroni: none answers"
    assert known == ()


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (Expectations(workers=2), r"\[expect\] workers declares something that does not exist: not installed"),
        (
            Expectations(synchronous=True),
            r"\[expect\] synchronous declares something that does not exist: none answers",
        ),
        (
            Expectations(proxy_lists_members=True),
            r"\[expect\] proxy_lists_members declares something that does not exist: no page",
        ),
    ],
)
def test_what_is_declared_of_a_part_that_is_missing(declared: Expectations, words: str) -> None:
    lacks = {"patroni": "none answers", "citus": "not installed", "statistics": "no page"}
    with pytest.raises(RequirementMissing, match=words):
        apply_baseline(replace(NOWHERE, lacks=lacks), declared)


def test_it_is_kept_with_the_topology(tmp_path: Path) -> None:
    path = tmp_path / "topology.json"
    topology = replace(NOWHERE, expectations=Expectations(members=("a", "b"), recovery_time=3.0), timing=Timing(ttl=7))
    topology.save(path)
    assert Topology.load(path) == topology


@pytest.mark.parametrize(("rewind", "told"), [(None, True), (True, False), (False, False)])
def test_a_rewind_that_only_the_members_own_files_can_tell_is_not_judged(rewind: bool | None, told: bool) -> None:
    topology = Topology("app", Login("app", ""), Address("db", 5432), lacks={"member_files": "out of reach"})
    baseline = Baseline({0: replace(CAREFUL, rewind=rewind)}, {0: 3})
    lacks = dict(_modes_not_promised(topology, baseline, Expectations()))
    assert ("rewind" in lacks) is told
    reached = replace(topology, lacks={})  # there the members' own files can be read
    assert "rewind" not in dict(_modes_not_promised(reached, baseline, Expectations()))


def test_the_configuration_tells_whether_members_are_rewound() -> None:
    assert parsed({"postgresql": {"use_pg_rewind": "on"}}).rewind is True
    assert parsed({"postgresql": {"use_pg_rewind": False}}).rewind is False
    assert parsed({"postgresql": {}}).rewind is None
    assert parsed({}).rewind is None
