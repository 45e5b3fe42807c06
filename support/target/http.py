"""HTTP directly to the cluster's components: their answers are judged, so nothing may come in between.

By default, requests uses the proxy in `http_proxy`, and adds a login from `~/.netrc` to requests that have none. A
proxy's answer would then pass for a component's, and a client that is meant to have no login would have one.
"""

import os
from typing import Any

import requests

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def send(method: str, url: str, *, verify: bool | str = True, **options: Any) -> requests.Response:
    """Send a request, with the options of requests.request; the environment neither adds to it nor redirects it.

    Certificate authorities that the environment trusts stay trusted, unless `verify` names others. Raises
    RequestException.
    """
    if verify is True:
        verify = next((bundle for name in _BUNDLES if (bundle := os.environ.get(name))), True)
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, verify=verify, **options)
