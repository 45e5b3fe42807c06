"""What the steps of isolation scenarios hand to one another."""

from collections.abc import Collection, Mapping
from typing import Annotated

from support.engine.history import History
from support.engine.workload import Workload
from support.engine.world import Handover
from support.isolation.levels import Level
from support.isolation.transactions import Item
from support.isolation.workloads import Items


class IsolationHandover(Handover):
    """Concurrent transactions."""

    level: Annotated[Level, "When 8 clients run 120 transactions each at isolation level serializable"]
    items: Annotated[Items, "Given lists, registers and sets on one server"]

    followed: Annotated[History, "When each endpoint is asked 100 times for what the other one has"]

    def __init__(self) -> None:
        self.running: Workload | None = None
        """The clients that run until the scenario ends, beside others that it may have."""
        self.homes: Mapping[Item, Collection[int]] = {}
        """Item -> the Citus groups that hold it; empty where one server holds everything."""
