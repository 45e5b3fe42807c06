"""The hooks of behave, each of which calls `support`, and its runner for features outside of this project."""

import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import behave.runner
from behave.exception import ConfigError

from support import own_folder
from support.engine.moment import moment_of
from support.engine.safety import wrong_results
from support.reporting.console import replace_unprintable
from support.reporting.evidence import collect
from support.reporting.mistakes import told
from support.reporting.recorder import Recorder, count_instead, patch_allure, raised_in, tested_from
from support.suite import Suite, note_not_opened
from support.target.inventory import inventory_of


def _without_remarks(*words, **options):
    """Print, but not what behave says about itself in every run."""
    if not str(words[0] if words else "").startswith(("USING RUNNER", "USE_NESTED_STEP_MODULES")):
        print(*words, **options)  # noqa: T201 - for behave, which prints its messages


for _module in ("__main__", "behave.runner"):
    sys.modules[_module].print = _without_remarks
patch_allure()  # here, because this file is loaded before the formatters are
replace_unprintable()


class Runner(behave.runner.Runner):
    """behave's runner. Wherever the features are, it uses these hooks, our steps, and those of the user's own folder.

    behave itself looks for one folder of steps and one file of hooks, above the first feature file.
    """

    def setup_paths(self):
        """Set out from this project's features."""
        asked, self.config.paths = self.config.paths, [str(Path(__file__).with_name("features"))]
        super().setup_paths()
        self.config.paths = asked

    def load_step_definitions(self, extra_step_paths=None):
        """Load our steps, and then the user's, which may not have the wording of one of ours.

        Raises ConfigError, which behave prints as one line, if a file cannot be loaded.
        """
        _require_asserts()
        own = own_folder.given()
        try:
            super().load_step_definitions([*(extra_step_paths or ()), *(map(str, own.step_folders) if own else ())])
        except (Exception, SystemExit) as error:
            raise ConfigError(told(error)) from error


def _require_asserts():
    """Raises ConfigError in a Python that leaves out assert statements: steps that use them could not fail."""
    if sys.flags.optimize:
        raise ConfigError("Python leaves out assert statements, so no step could fail: unset PYTHONOPTIMIZE, omit -O")


def before_all(context):
    """Open the run: its target and its journal. If that fails, the journal says why."""
    try:
        _open(context)
    except Exception as error:
        with suppress(Exception):  # such as a full disk; behave prints the first error, and nothing is marked as opened
            if hasattr(context, "recorder"):
                context.recorder.trouble(error)
            else:
                note_not_opened(context.config.userdata, _selected(context), error)
        raise


def _open(context):
    _require_asserts()  # plain behave has loaded the steps without our runner
    formats = context.config.format or ()
    context.suite = Suite.open(context.config.userdata, report=any("allure" in one for one in formats))
    features = context._runner.features
    context.suite.require_known_limits(features, context._runner.step_registry)
    context.suite.shuffle(features)
    context.recorder = Recorder(
        context.suite.run.journal,
        _selected(context),
        redactor=context.suite.redactor,
        facts={
            **inventory_of(context.suite.cluster),
            "Seed": str(context.suite.run.seed),
            "Tested from": tested_from(),
            **context.suite.facts,
        },
        required=context.suite.run.required,
        known_limits=context.suite.known_limits,
        capabilities=context.suite.capabilities,
        lost=context.suite.lost,
        fail_on_flaky=context.suite.run.fail_on_flaky,
        told_in=context.suite.run.told_in,
    )
    context.on_cleanup_error = context.recorder.cleanup_failed
    context.suite.share(features)
    context.suite.run.note_opened()


def _selected(context):
    """The scenarios that will run; behave's list of features is the only way to know them before that."""
    features = context._runner.features
    return [one for feature in features for one in feature.walk_scenarios() if one.should_run(context.config)]


def before_scenario(context, scenario):
    """Give the scenario its world, or skip it, saying what the target lacks for it."""
    if context.suite.leaves_out(scenario):
        context.recorder.left_out(scenario)
        scenario.skip(context.suite.unfit)
        return
    context.recorder.started(scenario)
    context.world = context.suite.world(scenario, context._runner.step_registry)
    context.recorder.observe(partial(moment_of, context.world))
    context.begun = time.time()
    if missing := context.suite.missing_for(scenario.effective_tags):
        scenario.skip(missing)


def after_scenario(context, scenario):
    """Collect evidence of a failure while it can still be seen, clean up, and record the verdict.

    Whatever ends the first of these early, such as Ctrl-C, faults are healed, and what was found by then is recorded.
    """
    if "world" not in context:
        return  # interrupted, failed or left out before it had one: after_feature records it
    world, raised, failing = context.world, raised_in(scenario), context.recorder.failing(scenario)
    errors = []
    try:
        try:
            if failing:
                _examine(context, scenario, raised, errors)
        finally:
            context.suite.close_world(world, raised, scenario.name, errors)
        if errors and not failing:  # it shows only now
            collect(world.cluster, world.evidence, context.begun, error=errors[0])
    finally:
        found = world.evidence
        context.recorder.ended(
            scenario,
            found.measures,
            errors,
            found.incident,
            found.known_limits,
            found.other_limits,
            found.missing,
        )


def _examine(context, scenario, raised, errors):
    """See what a scenario that has failed shows; wrong results that it has not looked for are added to `errors`."""
    world = context.world
    excused = context.suite.excuse(world, raised)  # first: what follows takes a while
    if excused is not None:
        count_instead(scenario, excused)
    collect(world.cluster, world.evidence, context.begun, error=raised)
    if excused is None:
        context.suite.see_whether_it_comes(raised)
    for error in wrong_results(context, scenario, context._runner.step_registry):
        errors.append(error)  # each at once, so that Ctrl-C loses none


def after_feature(context, feature):
    """Record the scenarios that behave ended without calling the hooks above."""
    context.recorder.feature_ended(feature)
    context.suite.take_next(context._runner.features)


def after_all(context):
    """Remove the data of the run, and close its journal."""
    if not hasattr(context, "recorder"):  # before_all has failed, perhaps after the suite had made its own tables
        if hasattr(context, "suite"):
            context.suite.close()
        return
    try:
        context.suite.close()
    except Exception as error:
        context.recorder.trouble(error)
    context.recorder.finished(interrupted=context.aborted, unfit=context.suite.unfit)
