"""Real etcds for tests: several of one cluster, with or without TLS, and the ways to write what Patroni would write."""

import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from booting import boots
from conftest import free_port

from support.embedded.certificates import Authority, Issued
from support.target import etcd
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually


@dataclass
class Ensemble:
    """Some etcds of one cluster, and where clients reach each."""

    clients: list[Address]
    servers: list["subprocess.Popen[bytes]"]
    access: dict[str, Any] = field(default_factory=dict)
    """What a section of Patroni's configuration needs beside the addresses."""

    def topology(self, *given: int, scope: str = "accept") -> Topology:
        """A cluster of which there is nothing but those of the etcds that are given."""
        addresses = tuple(self.clients[number] for number in given)
        return Topology(
            "app",
            Login("app", ""),
            Address("127.0.0.1", 5432),
            dcs=addresses,
            dcs_access={"etcd3": self.section(*given)} if self.access else {},
            scope=scope,
        )

    def section(self, *given: int) -> dict[str, Any]:
        """Patroni's section for those of the etcds."""
        return {"hosts": [str(self.clients[number]) for number in given], **self.access}


@boots
@contextmanager
def ensemble(directory: Path, count: int, advertised: str = "", **further: str) -> Iterator[Ensemble]:
    """So many etcds, gone at the end. `advertised` is the URL to which each sends its clients.

    With TLS where `further`, options of etcd, has a `cert-file`: `access` has to be given before anything is asked.
    Likewise among them where it has a `peer-cert-file`.
    """
    scheme = "https" if "cert-file" in further else "http"
    clients = [Address("127.0.0.1", free_port()) for _ in range(count)]
    among = "https" if "peer-cert-file" in further else "http"
    peers = {f"etcd-{number}": f"{among}://127.0.0.1:{free_port()}" for number in range(count)}
    started = Ensemble(clients, [])
    try:
        for (name, peer), client in zip(peers.items(), clients, strict=True):
            options = {
                "name": name,
                "data-dir": str(directory / name),
                "listen-client-urls": f"{scheme}://{client}",
                "advertise-client-urls": (advertised or f"{scheme}://{{}}").format(client),
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": ",".join(f"{one}={url}" for one, url in peers.items()),
                "heartbeat-interval": "50",
                "election-timeout": "500",
                **{name.replace("_", "-"): value for name, value in further.items()},
            }
            arguments = [f"--{name}={value}" for name, value in options.items()]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.servers.append(subprocess.Popen(["etcd", *arguments], **quiet))
        if scheme == "http":
            await_healthy(started)
        yield started
    finally:
        for server in started.servers:
            server.kill()
            server.wait()


@contextmanager
def secured(
    directory: Path, client_certificates: bool = False, peer: Issued | None = None, **further: str
) -> Iterator[Ensemble]:
    """One etcd with TLS, which asks clients for a certificate or not; `access` has what Patroni's configuration needs.

    `peer` is what it presents to other members, if these are to use TLS.

    Its gateway cannot do both, logins and certificates of clients, as it would have to use its own certificate.
    """
    authority = Authority.create(directory / "authority")
    for name, hosts in (("server", ("localhost", "127.0.0.1")), ("client", ("root",))):
        issued = authority.issue(hosts)
        (directory / f"{name}.crt").write_text(issued.certificate)
        (directory / f"{name}.key").write_text(issued.key)
    options = {
        "cert-file": str(directory / "server.crt"),
        "key-file": str(directory / "server.key"),
    }
    if client_certificates:
        options |= {"trusted-ca-file": str(authority.certificate), "client-cert-auth": "true"}
    if peer:
        options |= {"peer-cert-file": str(directory / "peer.crt"), "peer-key-file": str(directory / "peer.key")}
        (directory / "peer.crt").write_text(peer.certificate)
        (directory / "peer.key").write_text(peer.key)
    with ensemble(directory, 1, **options, **further) as found:
        found.access = {"protocol": "https", "cacert": str(authority.certificate)}
        if client_certificates:
            found.access |= {"cert": str(directory / "client.crt"), "key": str(directory / "client.key")}
        await_healthy(found)
        yield found


def await_healthy(ensemble: Ensemble) -> None:
    everyone = ensemble.topology(*range(len(ensemble.clients)))
    eventually(lambda: _require_healthy(everyone), within=20, subject="etcd answers")


def _require_healthy(topology: Topology) -> None:
    if len(etcd.quorum(topology).healthy) < len(topology.dcs):
        raise NotYet("not every one is healthy")


def put(topology: Topology, path: str, value: str) -> None:
    ask(topology, "/v3/kv/put", {"key": encoded(path), "value": encoded(value)})


def ask(topology: Topology, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
    access = etcd.Access.of(topology)
    answer = requests.post(f"{access.scheme}://{topology.dcs[0]}{path}", json=question, **access.options)
    answer.raise_for_status()
    decoded: dict[str, Any] = answer.json()
    return decoded


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def require_login(topology: Topology, password: str) -> None:
    """From now on, etcd asks for a login: root's, with that password."""
    ask(topology, "/v3/auth/user/add", {"name": "root", "password": password})
    ask(topology, "/v3/auth/role/add", {"name": "root"})
    ask(topology, "/v3/auth/user/grant", {"user": "root", "role": "root"})
    ask(topology, "/v3/auth/enable", {})
