"""Whether clients were at work while something else went on."""

from collections import Counter

from support.checkers.finding import Finding, listed
from support.history import History, Outcome


def every_client_worked(history: History, action: str, clients: int, during: tuple[float, float]) -> Finding:
    """Each of so many clients had an operation acknowledged in that time; unknown when one had not."""
    begun, ended = during
    done = Counter(one.client for one in history.of(action=action, outcome=Outcome.OK) if begun < one.ended < ended)
    idle = [client for client in range(clients) if not done[client]]
    if idle or not clients:
        return Finding.unknown(f"in those {ended - begun:.1f} s nothing was acknowledged to the clients {listed(idle)}")
    return Finding.true(f"each of {clients} clients, {done.total()} operations in {ended - begun:.1f} s")
