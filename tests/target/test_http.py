"""Requests go directly to components: the environment neither redirects them nor adds a login."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import free_port
from http_servers import Handler, serving_with

from support.embedded.patroni_start import await_quorum
from support.embedded.services import _undisturbed
from support.target import etcd, haproxy, http
from support.target.patroni import PatroniApi
from support.target.topology import Address, Login, StatisticsPage, Topology

HEALTHY = b'{"health": "true", "etcdserver": "3.4.0"}'


@contextmanager
def serving(seen: list[str]) -> Iterator[Address]:
    """A web server that notes the login of each request."""

    class Own(Handler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.answer(200, HEALTHY)

    with serving_with(Own) as address:
        yield address


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A nonexistent proxy, and a login for this machine."""
    for name in ("NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login app password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_no_proxy_is_used_and_no_login_is_added() -> None:
    seen: list[str] = []
    with serving(seen) as address:
        cluster = Topology("app", Login("app", ""), Address("127.0.0.1", 5432), dcs=(address,))
        assert PatroniApi(address).status_code("/primary") == 200
        assert etcd.version(cluster) == "3.4.0"
        page = StatisticsPage(f"http://{address}", Login("admin", "right"))
        assert haproxy.receptions(page, ["no credentials"]) == {"no credentials": {"answer": "served"}}
    assert seen == ["", "", ""]


def test_what_a_cluster_of_ours_consists_of_knows_of_no_proxy() -> None:
    """etcd's members would ask one another through it, and never find a quorum."""
    command = _undisturbed(["sh", "-c", "env"], os.environ)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "_proxy=" not in said.lower()
    assert "PATH=" in said


def test_a_member_that_starts_asks_etcd_without_the_proxy() -> None:
    seen: list[str] = []
    with serving(seen) as address:
        await_quorum({"hosts": [str(address)]}, within=2)
    assert seen == [""]


def test_the_authorities_that_the_environment_trusts_stay_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """requests' error names the file that it cannot read."""
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    url = f"https://127.0.0.1:{free_port()}/"
    with pytest.raises(OSError, match=r"nowhere\.pem"):
        http.send("GET", url, timeout=2)
    with pytest.raises(OSError, match=r"other\.pem"):
        http.send("GET", url, timeout=2, verify=str(tmp_path / "other.pem"))
