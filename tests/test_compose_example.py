"""docs/examples/compose: its files fit each other, and each is accepted by the program that reads it.

No engine is needed, and no container is started.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cli import targets
from support.settings import Settings
from support.target.discovery.user_hosts import declared_access
from support.target.timing import proxy_detection

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "compose"
BIN = Path(sys.executable).parent
ONLY_THERE = re.compile(
    r"Name or service not known|Temporary failure in name resolution|No address associated with hostname"
    r"|bin_dir +Directory '/usr/lib/postgresql/17/bin' does not exist"
)
"""What Patroni complains of on a machine that is none of the containers: their names, and the image's programs."""


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((EXAMPLE / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def patroni_yml() -> Any:
    return yaml.safe_load((EXAMPLE / "patroni.yml").read_text())


def target() -> Any:
    return tomllib.loads((EXAMPLE / "target.toml").read_text())


def published(compose: Any) -> dict[str, tuple[str, str]]:
    """Port of this machine -> the service, and its port there."""
    found = {}
    for name, service in compose["services"].items():
        for port in service["ports"]:
            address, outside, inside = port.split(":")
            assert address == "127.0.0.1", "nothing is published to others"
            assert outside not in found
            found[outside] = (name, inside)
    return found


def test_compose_accepts_its_file() -> None:
    schema = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(EXAMPLE / "compose.yaml")]
    ended = subprocess.run(schema, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_haproxy_accepts_its_file() -> None:
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if haproxy is None:
        pytest.skip("haproxy is not installed here")
    ended = subprocess.run([haproxy, "-c", "-f", EXAMPLE / "haproxy.cfg"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not [line for line in ended.stderr.splitlines() if "WARNING" in line and "could not resolve" not in line]


def complaints_of_patroni(file: Path, environment: dict[str, str]) -> list[str]:
    words = [str(BIN / "patroni"), "--validate-config", "--ignore-listen-port", str(file)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    said = (ended.stdout + ended.stderr).splitlines()
    return [line for line in said if line.strip() and not ONLY_THERE.search(line)]


def test_patroni_accepts_its_file(compose: Any, tmp_path: Path) -> None:
    for name in ("patroni-1", "patroni-2", "patroni-3"):
        assert complaints_of_patroni(EXAMPLE / "patroni.yml", compose["services"][name]["environment"]) == []
    environment = compose["services"]["patroni-1"]["environment"]
    text = (EXAMPLE / "patroni.yml").read_text()
    for good, bad in (
        ("ttl: 20", "ttl: soon"),
        ("scope: staging\n", ""),
        ("  listen: 0.0.0.0:8008", "  listen: 8008:x"),
    ):
        assert good in text
        (tmp_path / "broken.yml").write_text(text.replace(good, bad))
        assert complaints_of_patroni(tmp_path / "broken.yml", environment), f"Patroni accepts {bad!r}"


def test_patronis_times_fit_each_other(patroni_yml: Any) -> None:
    """Otherwise Patroni changes them by itself."""
    dcs = patroni_yml["bootstrap"]["dcs"]
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]


def test_the_parts_name_each_other(compose: Any, patroni_yml: Any) -> None:
    services = compose["services"]
    etcds = [f"{name}:2379" for name in services if name.startswith("etcd-")]
    assert patroni_yml["etcd3"]["hosts"].split(",") == etcds
    members = [name for name in services if name.startswith("patroni-")]
    for name in members:
        environment = services[name]["environment"]
        assert environment["PATRONI_NAME"] == name
        assert environment["PATRONI_RESTAPI_CONNECT_ADDRESS"] == f"{name}:8008"
        assert environment["PATRONI_POSTGRESQL_CONNECT_ADDRESS"] == f"{name}:5432"
    cluster = services["etcd-1"]["environment"]["ETCD_INITIAL_CLUSTER"].split(",")
    assert cluster == [f"{name}=http://{name}:2380" for name in services if name.startswith("etcd-")]
    servers = re.findall(r"^    server (\S+) (\S+)$", (EXAMPLE / "haproxy.cfg").read_text(), re.MULTILINE)
    assert servers == 2 * [(name, f"{name}:5432") for name in members]
    assert services.keys() == {*members, *(one.partition(":")[0] for one in etcds), "haproxy", "redis"}
    assert {one.partition(":")[0] for service in services.values() for one in service.get("volumes", ())} == {
        *compose["volumes"],
        "./haproxy.cfg",
    }


def test_every_container_may_be_broken(compose: Any, patroni_yml: Any) -> None:
    marks = {name: service["labels"].get("accept-breakable") for name, service in compose["services"].items()}
    assert marks == dict.fromkeys(compose["services"], patroni_yml["scope"])


def test_the_target_file_points_at_what_is_published(compose: Any, patroni_yml: Any) -> None:
    settings, found = Settings.load(targets.of_file(EXAMPLE / "target.toml")), published(compose)
    assert found[str(settings.haproxy_primary_port)] == ("haproxy", "5000")
    assert found[str(settings.haproxy_replica_port)] == ("haproxy", "5001")
    assert settings.haproxy_stats_url is not None
    assert found[settings.haproxy_stats_url.rpartition(":")[2]] == ("haproxy", "7000")
    assert found[str(settings.redis_port)] == ("redis", "6379")
    assert [found[one.partition(":")[2]] for one in settings.etcd_hosts] == [
        (f"etcd-{number}", "2379") for number in (1, 2, 3)
    ]
    for name, place in settings.member_addresses.items():
        postgres, rest = re.fullmatch(r"localhost:(\d+)/(\d+)", place).groups()  # type: ignore[union-attr]
        assert (found[postgres], found[rest]) == ((name, "5432"), (name, "8008"))
        assert f"localhost:{rest}" in settings.patroni_hosts
    assert settings.accept_destructive == settings.ruvector_db
    assert settings.expectations.synchronous is patroni_yml["bootstrap"]["dcs"]["synchronous_mode"]
    assert settings.expectations.failsafe is patroni_yml["bootstrap"]["dcs"]["failsafe_mode"]
    assert settings.expectations.proxy_detection == proxy_detection((EXAMPLE / "haproxy.cfg").read_text())


def test_the_target_file_has_the_passwords_of_the_containers(compose: Any) -> None:
    said = target()
    default = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", (EXAMPLE / "compose.yaml").read_text()))
    assert said["ruvector_password"] == default["APP_PASSWORD"]
    assert said["accept_admin_password"] == default["POSTGRES_PASSWORD"]
    assert (
        f"stats auth {said['haproxy_stats_user']}:{said['haproxy_stats_password']}"
        in (EXAMPLE / "haproxy.cfg").read_text()
    )
    script = (EXAMPLE / "first_start.sh").read_text()
    assert f"CREATE DATABASE {said['ruvector_db']} OWNER {said['ruvector_user']};" in script
    assert subprocess.run(["sh", "-n", EXAMPLE / "first_start.sh"], check=False).returncode == 0


def test_the_suite_reaches_every_container_by_its_service(
    compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a docker client that knows the names that compose gives to the containers of this project."""
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        "for one; do case $one in *.project=*) project=${one##*=};; *.service=*) service=${one##*=};; esac; done\n"
        '[ "$1" != ps ] || echo "$project-$service-1"\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    hosts = target()["hosts"]
    assert hosts == {name: f"docker://{compose['name']}/{name}" for name in compose["services"]} | {}
    for name, said in hosts.items():
        assert declared_access(name, said).reach == said
