"""Reporting: the journal of verdicts, evidence, the closing table, the Allure report.

The journal is our own record: one JSON line for each scenario that began and that ended, on the disk at once. The exit
status and the table come from it alone. Allure's results are reconciled with it before they are rendered, so that the
report is right even where allure-behave loses a result or wrongly shows it as passed.

environment.py calls `recorder` with behave's own objects (nothing here imports behave):

    patch_allure()                                  on import: environment.py is loaded before the formatters are
    Recorder(journal, selected, redactor=..., facts=..., required=...)                   before_all
    context.on_cleanup_error = recorder.cleanup_failed                                   before_all
    recorder.started(scenario)                     before_scenario, first of all; then scenario.skip(reason) where the
                                                   target lacks something: the verdict is "skipped"
    if recorder.failing(scenario): collect(cluster, evidence, since, raised_in(scenario))     after_scenario
    recorder.ended(scenario, evidence.measures, error)         after_scenario, last of all; `error` is what closing the
                                                               world raised
    recorder.feature_ended(feature)                after_feature: what behave knows and no hook saw
    recorder.trouble(error)                        before_all or after_all failed
    note_not_begun(journal, selected, error, redactor)                   before_all failed before there was a recorder
    recorder.finished(interrupted=context.aborted)                                       after_all, last of all

When behave is over, however it ended, the program calls `rendering.conclude`: it prints the table, settles Allure's
results, renders the report and returns the exit status.

    scenario              a scenario, its verdict, its figures       allure_results   Allure's results, corrected
    promises, on_call     the list of promises, what to do about one rendering, pages the pages of the report
    recorder, journal     written while the suite runs               summary          Markdown for CI servers
    fault_record          what happened around a fault               past, chance     earlier runs; change or chance
    terminal              progress, and the table at the end         junit, metrics   for CI servers, for Prometheus
    evidence              attachments; passwords masked              merging          several runs as one
    tally                 verdicts counted as promises               trust            what `accept prove` found
    installing            the renderer, when it is first needed      log_events       notable lines of logs
    following             progress of a run in other processes       live             the moving view on a terminal
    console               where the program and behave print to
"""
