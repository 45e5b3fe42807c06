"""Evidence, the journal of verdicts, the closing table, the Allure report.

The journal is our own truth: one JSON line for each scenario that began and that ended, on the disk at once. The exit
status and the table come from it alone, and Allure's results are reconciled with it before they are rendered, so that
what allure-behave loses or shows green by mistake is never seen.

What environment.py calls (it hands over behave's own objects; nothing here imports behave):

    allure_mending.install()                       at import: environment.py is loaded before the formatters are
    Recorder(journal, selected, redactor=..., facts=..., required=...)                   before_all
    context.on_cleanup_error = recorder.cleanup_failed                                   before_all
    recorder.started(scenario)                     before_scenario, first of all; scenario.skip(reason) where the
                                                   target lacks something: the verdict is "skipped"
    if recorder.failing(scenario): collect(cluster, evidence, since, raised_in(scenario))     after_scenario
    recorder.ended(scenario, evidence.measures, error)         after_scenario, last of all; `error` is what closing
                                                               the world raised
    recorder.feature_ended(feature)                after_feature: what behave knows and no hook saw
    recorder.trouble(error)                        before_all or after_all failed
    recorder.finished(interrupted=context.aborted)                                       after_all, last of all

When behave is over, however it ended, the program calls `conclude`: it settles Allure's results, renders the report,
prints the table and says the exit status.

    verdict, scenario     the facts                          settling, report_facts   Allure's results put right
    judging               behave's model -> a verdict        rendering, pages         the two pages
    recorder, journal     kept while the suite runs          summary                  the dashboard's head
    progress              for who is watching                tally, table             promises, counted and shown
    evidence, failure_evidence, log_window, redaction        renderer_setup           npm's renderer, installed once
"""
