"""The supervisor's answers about the network: see `network` for what each call means."""

from collections.abc import Callable, Mapping

from support.errors import UsageError
from support.hosts.backend import Backend
from support.hosts.network import SUITE
from support.hosts.registry import Registry
from support.hosts.shaper import Shape, Shaper
from support.hosts.switch import SHAPED_TABLE, SINK_TABLE, STAND_NUMBER, Detour


class Links:
    """Cuts and shapes what goes between hosts."""

    def __init__(self, registry: Registry, backend: Backend) -> None:
        self._registry, self._backend = registry, backend
        self._shaper = Shaper()

    def calls(self) -> Mapping[str, Callable[..., object]]:
        """What handles may ask for, by name."""
        calls = (self.cut, self.mend, self.shape)
        return {call.__name__: call for call in calls}

    def note_end(self, pid: int) -> None:
        """A child of the supervisor has ended."""
        self._shaper.note_end(pid)

    def cut(self, source: str, target: str, port: int | None) -> None:
        """Packets from here to there vanish."""
        self._backend.switch().divert(self._cut(source, target, port))

    def mend(self, source: str, target: str, port: int | None) -> None:
        """They arrive again."""
        self._backend.switch().restore(self._cut(source, target, port))

    def shape(self, source: str, target: str, latency: float, jitter: float, loss: float) -> None:
        """Packets from here to there are late, or lost by chance."""
        if latency < 0 or jitter < 0 or not 0 <= loss <= 1:
            raise UsageError(f"latency {latency} and jitter {jitter} must be 0 or more, loss {loss} from 0 to 1")
        switch = self._backend.switch()
        detour = Detour(SHAPED_TABLE, self._number(source), self._number(target))
        flow = (self._backend.address(self._number(source)), self._backend.address(self._number(target)))
        if latency or jitter or loss:
            self._shaper.set(flow, Shape(latency, jitter, loss), switch.prepare_shaping())
            switch.divert(detour)
        else:
            switch.restore(detour)
            self._shaper.clear(flow)

    def _cut(self, source: str, target: str, port: int | None) -> Detour:
        return Detour(SINK_TABLE, self._number(source), self._number(target), port)

    def _number(self, host: str) -> int:
        return STAND_NUMBER if host == SUITE else self._registry.machine(host).number
