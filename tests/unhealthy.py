"""Scenarios that leave their cluster unhealthy, for the tests: by a fault that no clean-up of the suite knows of."""

SMALL = ("--workers", "0", "--members", "2", "--etcd", "1")
WRECKING = """
@normal
Feature: {name}
  @id.ZZ-{number}0
  Scenario: {name} is quiet before
    Given a sum
    Then one and one are 2

  @id.ZZ-{number}1 @destructive @hosts @replicas
  Scenario: {name} wrecks the cluster
    Given a healthy cluster
    When a replica is lost for good
    Then one and one are 2

  @id.ZZ-{number}2
  Scenario: {name} is quiet after
    Given a sum
    Then one and one are 2

  @id.ZZ-{number}3 @destructive @hosts @replicas
  Scenario: {name} disturbs after
    Given a healthy cluster
    Then one and one are 2

  @id.ZZ-{number}4 @destructive @citus
  Scenario: {name} needs shards
    Given a healthy cluster
    Then one and one are 2
"""
"""One of its scenarios wrecks the cluster. On a healthy one the others pass; without shards the last is skipped."""
SOUND = """
@normal
Feature: {name}
  @id.ZZ-{number}0 @destructive @hosts @replicas
  Scenario: {name} is sound
    Given a healthy cluster
    When {seconds} seconds pass
    Then one and one are 2
"""
STEPS = """
from behave import when
from support.target.health import SILENT, require_replicating
from support.waiting import NotYet, eventually

@when("a replica is lost for good")
def lost_for_good(context):
    cluster, experiment = context.world.cluster, context.world.experiment
    experiment._recovery = 2.0  # seconds; it does not come back
    lost = cluster.followers()[0]
    cluster.sandbox.hosts[lost].power_off()

    def noticed():
        try:
            require_replicating(cluster, lost)
        except NotYet:
            return
        raise NotYet("it is still said to stream")

    eventually(noticed, within=60, subject="its loss is noticed", retry_on=SILENT)
"""


def wrecking(name: str, number: int) -> dict[str, str]:
    """A feature of that name; the second of its five scenarios leaves the cluster unhealthy."""
    return {f"failover/{name}.feature": WRECKING.format(name=name, number=number)}


def sound(name: str, number: int, seconds: int = 0) -> dict[str, str]:
    """A feature of that name with one scenario, which needs a healthy cluster and lasts that many seconds."""
    return {f"failover/{name}.feature": SOUND.format(name=name, number=number, seconds=seconds)}
