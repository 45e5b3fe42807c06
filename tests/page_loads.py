"""What a rendered page fetches from, or tells to, anyone else."""

import base64
import re
from html.parser import HTMLParser

from support.reporting.pages import site
from support.reporting.rendering import POLICY_TAG

_EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")
_TRACKERS = re.compile(r"googletagmanager|google-analytics|\bgtag\(|sendBeacon\(")


def third_parties(page: str) -> list[str]:
    """Everything in the page that calls anyone; empty for a page that keeps to itself."""
    parser = _Loads()
    parser.feed(page)
    embedded = (base64.b64decode(one).decode(errors="replace") for one in _EMBEDDED.findall(page))
    trackers = [found for text in (page, *embedded) for found in _TRACKERS.findall(text)]
    guarded = POLICY_TAG in page or site.POLICY_TAG in page
    unguarded = [] if guarded else ["no policy: its scripts may call anyone"]
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
