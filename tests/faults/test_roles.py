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
    present: tuple[str, ...] = ()

    def present_addresses(self) -> tuple[str, ...]:
        return self.present


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


def test_an_address_that_has_moved_leads_to_the_host_that_has_it_now() -> None:
    """keepalived has given it to another one since the hosts were looked at."""
    shared = "10.0.2.100"
    both = hosts(Named("lb1", ("10.0.2.1", shared), ("10.0.2.1",)), Named("lb2", ("10.0.2.2",), ("10.0.2.2", shared)))
    assert _at(both, shared).name == "lb2"


def test_none_is_guessed() -> None:
    with pytest.raises(LookupError, match=r"none of etcd1, etcd2, etcd3 is at 192\.0\.2\.1 or nowhere\.invalid"):
        _at(THREE, "192.0.2.1", "nowhere.invalid", alone=True)
    with pytest.raises(LookupError, match=r"none of etcd1 is at 192\.0\.2\.1: .* \[hosts\]"):
        _at(THREE[:1], "192.0.2.1")  # there may be two more


def test_the_only_one_that_there_is_need_not_have_the_address() -> None:
    assert _at(THREE[:1], "192.0.2.1", alone=True).name == "etcd1"
    assert _at(THREE[:1], f"/{'a-folder' * 20}", alone=True).name == "etcd1"
