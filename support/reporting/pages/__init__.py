"""The pages of the report, each a single file that opens from disk without any network access.

site         renders the pages of a run, with attachments beside them
dashboard    for management: are the promises kept, what did it cost, how fast, compared with earlier runs, how sure
scenarios    for QA: failures first, each with its evidence; then every scenario
on_call      for the on-call engineer: what a broken promise means, its usual causes, what to look at first
comparison   two runs, or two sets of runs, side by side
grid, costs, trends, run_picture    parts of these pages
"""

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    "base-uri 'none'"
)
"""The browser enforces this on a page, whatever its scripts contain: it can fetch from nobody."""
POLICY_TAG = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
