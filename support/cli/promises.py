"""`accept promises`: searches the list of promises, and writes docs/promises.md."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.cli.behave_process import dry_run
from support.cli.console import complain, out, say
from support.cli.feature_files import Outline, read
from support.cli.lint import by_promise
from support.cli.paths import FEATURES, REPORT
from support.cli.preflight import limits_by_id
from support.cli.word_search import best_first, nothing_found
from support.engine.limits import Stated
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.reporting import on_call
from support.reporting.pages.site import ON_CALL
from support.reporting.promises import FILE, Promise, load
from support.reporting.scenario import EPICS
from support.reporting.summary import plain
from support.sabotage.catalogue import SABOTAGES, every_sabotage
from support.sabotage.sabotage import Sabotage
from support.target.capabilities import CAPABILITIES
from support.vocabulary import counted

HEAD = """\
# The promises

The promises of the cluster, by capability. The scenarios listed with a promise judge it, on a target that has what they
need. The last column shows that they can fail: `./accept prove` breaks the cluster with each of these sabotages, and
the scenarios must notice. "none" means that no sabotage breaks the promise yet.

Limits are those that the scenarios state; `[limits]` replaces them by the names below, see
[your-cluster.md](your-cluster.md#your-own-limits). In parentheses is what the cluster needs the time for. If its own
timing needs longer, the limit is longer, see [expectations.md](expectations.md#how-long-it-may-take).

If the target lacks something that a scenario needs, the scenario is skipped and the promise is "not judged"; the report
says what is missing. `./accept promises failover` searches this list, `./accept run --tags @id.FO-01` judges one
promise, and `./accept prove FO-01` shows that it can fail.

Do not edit this page. It is generated from `features/promises.toml`, the feature files and the sabotages:
`./accept promises --markdown > docs/promises.md`.
"""


@dataclass(frozen=True)
class Listed:
    """A promise with the scenarios that prove it."""

    promise: Promise
    scenarios: tuple[Outline, ...]

    @property
    def epic(self) -> str:
        """The name of its capability in the report."""
        return EPICS[self.promise.capability]

    @property
    def text(self) -> str:
        """What a search looks at."""
        one = self.promise
        titles = " ".join(scenario.name for scenario in self.scenarios)
        return f"{one.id} {one.capability} {self.epic} {one.severity} {one.sentence} {titles}".lower()


def listed(folder: Path = FEATURES, own: OwnFolder | None = None) -> tuple[Listed, ...]:
    """Every promise, in the order of the file; then those of the user's own folder.

    Raises UsageError if a list or a feature cannot be read.
    """
    outlines, unreadable = read([*sorted(folder.rglob("*.feature")), *(own.feature_files if own else ())])
    if unreadable:
        raise UsageError("\n".join(map(str, unreadable)))
    scenarios = by_promise(outlines)
    promises = [*load(folder / FILE).values(), *(load(own.promises).values() if own and own.promises.exists() else ())]
    return tuple(Listed(one, tuple(scenarios.get(one.id, ()))) for one in promises)


def search(words: str, among: Sequence[Listed]) -> tuple[Listed, ...]:
    """The promises that contain all of the words, in any order; those whose own sentence does come first."""
    return best_first(words, among, lambda one: f"{one.promise.id} {one.promise.sentence}", lambda one: one.text)


def show(words: str, as_markdown: bool, own: OwnFolder | None = None) -> int:
    """Print the promises that contain the words, or the page with all of the suite's. Returns the exit status.

    A promise whose id is given is shown in full.
    """
    if as_markdown:
        if words:
            raise UsageError(f"--markdown writes the page with all promises; leave out {words!r} or --markdown")
        sys.stdout.write(markdown(listed(), limits_by_id(dry_run([str(FEATURES)]).scenarios)))
        return 0
    everything = listed(own=own)
    if exact := next((one for one in everything if one.promise.id == words.strip().upper()), None):
        _tell(exact, own)
        return 0
    found = search(words, everything)
    for one in found:
        scenarios = counted(len(one.scenarios), "scenario")
        out.print(f"{one.promise.id}  {one.epic}, {one.promise.severity}, {scenarios}", style="bold", markup=False)
        out.print(f"    {one.promise.sentence}", markup=False)
    if found:
        say(counted(len(found), "promise"))
        return 0
    more = "" if own else "; those of your own folder, too, with --features DIR"
    why = nothing_found("promise", words, [one.text for one in everything])
    complain(f"{why} (./accept promises lists them all{more})")
    return 1


def _tell(one: Listed, own: OwnFolder | None) -> None:
    """Print all that is known of a promise, for somebody who was told that it is broken."""
    id, paths = one.promise.id, [str(FEATURES), *([str(own.features)] if own else [])]
    guides = on_call.load_all([FEATURES / on_call.FILE, *([own.guides] if own else [])])
    guide = on_call.guide_for(one.promise, guides)
    limits = limits_by_id(dry_run([*paths, "--tags", f"@id.{id}"]).scenarios).get(id, ())
    ours = own is None or all(own.features not in scenario.file.parents for scenario in one.scenarios)
    named = f" --features {shlex.quote(str(own.directory))}" if own else ""
    folder = "" if ours else named
    out.print(f"{id}  {one.epic}, {one.promise.severity}", style="bold", markup=False)
    out.print(f"    {one.promise.sentence}", markup=False)
    _block("Scenarios", [f"{each.name}  {each.file}:{each.line}" for each in one.scenarios] or ["none"])
    _block("Limits, by their names in [limits]", [f"{name}: {figures}" for name, figures in limits_told(id, limits)])
    _block("What it means when it is broken", [guide.means])
    _block("Usual causes", [f"- {each}" for each in guide.causes])
    _block("What to look at first", [f"{number}. {each}" for number, each in enumerate(guide.look, 1)])
    _block("How others fixed it", [f"- {each}" for each in guide.fixes])
    _block("Promises that may be the cause if they are broken as well", [", ".join(guide.first)] if guide.first else [])
    proofs = [f"{each.name}: {each.description}" for each in sabotages_of(id, every_sabotage(own))]
    again = f"./accept prove{named} {id}"
    if not proofs:
        proofs, again = ["none yet"], f"./accept prove{named} SABOTAGE --also {id}"
    _block(f"Sabotages that break it on purpose ({again})", proofs)
    _block("Run it", [f"./accept run{folder} --tags @id.{id}"])
    _block("What a run found", [f"{REPORT / ON_CALL}#{id} of that run has this guide with what the run found."])


def _block(title: str, lines: Sequence[str]) -> None:
    """Print lines below a title; nothing if there are none."""
    if lines:
        out.print(f"\n{title}", style="bold", markup=False)
    for line in lines:
        out.print(f"    {line}", markup=False)


def markdown(promises: Sequence[Listed], limits: Mapping[str, Sequence[Stated]]) -> str:
    """The page docs/promises.md: a table for each capability. `limits` are those that scenarios state, by promise."""
    return "\n".join([HEAD, *(line for capability in EPICS for line in _section(capability, promises, limits))])


def _section(capability: str, promises: Sequence[Listed], limits: Mapping[str, Sequence[Stated]]) -> Iterator[str]:
    yield f"## {EPICS[capability]}\n"
    yield _row("id", "promise", "scenarios", "what the target needs", "sabotages that break it")
    yield _row(*["---"] * 5)
    for one in promises:
        if one.promise.capability == capability:
            titles = [plain(scenario.name) for scenario in one.scenarios]
            sentence = f"{plain(one.promise.sentence)} *({one.promise.severity})*"
            stated = limits_told(one.promise.id, limits.get(one.promise.id, ()))
            told = _cell([sentence, *(f"limit `{name}`: {figures}" for name, figures in stated)])
            yield _row(one.promise.id, told, _cell(titles), _cell(_needs(one.scenarios)), _cell(_sabotages(one)))
    yield ""


def limits_told(id: str, stated: Sequence[Stated]) -> Iterator[tuple[str, str]]:
    """Each limit by its name in [limits], with the values that scenarios state for it, and what takes the time."""
    values = dict[str, list[str]]()
    for one in sorted(set(stated), key=lambda one: (one.measure, one.value)):
        values.setdefault(one.measure, []).append(f"{one.figure} ({one.span})" if one.span else one.figure)
    yield from ((f"{id}.{measure}", " or ".join(figures)) for measure, figures in values.items())


def _needs(scenarios: Sequence[Outline]) -> list[str]:
    """The capabilities that all of the scenarios need, then those that only some of them need."""
    each = [need for scenario in scenarios for need in _needs_of(scenario)] or [frozenset[str]()]
    everywhere, somewhere = frozenset[str].intersection(*each), frozenset[str].union(*each)
    words = [plain(meaning) for name, meaning in CAPABILITIES.items() if name in everywhere]
    more = [plain(meaning) for name, meaning in CAPABILITIES.items() if name in somewhere - everywhere]
    return [*(words or ["a database and a login"]), *(f"in part: {one}" for one in more)]


def _needs_of(scenario: Outline) -> Iterator[frozenset[str]]:
    """The capabilities that each table of examples needs, or those of a scenario without examples."""
    of_examples = {tag for tags in scenario.examples for tag in tags}
    own = frozenset(CAPABILITIES).intersection(scenario.tags) - of_examples
    for tags in scenario.examples or ((),):
        yield own.union(set(tags).intersection(CAPABILITIES))


def _sabotages(one: Listed) -> list[str]:
    found = sabotages_of(one.promise.id, SABOTAGES)
    return [f"`{each.name}`: {plain(each.description)}" for each in found] or ["none"]


def sabotages_of(id: str, among: Mapping[str, Sabotage]) -> list[Sabotage]:
    """The sabotages that break the promise."""
    return [one for one in among.values() if any(notice.id == id and not notice.skipped for notice in one.noticed_by)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(lines: Sequence[str]) -> str:
    return "<br>".join(lines)
