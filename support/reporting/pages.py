"""A rendered page keeps to itself: no script, style, picture or frame of it comes from, or talks to, anyone else."""

import base64
import re
from html.parser import HTMLParser

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data: blob:; "
    "img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; frame-src data: blob:; "
    "worker-src data: blob:; form-action 'none'"
)
"""The browser itself enforces this on the page, whatever is in its scripts."""

_TAG = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
_ANALYTICS = re.compile(
    r"<script[^>]*googletagmanager[^>]*>\s*</script>\s*<script>(?:(?!</script>).)*gtag\((?:(?!</script>).)*</script>",
    re.DOTALL,
)
_FAVICON = re.compile(r'<link rel="icon" href="favicon\.ico">')
_EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")
_TRACKERS = re.compile(r"googletagmanager|google-analytics|\bgtag\(|sendBeacon\(")


def without_third_parties(page: str) -> str:
    """The page without its analytics, and with a policy that lets nothing in or out."""
    page = _ANALYTICS.sub("", page)
    page = _FAVICON.sub('<link rel="icon" href="data:,">', page)
    return re.sub(r'(<meta charset="utf-8">)', rf"\1\n    {_TAG}", page, count=1)


def with_head(page: str, fragment: str) -> str:
    """The page with a fragment of HTML above all that its scripts draw."""
    return page.replace('<div id="app">', f'{fragment}\n<div id="app">', 1)


def third_parties(page: str) -> list[str]:
    """Everything in the page that calls anyone; empty for a page that keeps to itself."""
    parser = _Loads()
    parser.feed(page)
    embedded = (base64.b64decode(one).decode(errors="replace") for one in _EMBEDDED.findall(page))
    trackers = [found for text in (page, *embedded) for found in _TRACKERS.findall(text)]
    unguarded = [] if _TAG in page else ["no policy: its scripts may call anyone"]
    return [*parser.addresses, *trackers, *unguarded]


class _Loads(HTMLParser):
    """The addresses that a browser fetches by itself when it shows the page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":  # that one is followed by hand
            fetched = [value or "" for name, value in attrs if name in ("src", "srcset", "href", "action", "data")]
            self.addresses += [one for one in fetched if not one.startswith(("data:", "blob:", "#"))]
