"""What a busy machine explains is late (PH-03 to PH-05, HP-01); what no load brings about is wrong."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port
from http_servers import Handler, serving_with
from patronis import Member, patroni

from steps.failover.member_steps import step_dcs_knows_members, step_failover_is_on, step_members_run
from steps.failover.routing_steps import step_statistics_page_answers
from support import sql
from support.engine.world import Context
from support.errors import LimitExceeded
from support.expectations import Expectations
from support.failover.leader_views import NO_MEMBER, leader_views
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, StatisticsPage, Topology


class Quick(Timing):
    """No test waits for as long as a cluster may take."""

    @property
    def notice(self) -> float:
        return 0.1


@contextmanager
def context(
    known: Collection[str], *, paused: bool = False, expectations: Expectations | None = None
) -> Iterator[Context]:
    """A cluster of pg1 and pg2, whose DCS knows these members."""
    told = [
        Member(name, "leader" if name == "pg1" else "replica", f"{name}:5432", f"{name}:8008", None) for name in known
    ]
    told[0].paused = paused
    with patroni(told[0], told) as api:
        here = Address("127.0.0.1", 1)
        members = tuple(MemberAddress(name, here, Address("127.0.0.1", api)) for name in ("pg1", "pg2"))
        login, given = Login("app", ""), expectations or Expectations()
        cluster = Cluster(Topology("app", login, here, members=members, timing=Quick(), expectations=given))
        yield cast(Context, SimpleNamespace(world=SimpleNamespace(cluster=cluster)))


def error_of(step: Callable[[Context], None], given: Context) -> AssertionError:
    with pytest.raises(AssertionError) as raised:
        step(given)
    return raised.value


def test_a_member_too_many_is_not_late() -> None:
    with context(["pg1", "pg2", "pg3"]) as given:
        error = error_of(step_dcs_knows_members, given)
    assert "the DCS also knows pg3" in str(error)
    assert not isinstance(error, LimitExceeded)


def test_a_member_that_is_missing_may_be_late() -> None:
    with context(["pg1"]) as given:
        error = error_of(step_dcs_knows_members, given)
    assert "the DCS does not know pg2" in str(error)
    assert isinstance(error, LimitExceeded)


def test_the_members_that_were_known() -> None:
    with context(["pg1", "pg2"]) as given:
        step_dcs_knows_members(given)
        step_failover_is_on(given)


@pytest.mark.parametrize(
    ("declared", "late"),
    [(3, True), (1, False), (("pg1", "pg2", "pg3"), True), (("pg1",), False), (("pg1", "pg9"), False)],
    ids=str,
)
def test_the_members_that_were_declared(declared: int | tuple[str, ...], late: bool) -> None:
    with context(["pg1", "pg2"], expectations=Expectations(members=declared)) as given:
        error = error_of(step_dcs_knows_members, given)
    assert "members were declared" in str(error)
    assert isinstance(error, LimitExceeded) is late


def test_a_paused_patroni_is_not_late() -> None:
    with context(["pg1", "pg2"], paused=True) as given:
        error = error_of(step_failover_is_on, given)
    assert "Patroni is paused" in str(error)
    assert not isinstance(error, LimitExceeded)


@pytest.mark.parametrize("step", [step_dcs_knows_members, step_members_run, step_failover_is_on])
def test_members_that_give_no_answer_may_be_late(step: Callable[[Context], None]) -> None:
    nobody = Address("127.0.0.1", free_port())
    members = tuple(MemberAddress(name, nobody, nobody) for name in ("pg1", "pg2"))
    cluster = Cluster(Topology("app", Login("app", ""), nobody, members=members, timing=Quick()))
    error = error_of(step, cast(Context, SimpleNamespace(world=SimpleNamespace(cluster=cluster))))
    assert "answer" in str(error)
    assert isinstance(error, LimitExceeded)


class Open(Handler):
    """Serves whoever gives no credentials, and hangs up on everybody else."""

    def do_GET(self) -> None:
        if "Authorization" not in self.headers:
            self.answer(200)


def visited(page: Address, expected: Mapping[str, str]) -> Context:
    """The statistics page is there, and each visitor is expected to be received like this."""
    rows = [SimpleNamespace(cells=list(row)) for row in expected.items()]
    found = StatisticsPage(f"http://{page}", Login("owner", "secret"))
    cluster = Cluster(Topology("app", Login("app", ""), page, statistics=found, timing=Quick()))
    table = SimpleNamespace(headings=["visitor", "answer"], rows=rows)
    return cast(Context, SimpleNamespace(world=SimpleNamespace(cluster=cluster), table=table))


def test_a_statistics_page_that_gives_no_answer_may_be_late() -> None:
    with serving_with(Open) as page:
        given = visited(page, {"no credentials": "served", "the user, right password": "served"})
        error = error_of(step_statistics_page_answers, given)
    assert "the user, right password: no answer" in str(error)
    assert isinstance(error, LimitExceeded)


def test_a_statistics_page_that_is_open_to_all_is_not_late_whoever_gets_no_answer() -> None:
    with serving_with(Open) as page:
        given = visited(page, {"no credentials": "refused", "the user, right password": "served"})
        error = error_of(step_statistics_page_answers, given)
    assert "no credentials, answer: expected refused, observed served" in str(error)
    assert not isinstance(error, LimitExceeded)


@pytest.mark.parametrize("members", [{"pg1": True}, {"pg1": False}, {"pg1": True, "pg2": False}], ids=str)
def test_the_write_endpoint_may_lead_to_a_member_that_gives_no_answer(
    postgres: sql.Endpoint, members: Mapping[str, bool]
) -> None:
    """It leads to PostgreSQL. Some members are that server, the others are down."""
    here, nobody = Address(postgres.host, postgres.port), Address("127.0.0.1", free_port())
    known = tuple(MemberAddress(name, here if there else nobody) for name, there in members.items())
    login = Login(postgres.user, postgres.password)
    views = leader_views(Cluster(Topology(postgres.database, login, here, members=known)), ["the write endpoint"])
    assert views.seen == {"the write endpoint": {name for name, there in members.items() if there}}
    assert ("the write endpoint" in views.unheard) is not any(members.values())


def test_the_write_endpoint_leads_to_no_member_if_all_of_them_answer(postgres: sql.Endpoint) -> None:
    here, login = Address(postgres.host, postgres.port), Login(postgres.user, postgres.password)
    views = leader_views(Cluster(Topology(postgres.database, login, here)), ["the write endpoint"])
    assert views.seen == {"the write endpoint": {NO_MEMBER}}
