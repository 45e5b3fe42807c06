"""Whether the members are alike: their software, how they sort, and their settings."""

from behave import then

from support.engine.world import Context
from support.failover import member_settings, member_software
from support.failover.member_checks import (
    none_waits_for_a_restart,
    same_on_all,
    settings_agree,
    sorted_as_recorded,
)
from support.target.cluster import Cluster
from support.target.members import heard_and_silent, in_each_group

_PACKAGES = "install the same packages on every member, and restart its PostgreSQL"


@then("every member runs the same versions")
def step_same_versions(context: Context) -> None:
    """By SQL, as the application: the server, each extension in the catalog and in the server's files, Citus' library,
    and the libraries that sort text, for the collations in use."""

    def alike(group: Cluster) -> None:
        same_on_all(*heard_and_silent(member_software.versions(group)), _PACKAGES).require()

    in_each_group(context.world.cluster, alike, "every member runs the same versions", only_late=False)


@then("every library that the database uses is the same file on every member, and can be used")
def step_same_libraries(context: Context) -> None:
    """As a superuser: the checksum of each library that an extension's functions are in; PostgreSQL can load it, and
    finds each of the functions there."""

    def alike(group: Cluster) -> None:
        same_on_all(*heard_and_silent(member_software.libraries(group)), _PACKAGES).require()

    in_each_group(context.world.cluster, alike, "every library is the same on every member", only_late=False)


@then("each collation in use has its recorded version on every member")
def step_collations_as_recorded(context: Context) -> None:
    """The database's own collation and those of its columns, indexes and other objects, as the application sees them:
    the version recorded in the catalog is the one by which the member sorts (libc, ICU)."""

    def as_recorded(group: Cluster) -> None:
        sorted_as_recorded(*heard_and_silent(member_software.collations(group))).require()

    in_each_group(context.world.cluster, as_recorded, "each collation has its recorded version", only_late=False)


@then("every setting that the members should share is the same on all of them")
def step_same_settings(context: Context) -> None:
    """Wherever it was set. Left out: what belongs to each member itself (addresses, files, its part in replication),
    what [expect] member_settings names, and members that never lead. What hot standby needs to be no smaller on a
    replica than on the leader is judged for those, too."""
    declared = context.world.cluster.topology.expectations.member_settings or ()

    def alike(group: Cluster) -> None:
        heard, silent = heard_and_silent(member_settings.of_each_member(group))
        told = {member: one.settings for member, one in heard.items()}
        names = {name for settings in told.values() for name in settings}
        replicas = {member: one.in_recovery for member, one in heard.items()}
        exempt, without = member_settings.never_leading(group), member_settings.without_feedback(group)
        apart = member_settings.may_differ(names, replicas, exempt, declared, without)
        leader = next((member for member, replica in replicas.items() if not replica), "")
        settings_agree(told, silent, leader, apart).require()

    in_each_group(context.world.cluster, alike, "every setting is the same on all members", only_late=False)


@then("no setting of any member waits for a restart")
def step_no_restart_is_pending(context: Context) -> None:
    """By PostgreSQL and by Patroni, which knows it of settings that it gives to PostgreSQL on the command line."""

    def nothing_waits(group: Cluster) -> None:
        none_waits_for_a_restart(*heard_and_silent(member_settings.waiting_for_a_restart(group))).require()

    in_each_group(context.world.cluster, nothing_waits, "no setting waits for a restart", only_late=False)
