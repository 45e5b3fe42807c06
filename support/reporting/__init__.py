"""Evidence, the journal of verdicts, the closing table, the Allure report.

The journal is our own truth: one JSON line for each scenario that began and that ended, on the disk at once. The exit
status and the table come from it alone, and Allure's results are reconciled with it before they are rendered, so that
what allure-behave loses or shows green by mistake is never seen.

What environment.py calls (it hands over behave's own objects; nothing here imports behave):

    from support.reporting import allure_mending
    from support.reporting.recorder import Recorder
    from support.reporting.redaction import Redactor

    allure_mending.install()                          # at import: environment.py loads before the formatters do

    def before_all(context):
        selected = [scenario for feature in context._runner.features for scenario in feature.walk_scenarios()
                    if scenario.should_run(context.config)]
        context.recorder = Recorder(run.journal, selected, redactor=Redactor(secrets), facts={...},
                                    required=run.required)
        # facts: versions and settings of all that is tested, a flat mapping of names to texts

    def before_scenario(context, scenario):
        context.recorder.started(scenario)            # first of all
        if missing:
            scenario.skip(missing)                    # the reason reaches the report; the verdict is "not proved"
            return
        ...                                           # an exception here is an "error" verdict

    def after_scenario(context, scenario):
        error = None                                  # what closing the world raised, if anything
        if context.recorder.failing(scenario):
            collect(world.cluster, world.evidence, since, error=...)     # support.reporting.failure_evidence
        try:
            suite.close_world(world)
        except Exception as closing:
            error = closing
        context.recorder.ended(scenario, world.evidence.measures, error)     # last of all

    def after_feature(context, feature):
        context.recorder.feature_ended(feature)       # what behave knows and the hooks above did not see

    def after_all(context):
        ...                                           # close the suite; recorder.trouble(error) when that fails
        context.recorder.finished(interrupted=context.aborted)

`recorder.trouble(error)` also takes what makes before_all fail after the recorder was made.

When behave is over (the program does it; plain behave's environment.py may, as its very last call in after_all):

    from support.reporting.conclusion import conclude
    status = conclude(run.journal, run.results, Path("allure-report"), redactor, console)
                                                      # settles the results, renders, prints the table
"""
