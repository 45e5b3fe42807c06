"""Sabotages of Patroni and of the DCS: leadership, failover, synchronous standbys, quorum."""

from support.faults.nemesis import Fault
from support.faults.patroni import Tagged, paused
from support.faults.process import HostCrash
from support.hosts import Host
from support.sabotage.damage import (
    MakeDamage,
    by_shared_configuration,
    combined,
    nothing,
    on_every_member,
    together,
)
from support.sabotage.own_hosts import host_of, leader_of_dcs
from support.sabotage.programs import patroni_build, wrapped
from support.sabotage.sabotage import Notice, Sabotage, expecting, notices
from support.target.cluster import Cluster


def replicas_tagged(**tags: object) -> MakeDamage:
    """Every replica gets these tags in its own configuration file."""

    return lambda cluster: combined([Tagged(cluster, name, tags) for name in cluster.replicas()])


def _dcs_member_lost(cluster: Cluster) -> Fault:
    """The host of a DCS member that does not lead, because a scenario needs the leading one."""
    leading = leader_of_dcs(cluster)
    addresses = {address.host for address in cluster.topology.dcs}
    others = [one for one in cluster.sandbox.hosts.values() if one.address in addresses and one != leading]
    return HostCrash(others[0])


def leaders_host(cluster: Cluster) -> Host:
    """The host of the leader."""
    return host_of(cluster, "the leader")


