"""Which settings of a real PostgreSQL wait for a restart."""

from support import sql
from support.failover.member_settings import waiting_for_a_restart
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually

SET = "ALTER SYSTEM SET {}"
RESET = "ALTER SYSTEM RESET {}"


def waiting(postgres: sql.Endpoint) -> list[str]:
    place = Address(postgres.host, postgres.port)
    login = Login(postgres.user, postgres.password)
    topology = Topology(
        database=postgres.database,
        application=login,
        write=place,
        members=(MemberAddress("m1", place, None),),
        administrator=login,
        lacks={"patroni": "the test has none"},
    )
    found = waiting_for_a_restart(Cluster(topology))["m1"]
    assert isinstance(found, list), found
    return found


def test_a_target_of_recovery_waits_for_no_restart(postgres: sql.Endpoint) -> None:
    """After a promotion, Patroni takes it out of the file, and PostgreSQL says that it waits."""

    def noted(name: str) -> None:
        if not sql.value(postgres, "SELECT pending_restart FROM pg_settings WHERE name = %s", [name]):
            raise NotYet(f"{name} does not wait")

    changed = {"recovery_target_xid": "'1'", "max_connections": "77"}
    try:
        for name, value in changed.items():
            sql.execute(postgres, SET.format(f"{name} = {value}"))
        sql.execute(postgres, "SELECT pg_reload_conf()")
        for name in changed:
            eventually(lambda one=name: noted(one), within=10, subject="it waits")  # type: ignore[misc]
        assert waiting(postgres) == ["max_connections"]
    finally:
        for name in changed:
            sql.execute(postgres, RESET.format(name))
        sql.execute(postgres, "SELECT pg_reload_conf()")
