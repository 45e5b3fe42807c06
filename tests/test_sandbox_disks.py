"""Hosts with a disk of their own, which can be full."""

from pathlib import Path

import pytest
from sandboxes import living_sandbox

from support.errors import NotAvailable, ProcessFailed


def test_a_disk_of_its_own_is_the_host_s_alone_can_be_full_and_goes_with_the_power(tmp_path: Path) -> None:
    with living_sandbox("namespaces", tmp_path / "sandbox") as sandbox:
        host, other = sandbox.add_host("one", 11), sandbox.add_host("two", 12)
        place = host.directory / "disk"
        place.mkdir()
        host.give_disk(place, megabytes=1)
        host.run(["touch", f"{place}/mine"])
        with pytest.raises(ProcessFailed, match="No space left on device"):
            host.run(["dd", "if=/dev/zero", f"of={place}/ballast", "bs=64k", "count=17"])
        assert other.run(["ls", str(place)]).stdout == ""
        host.power_off()
        host.power_on()
        assert host.run(["ls", str(place)]).stdout == ""


def test_a_place_that_is_not_there_gets_no_disk(tmp_path: Path) -> None:
    with living_sandbox("namespaces", tmp_path / "sandbox") as sandbox:
        host = sandbox.add_host("one", 11)
        with pytest.raises(ProcessFailed, match=r"one got no disk at .*: .*No such file"):
            host.give_disk(host.directory / "nowhere", megabytes=1)


def test_a_loopback_sandbox_has_no_disks_to_give(tmp_path: Path) -> None:
    with living_sandbox("loopback", tmp_path / "sandbox") as sandbox:
        host = sandbox.add_host("one", 11)
        with pytest.raises(NotAvailable, match="takes a sandbox of namespaces"):
            host.give_disk(host.directory, megabytes=1)
