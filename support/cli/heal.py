"""`accept heal`: undo whatever runs that were killed have left on a user's cluster, from any machine."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from support import sql
from support.cli.console import out
from support.errors import (
    AcceptError,
    ConnectFailed,
    NotInTime,
    RequirementMissing,
    TargetUnreachable,
    UsageError,
)
from support.hosts.remote import HostAccess
from support.hosts.remote.ways import heal_host
from support.settings import Settings
from support.target import emptied, left_slots, slots, temporary_redis_settings
from support.target.changes import Note
from support.target.cluster import Cluster
from support.target.discovery import cache, database, from_settings, user_cluster, web
from support.target.discovery.database import LOCAL, hosts_given
from support.target.discovery.user_hosts import declared_access
from support.target.members import NO_ANSWER, NoAnswer
from support.target.patroni import PatroniApi
from support.target.redis import ERRORS as REDIS_ERRORS
from support.target.temporary_configuration import give_back_by
from support.timeouts import REJOIN, REST
from support.waiting import NotYet, describe, eventually

Healed = tuple[bool, list[str]]
"""Whether everything is undone, and what was done or failed."""
_PATRONI_OF = "Patroni of "


def heal(settings: Settings) -> int:
    """Undo everything on all hosts in [hosts] in parallel, then in Patroni's configuration, the slots that it made,
    Redis' settings, and the settings of Citus' worker groups; print what was undone.

    Returns 1 if anything could not be undone or checked. The database has to answer only if a superuser's login is
    given, and there is a Patroni or Citus is declared, because without that login a run changes nothing there; or if a
    slot was in the configuration that was given back. Raises UsageError if the settings do not name a cluster of the
    user's.
    """
    if not settings.accept_hosts and not settings.external:
        raise UsageError("there is nothing to heal: --target names a file that says where your cluster is")
    ways = {name: declared_access(name, said) for name, said in settings.accept_hosts.items()}
    answers: dict[str, Healed] = {}
    if ways:
        with ThreadPoolExecutor(len(ways)) as each:
            answers = dict(zip(ways, each.map(_healed, ways.values()), strict=True))
    started = any(told for _, told in answers.values())
    patience = REJOIN if started else REST
    if settings.enable_patroni is not False:
        answers |= _or_why_not("Patroni", lambda: _patroni_healed(settings, patience))
    answers |= _or_why_not("Redis", lambda: _redis_settings_given_back(settings))
    if settings.enable_citus is not False and settings.accept_admin_user:
        answers |= _or_why_not("Citus", lambda: _worker_groups_given_back(settings, patience))
    return _show(answers)


def _or_why_not(part: str, given_back: Callable[[], Mapping[str, Healed]]) -> Mapping[str, Healed]:
    """Settings that contradict one another keep one part from being looked at: the others are healed, and shown."""
    try:
        return given_back()
    except AcceptError as error:
        return {part: (False, [f"it was not checked: {describe(error)}"])}


def _healed(declared: HostAccess) -> Healed:
    told: list[str] = []
    try:
        return heal_host(declared, told.append), told
    except Exception as error:  # whatever it is, the other hosts and the settings are healed
        return False, [*told, describe(error)]


def _patroni_healed(settings: Settings, patience: float) -> Mapping[str, Healed]:
    """The configurations first: Patroni would create again a slot that is in them."""
    notes = list[Note]()
    told = _configurations_given_back(settings, patience, notes)
    if any(name.startswith(_PATRONI_OF) for name in told):
        maintained = {name for note in notes for name in note.before.get("slots") or {} if left_slots.is_of_a_run(name)}
        told = {**told, **_slots_dropped(settings, patience, maintained)}
    return told


def _configurations_given_back(settings: Settings, patience: float, notes: list[Note]) -> Mapping[str, Healed]:
    """Scope -> what was given back, within `patience` seconds: a Patroni that was started just now needs some.

    Adds to `notes` those of what was given back. Where no setting says that there is a Patroni, none has to answer.
    """
    expected = bool(settings.enable_patroni or settings.accept_hosts or from_settings.rest_apis(settings))
    told = dict[str, Healed]()

    def in_every_group() -> None:
        unheard = _given_back(settings, told, notes)
        if unheard:
            raise NotYet("; ".join(unheard))

    try:
        eventually(in_every_group, within=patience if expected else 0.0, subject="a Patroni of every group answers")
    except NotInTime as error:
        if expected:
            told["Patroni"] = False, [f"not every configuration was checked: {error.observed}"]
        elif not told:
            told["Patroni"] = True, ["PATRONI_HOSTS names none, and none answers beside the database"]
    return told


def _given_back(settings: Settings, told: dict[str, Healed], notes: list[Note]) -> Sequence[str]:
    """Adds to `told` and `notes`. Returns where nobody answered, if that may be a group of its own; empty if each was
    looked at.

    The members of a group share the configuration, so one of them is enough. Groups of Citus have the same scope, and
    do not share it.
    """
    silent, heard, groups = list[str](), set[str](), list[frozenset[str]]()
    for address, answer in user_cluster.ask_patronis(settings).items():
        if isinstance(answer, NoAnswer):
            silent.append(f"{address}: {answer.why}")
            continue
        try:
            patroni = PatroniApi(address, web.of_patroni(settings))
            given = give_back_by(patroni, from_settings.patroni_login(settings), whoever=True)
        except (AcceptError, *NO_ANSWER) as error:
            silent.append(f"{address}: {describe(error)}")
            continue
        _, before = told.get(f"{_PATRONI_OF}{answer.scope}", (True, []))
        told[f"{_PATRONI_OF}{answer.scope}"] = True, [*before, *given.done]
        notes += given.notes
        heard.add(answer.name or str(address))
        groups = _with_view(groups, answer.known)
    others = sum(map(len, groups)) - len(heard)  # in those groups: they may be the silent ones
    return silent if len(silent) > others or not groups else ()


def _with_view(groups: Sequence[frozenset[str]], known: frozenset[str]) -> list[frozenset[str]]:
    """The members of each group, given one more member's view. Views that share a member belong to the same group, as a
    view may be incomplete."""
    same = [one for one in groups if one & known]
    return [*(one for one in groups if one not in same), known.union(*same)]


def _slots_dropped(settings: Settings, patience: float, maintained: Collection[str]) -> Mapping[str, Healed]:
    """The slots that Patroni made for runs, if any are left or were in its configuration until just now: `maintained`.

    Patroni has some time to drop them; then they are dropped here, where a superuser's login is known. Whether there
    are any has to be seen only where a run can have made some.
    """
    needed = bool(maintained or settings.accept_admin_user)

    def search() -> tuple[Cluster, left_slots.LeftSlots]:
        cluster = Cluster(user_cluster.members_alone(settings)).as_declared
        return cluster, left_slots.find(cluster)

    no_answer = (AcceptError, *NO_ANSWER)
    try:
        within = patience if needed else 0.0
        cluster, found = eventually(search, within=within, subject="every slot is seen", retry_on=no_answer)
    except NotInTime as error:
        undo = "".join(f"; if {name} is left, {slots.dropping(name)}" for name in sorted(maintained))
        why = f"it is not known whether replication slots of runs are left: {error.observed}{undo}"
        return {"Replication slots": (False, [why])} if needed else {}
    whole, told = True, list[str]()
    for name in sorted({*found.on, *maintained}):
        try:
            left = left_slots.drop(cluster, name)
            where = f" on {' and '.join(left)}, where Patroni had left it" if left else ""
            told.append(f"{name} was dropped{where}")
        except NotInTime as error:
            whole = False
            told.append(describe(error))
    if needed and not told and found.silent:
        whole = False
        silent = "; ".join(f"{name}: {why}" for name, why in found.silent.items())
        told.append(f"these members were not checked for slots of runs: {silent}")
    return {"Replication slots": (whole, told)} if told else {}


def _redis_settings_given_back(settings: Settings) -> Mapping[str, Healed]:
    """Nothing if the settings name no Redis. One that was just started needs a moment to load its data."""

    def given_back() -> Healed:
        server = cache.find(settings, next(iter(hosts_given(settings)), LOCAL))
        return True, list(temporary_redis_settings.give_back(server, whoever=True).done) if server else []

    if not settings.model_fields_set & cache.NAMING:
        return {}
    no_answer = (RequirementMissing, *REDIS_ERRORS)
    try:
        return {"Redis": eventually(given_back, within=REST, subject="Redis answers", retry_on=no_answer)}
    except NotInTime as error:
        return {"Redis": (False, [f"its settings were not checked: {error.observed}"])}


def _worker_groups_given_back(settings: Settings, patience: float) -> Mapping[str, Healed]:
    """Which worker groups take shards again; empty if no note is found, for example without Citus.

    A database whose host has just been started, or that is failing over, needs some time.
    """

    def given_back() -> list[str]:
        return emptied.give_back_all(Cluster(user_cluster.endpoints(settings, database.find(settings))))

    no_answer = (sql.Error, ConnectFailed, TargetUnreachable)
    try:
        done = eventually(given_back, within=patience, subject="the database answers", retry_on=no_answer)
    except NotInTime as error:
        declared = bool(settings.enable_citus or settings.citus_coordinator or settings.citus_workers)
        return {"Citus": (not declared, [f"it is not known whether every worker group takes shards: {error.observed}"])}
    return {"Citus": (True, done)} if done else {}


def _show(answers: Mapping[str, Healed]) -> int:
    for name, (whole, told) in answers.items():
        out.print(f"{name}: {'; '.join(told) or 'nothing was left'}", markup=False)
        if not whole:
            out.print(f"{name}: not everything could be undone", style="red", markup=False)
    return 0 if all(whole for whole, _ in answers.values()) else 1
