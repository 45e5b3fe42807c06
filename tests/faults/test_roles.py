"""Which host has a role, by the addresses at which hosts are known."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from support.faults.roles import _at
from support.hosts.interface import SiteHost


@dataclass(frozen=True)
class Named:
    """All that is asked of a host here."""

    name: str
    addresses: tuple[str, ...]


def hosts(*each: Named) -> list[SiteHost]:
    return [cast(SiteHost, cast(Any, one)) for one in each]


THREE = hosts(*(Named(f"etcd{number}", (f"10.0.1.{number}",)) for number in (1, 2, 3)))


def test_a_host_is_known_by_its_address_its_name_or_what_its_name_resolves_to() -> None:
    assert _at(THREE, "10.0.1.2").name == "etcd2"
    assert _at(THREE, "etcd3").name == "etcd3"
    assert _at(hosts(Named("one", ("127.0.0.1",)), Named("other", ("10.0.0.1",))), "localhost").name == "one"


def test_published_at_one_address_it_is_known_by_what_it_tells_of_itself() -> None:
    """Ports of containers are published at the address of their engine's machine, which is no host's own."""
    assert _at(THREE, "192.0.2.1", "10.0.1.3").name == "etcd3"


def test_none_is_guessed() -> None:
    with pytest.raises(LookupError, match=r"none of etcd1, etcd2, etcd3 is at 192\.0\.2\.1 or nowhere\.invalid"):
        _at(THREE, "192.0.2.1", "nowhere.invalid")
    assert _at(THREE[:1], "192.0.2.1").name == "etcd1"
    assert _at(THREE[:1], f"/{'a-folder' * 20}").name == "etcd1"
