"""A rendered page keeps to itself: no script, style, picture or frame of it comes from, or talks to, anyone else."""

import re

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data: blob:; "
    "img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; frame-src data: blob:; "
    "worker-src data: blob:; form-action 'none'"
)
"""The browser itself enforces this on the page, whatever is in its scripts."""

POLICY_TAG = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
_ANALYTICS = re.compile(
    r"<script[^>]*googletagmanager[^>]*>\s*</script>\s*<script>(?:(?!</script>).)*gtag\((?:(?!</script>).)*</script>",
    re.DOTALL,
)
_FAVICON = re.compile(r'<link rel="icon" href="favicon\.ico">')


def without_third_parties(page: str) -> str:
    """The page without its analytics, and with a policy that lets nothing in or out."""
    page = _ANALYTICS.sub("", page)
    page = _FAVICON.sub('<link rel="icon" href="data:,">', page)
    return re.sub(r'(<meta charset="utf-8">)', rf"\1\n    {POLICY_TAG}", page, count=1)


def with_head(page: str, fragment: str) -> str:
    """The page with a fragment of HTML above all that its scripts draw."""
    return page.replace('<div id="app">', f'{fragment}\n<div id="app">', 1)
