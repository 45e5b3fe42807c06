"""HTTP to the cluster's components, directly: what a component says is judged, and nothing may stand in between.

By itself, requests goes through the proxy that `http_proxy` names, and adds a login from `~/.netrc` to a request that
has none. A proxy's answer would be taken for a component's, and a client without a login would have one.
"""

import os
from typing import Any

import requests

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def send(method: str, url: str, *, verify: bool | str = True, **options: Any) -> requests.Response:
    """Send a request, with the options of requests.request; nothing in the environment adds to it or redirects it.

    The authorities that the environment trusts stay trusted, unless `verify` names others. Raises RequestException.
    """
    if verify is True:
        verify = next((bundle for name in _BUNDLES if (bundle := os.environ.get(name))), True)
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, verify=verify, **options)