SABOTAGES = (
    Sabotage(
        "failover-paused",
        "automatic failover is paused",
        notices({"PH-05 take over": "Patroni is paused"}),
        paused,
    ),
    Sabotage(
        "nobody-may-lead",
        "every replica is tagged nofailover",
        notices(
            {
                "PH-05 take over": "may take over",
                "FO-01": "a member other than .* leads: still not true after",
                "FO-06 named replica": "hands over to .*: refused",
                "FO-07 most WAL": "leads: still not true after",
            }
        ),
        replicas_tagged(nofailover=True),
    ),
    Sabotage(
        "replication-slots-off",
        "Patroni maintains no replication slots",
        notices({"RL-01": "replication slots were declared on .*use_slots is off"}),
        by_shared_configuration({"postgresql": {"use_slots": False}}),
    ),
    Sabotage(
        "slow-to-notice",
        "the leader's lease lasts 90 seconds, and Patroni looks twice a minute",
        notices(
            {
                "FO-01": "a member other than .* leads: still not true after",
                "FO-08": "commits wait for a standby other than",
            }
        ),
        by_shared_configuration({"ttl": 90, "loop_wait": 30}),
        variables={**expecting(recovery_time=30), "LIMITS": '{"FO-08": 10}'},
    ),
    Sabotage(
        "asynchronous",
        "commits wait for no standby",
        (
            Notice("FO-05", "writes were acknowledged"),
            Notice("FO-13", "writes were acknowledged|acknowledged writes lost"),
            Notice("FO-14", "accepted writes .* after the loss of the leader and of every standby"),
            Notice("SB-01", "acknowledged writes lost"),
            Notice("PH-06", "synchronous replication was declared .*synchronous_mode is off", "as many standbys"),
        ),
        by_shared_configuration({"synchronous_mode": False}),
        variables=expecting(synchronous=True),
    ),
    Sabotage(
        "asynchronous-by-configuration",
        "commits wait for no standby, and synchronous replication was not declared",
        (Notice("PH-06", "synchronous_mode is off, .*can be lost in a failover", "as many standbys", skipped=True),),
        by_shared_configuration({"synchronous_mode": False}),
    ),
    Sabotage(
        "fewer-standbys-than-declared",
        "commits wait for one standby, and two were declared",
        notices({"PH-06 as many standbys": "synchronous_standbys = 2 was declared, .*synchronous_node_count is 1"}),
        nothing,
        variables=expecting(synchronous_standbys=2),
    ),
    Sabotage(
        "fewer-members-than-declared",
        "there are fewer members than were declared",
        notices({"PH-03": "members were declared .*Patroni knows 3"}),
        nothing,
        variables=expecting(members=4),
    ),
    Sabotage(
        "other-members-than-declared",
        "one declared member is missing, and another one is there instead",
        notices({"PH-03": "members were declared .*does not know pg9; Patroni knows pg3 as well"}),
        nothing,
        variables=expecting(members=["pg1", "pg2", "pg9"]),
    ),
    Sabotage(
        "less-to-spare-than-declared",
        "the DCS can lose one member, and two were declared",
        notices({"PH-05 DCS could lose": "must be able to lose"}),
        nothing,
        variables=expecting(dcs_spare=2),
    ),
    Sabotage(
        "strictly-synchronous",
        "without a standby no write is accepted",
        notices({"GD-01 writes continue": "no operation was acknowledged in|interrupted for"}),
        by_shared_configuration({"synchronous_mode_strict": True}),
    ),
    Sabotage(
        "no-failsafe",
        "a leader stops when it cannot reach the DCS",
        notices(
            {
                "SB-03 With failsafe": r"in observation \d+ of|interrupted for",
                "SB-03 could continue": "failsafe mode was declared on .*failsafe_mode is off",
            }
        ),
        by_shared_configuration({"failsafe_mode": False}),
        variables=expecting(failsafe=True),
    ),
    Sabotage(
        "rewind-not-configured",
        "a diverged member is not rewound",
        notices({"PH-06 rewound": "use_pg_rewind", "FO-16": "was copied from another member"}),
        by_shared_configuration({"postgresql": {"use_pg_rewind": False}}),
    ),
    Sabotage(
        "rewind-impossible",
        "a diverged member can be neither rewound nor rebuilt",
        notices({"FO-03 wrote alone": "streams as a replica: still not true after"}),
        by_shared_configuration(
            {
                "postgresql": {
                    "use_pg_rewind": False,
                    "remove_data_directory_on_rewind_failure": False,
                    "remove_data_directory_on_diverged_timelines": False,
                }
            }
        ),
    ),
    Sabotage(
        "dcs-member-lost",
        "the DCS has no member to spare",
        notices(
            {
                "PH-05 DCS could lose": "must be able to lose",
                "SB-03 leading member": "the DCS answers: still not true after|renews its lock",
                "SB-04": "the DCS answers: still not true after|renews its lock",
            }
        ),
        _dcs_member_lost,
    ),
    Sabotage(
        "patroni-never-demotes",
        "a leader that has lost its lease keeps leading",
        notices(
            {
                "SB-01": "two members accepted writes",
                "SB-02 from everyone": "was last seen to accept a write",
                "FO-13": "replica: still not true after|would have taken writes for|two members accepted writes",
            }
        ),
        patroni_build("never_demotes"),
    ),
    Sabotage(
        "patroni-ignores-the-dcs",
        "a leader that cannot reach the DCS keeps leading",
        notices(
            {
                "SB-01": "two members accepted writes",
                "SB-02 DCS alone": "was last seen to accept a write",
                "SB-03 Without failsafe": "was last seen to accept a write",
            }
        ),
        patroni_build("ignores_the_dcs"),
    ),
    Sabotage(
        "patroni-ignores-tags",
        "a member that is tagged nofailover takes over",
        notices({"FO-07 tagged nofailover": "who took over"}),
        patroni_build("ignores_nofailover"),
    ),
    Sabotage(
        "patroni-lets-the-worst-win",
        "a member that has received less WAL than another takes over",
        notices({"FO-07 most WAL": "who took over"}),
        patroni_build("the_worst_wins"),
    ),
    Sabotage(
        "patroni-keeps-its-standby",
        "commits keep waiting for a standby that is gone",
        notices({"FO-08": "commits wait for a standby other than"}),
        patroni_build("keeps_its_standby"),
    ),
    Sabotage(
        "patroni-ignores-who-is-synchronous",
        "a replica for which no commit waited takes over",
        notices({"FO-14": "accepted writes .* after the loss of the leader and of every standby"}),
        patroni_build("ignores_who_is_synchronous"),
    ),
    Sabotage(
        "patroni-is-never-strict",
        "in strict synchronous mode, writes are acknowledged without a standby",
        notices({"GD-01 strict": "writes were acknowledged"}),
        patroni_build("is_never_strict"),
    ),
    Sabotage(
        "patroni-asks-nobody-before-a-switchover",
        "a switchover that cannot succeed is begun, and reported as done",
        notices({"FO-06 impossible": "carried out"}),
        patroni_build("asks_nobody_before_a_switchover"),
    ),
    Sabotage(
        "patroni-keeps-what-was-requested",
        "the request for a switchover stays in the DCS after it was carried out",
        notices(
            {
                "FO-06 halfway ends with one leader: the client": "the DCS holds a switchover",
                "FO-06 halfway ends with one leader: Patroni": "the DCS holds a switchover",
            }
        ),
        patroni_build("keeps_what_was_requested"),
    ),
    Sabotage(
        "leader-may-take-minutes-to-start",
        "Patroni lets the PostgreSQL of a leader start for five minutes before another member takes over",
        notices({"FO-04 does not finish starting": "no operation was acknowledged in|interrupted for"}),
        by_shared_configuration({"primary_start_timeout": 300}),
        variables={"LIMITS": '{"FO-04.hanging-start": 60}'},  # else the limit follows from that timeout
    ),
    Sabotage(
        "patroni-starts-nothing-after-a-crash",
        "a PostgreSQL that has led, and has crashed, stays down",
        notices({"FO-04 a full disk has stopped": "are acknowledged: still not true after"}),
        # Otherwise PostgreSQL would start again by itself.
        together(
            on_every_member(
                "ALTER SYSTEM SET restart_after_crash = off;;SELECT pg_reload_conf()",
                "ALTER SYSTEM RESET restart_after_crash;;SELECT pg_reload_conf()",
                "SELECT NOT setting::bool FROM pg_settings WHERE name = 'restart_after_crash'",
            ),
            patroni_build("starts_nothing_after_a_crash"),
        ),
    ),
    Sabotage(
        "patroni-does-not-start-with-its-host",
        "Patroni on the leader does not start when its host does",
        notices({"FO-03 comes back": "streams as a replica: still not true after"}),
        wrapped(leaders_host, "patroni", ["sh", "-c", "exec sleep 900", "idle"]),
    ),
    Sabotage(
        "patroni-copies-nothing",
        "a member that has lost its data is not rebuilt",
        notices(
            {
                "FO-11": "streams as a replica: still not true after",
                "WL-03": "with all of the leader's WAL: still not true after",
            }
        ),
        patroni_build("copies_nothing"),
    ),
    Sabotage(
        "patroni-copies-no-logical-slot",
        "a member that takes over recreates the logical slots",
        notices({"FO-17": "changes never reached the consumer"}),
        patroni_build("copies_no_logical_slot"),
    ),
    Sabotage(
        "patroni-waits-for-the-end-of-postgresql",
        "a leader that hands over keeps its lock until its PostgreSQL is down",
        notices({"FO-18": "hands over to .*: refused|of which Patroni says: |interrupted for"}),
        patroni_build("waits_for_the_end_of_postgresql"),
    ),
    Sabotage(
        "patroni-renews-its-lock-whatever-happens",
        "a leader renews its lock even while its PostgreSQL gives no answer",
        notices({"FO-15 hangs without dying": "a member other than .* leads: still not true after"}),
        patroni_build("renews_its_lock_whatever_happens"),
    ),
    Sabotage(
        "patroni-trusts-its-clock",
        "a leader hands over when its clock says that its lock has expired",
        notices({"SB-05 jumps ahead": r"in observation \d+ of|interrupted for"}),
        patroni_build("trusts_its_clock"),
    ),
    Sabotage(
        "patroni-hands-over-when-its-clock-jumps-back",
        "a leader whose clock jumps back hands over at once, long before its lock expires",
        notices({"SB-05 jumps back": r"in observation \d+ of .*before the roles changed"}),
        patroni_build("hands_over_when_its_clock_jumps_back"),
    ),
    Sabotage(
        "patroni-dawdles-after-a-freeze",
        "replication is asynchronous, and a leader that was frozen takes ten seconds to ask who leads",
        notices({"FO-19 host of the leader freezes": r"acknowledged \d+ writes in .* are lost: .*\(limit: 5 s\)"}),
        together(
            by_shared_configuration({"synchronous_mode": False}),
            patroni_build("dawdles_after_a_freeze"),
        ),
    ),
    Sabotage(
        "clock-jumps-as-declared",
        "it was declared that a leader whose clock jumps back keeps its lock, and it does not",
        notices({"SB-05 jumps back": "the lock was not renewed for"}),
        nothing,
        variables=expecting(clock_jumps=True),
    ),
    Sabotage(
        "login-failover-as-declared",
        "it was declared that a leader on which nobody can log in is replaced, and it is not",
        notices({"FO-15 new logins": "no new session reached a leader for"}),
        nothing,
        variables=expecting(login_failover=True),
    ),
    Sabotage(
        "patroni-postpones-its-promotion",
        "a member that has taken the leader key remains a replica for 8 seconds",
        notices({"FO-19": "was reported as the primary by its health check for"}),
        patroni_build("postpones_its_promotion"),
    ),
    Sabotage(
        "patroni-clings-to-its-role",
        "a leader that has handed over is still reported as the primary for 30 seconds",
        notices({"FO-19 switchover": "was reported as the primary by its health check for"}),
        patroni_build("clings_to_its_role"),
    ),
    Sabotage(
        "patroni-falters-after-taking-over",
        "a leader that has taken over serves for 8 seconds, and then fails for 42",
        notices({"FO-02": "interrupted for .* and had not recovered"}),
        patroni_build("falters_after_taking_over"),
    ),
)
