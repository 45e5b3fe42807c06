"""Sabotages of HAProxy: routing, limits and timeouts, health checks, access to its statistics."""

import socket
import sys
from pathlib import Path

from support import sql
from support.errors import UsageError
from support.faults.process import Kill
from support.faults.roles import member_by_role
from support.sabotage.damage import Damage, MakeDamage
from support.sabotage.own_hosts import proxy_host
from support.sabotage.programs import rewritten, wrapped
from support.sabotage.sabotage import Sabotage, expecting, notices
from support.target.cluster import Cluster
from support.waiting import NotYet

FORWARDER = Path(__file__).with_name("broken_forwarder.py")
_MOVED = 6001
"""The port of HAProxy's write endpoint behind a forwarder."""
_SOCKET = "haproxy.sock"
_WRITE, _READ, _READY = "uri /primary", "uri /replica?lag=", "uri /readiness?lag="


def changed(changes: dict[str, str]) -> MakeDamage:
    """HAProxy with changes in its configuration: old text -> new text."""
    return rewritten(proxy_host, "haproxy.cfg", changes)


def _forced_down(cluster: Cluster) -> Damage:
    """Through HAProxy's admin socket: the server is up, but gets no sessions."""
    replica, admin = member_by_role(cluster, "a replica"), proxy_host(cluster).directory / _SOCKET

    def check() -> None:
        if f",{replica}," not in (states := _ask(admin, "show stat")) or "MAINT" not in states:
            raise NotYet("no server is in maintenance")

    return Damage(
        f"{replica} is forced down",
        lambda: _command(admin, f"set server read/{replica} state maint"),
        check,
        lambda: _command(admin, f"set server read/{replica} state ready"),
    )


def _command(admin: Path, command: str) -> None:
    """Send a command. Raises UsageError if HAProxy answers with an objection."""
    if said := _ask(admin, command).strip():
        raise UsageError(f"HAProxy answered {command!r} with: {said}")


def _ask(admin: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(5)
        wire.connect(str(admin))
        wire.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: wire.recv(65536), b"")).decode()


def _behind_a_forwarder(cluster: Cluster) -> Damage:
    """Clients reach the write endpoint through a forwarder, and HAProxy has another port."""
    proxy, write = proxy_host(cluster), cluster.write
    bound, moved = f"    bind {write.host}:{write.port}\n", f"    bind {write.host}:{_MOVED}\n"
    rerouted = changed({bound: moved})(cluster)
    argv = [sys.executable, "-S", str(FORWARDER), f"{write.host}:{write.port}", f"{write.host}:{_MOVED}"]

    def begin() -> None:
        rerouted.inject()
        proxy.add("forwarder", argv).start()

    def check() -> None:
        rerouted.require_in_effect()
        if proxy.processes["forwarder"].pid is None:
            raise NotYet("the forwarder does not run")
        sql.value(write, "SELECT 1")

    def end() -> None:
        if "forwarder" in proxy.processes:
            proxy.add("forwarder", ["true"]).kill()
        rerouted.heal()

    return Damage("a forwarder before the proxy", begin, check, end)


def _killed(cluster: Cluster) -> Damage:
    kill = Kill(proxy_host(cluster).processes["haproxy"])
    return Damage(str(kill), kill.inject, kill.require_in_effect, kill.process.start)  # a scenario may have started it


_CUT = " on-marked-down shutdown-sessions"
_KEEPALIVE = "    srvtcpka-idle 2s\n    srvtcpka-intvl 1s\n    srvtcpka-cnt 3\n"

SABOTAGES = (
    Sabotage(
        "keepalive-of-two-hours",
        "HAProxy leaves it to the kernel when a silent server counts as dead",
        notices({"HP-04": "sessions were left hanging"}),
        changed({_KEEPALIVE: ""}),
    ),
    Sabotage(
        "checks-swapped",
        "writes are routed to replicas, and reads to the leader",
        notices(
            {
                "RW-01": "times pg., in recovery; allowed",
                "RW-02 is on a replica": "times pg., primary; allowed",
                "RW-02 serves reads": "HAProxy reports pg. as down",
                "PH-02 every observer": "by the write endpoint",
                "HP-01 role": "HAProxy sees every member",
                "HP-02": "read-only",
            }
        ),
        changed({_WRITE: "uri /#", _READ: "uri /primary?lag=", _READY: "uri /health?lag=", "uri /#": "uri /replica"}),
    ),
    Sabotage(
        "writes-go-anywhere",
        "the write endpoint leads to every member that is up",
        notices({"RW-01": "times pg., in recovery; allowed", "HP-01 role": "HAProxy sees every member"}),
        changed({_WRITE: "uri /health"}),
    ),
    Sabotage(
        "leader-serves-reads",
        "the read endpoint leads to every member that is up",
        notices({"RW-02 is on a replica": "times pg., primary; allowed", "HP-01 role": "HAProxy sees every member"}),
        changed({_READ: "uri /health?lag=", _READY: "uri /health?lag="}),
    ),
    Sabotage(
        "one-replica-serves-all",
        "one replica serves all reads",
        notices({"RW-02 serves reads": "balance first"}),
        changed({"balance roundrobin": "balance first"}),
    ),
    Sabotage(
        "proxy-limited-to-30",
        "the proxy accepts at most 30 sessions on the write endpoint",
        notices({"CL-03": "session 31 of 40"}),
        changed({"listen write\n": "listen write\n    maxconn 30\n"}),
    ),
    Sabotage(
        "proxy-cuts-what-waits",
        "the proxy cuts a session that waits 0.3 s for an answer",
        notices({"CL-04 statement timeout": "what the server reports"}),
        changed({"timeout server 30m": "timeout server 300ms"}),
    ),
    Sabotage(
        "proxy-gone",
        "nothing listens at the endpoints",
        notices({"HP-02": "no login", "CL-03": "session 1 of 40"}),
        _killed,
    ),
    Sabotage(
        "statistics-open-to-all",
        "the statistics page requires no password",
        notices({"HP-01 own credentials": "served"}),
        changed({"    stats auth ": "    # stats auth "}),
    ),
    Sabotage(
        "server-forced-down",
        "a healthy replica gets no reads",
        notices({"HP-01 role": "HAProxy sees every member", "RW-02 serves reads": "HAProxy reports pg. as maint"}),
        _forced_down,
    ),
    Sabotage(
        "sessions-left-hanging",
        "sessions on a failed member are not closed, whether it is marked down or silent",
        notices({"HP-03 crashes": "left hanging"}),
        changed({_CUT: "", _KEEPALIVE: ""}),
    ),
    Sabotage(
        "readers-left-hanging",
        "sessions on a failed replica are not closed, and those on a failed leader are",
        notices(
            {
                "HP-03 a replica whose host crashes": "left hanging",
                "HP-03 a replica whose host freezes": "left hanging",
            }
        ),
        changed({_CUT: "", "listen write\n": f"listen write\n    default-server{_CUT}\n", _KEEPALIVE: ""}),
    ),
    Sabotage(
        "proxy-looks-every-five-minutes",
        "the proxy notices a role change only after five minutes",
        notices(
            {
                "FO-06 to a named replica": "no operation was acknowledged in|interrupted for",
                "FO-06 to any replica": "no operation was acknowledged in|interrupted for",
                "HP-03 freezes": "left hanging|were cut after",
                "GD-03 hangs": "no endpoint leads to|answered",
            }
        ),
        # Its first look is not spread over the five minutes: the proxy knows the cluster as it was before the fault.
        changed(
            {
                "inter 1s fastinter 500ms downinter 500ms": "inter 300s fastinter 300s downinter 300s",
                "maxconn 1000": "maxconn 1000\n    max-spread-checks 1s",
            }
        ),
        variables=expecting(proxy_detection=3),
    ),
    Sabotage(
        "lag-not-looked-at",
        "a replica serves reads no matter how far it lags",
        notices({"RW-03 too far behind": "left the read endpoint", "WL-03": "the read endpoint leads to it"}),
        changed({"/replica?lag=": "/replica?lagging=", "/readiness?lag=": "/liveness?lag="}),
    ),
    Sabotage(
        "stream-not-looked-at",
        "a replica without a stream serves reads",
        notices({"RW-03 lost its stream": "left the read endpoint"}),
        changed({"/readiness?lag=": "/liveness?lag="}),
    ),
    Sabotage(
        "no-reads-without-replicas",
        "with every replica down, reads are not served",
        notices({"GD-01 writes continue": "reader"}),
        changed({"use_backend write if": "# use_backend write if"}),
    ),
    Sabotage(
        "proxy-starts-slowly",
        "the proxy takes 12 s to start",
        notices({"GD-03 proxy that is killed": "no operation was acknowledged in|interrupted for"}),
        wrapped(proxy_host, "haproxy", ["sh", "-c", 'sleep 12; exec "$@"', "slowly"]),
    ),
    Sabotage(
        "proxy-is-impatient",
        "a member that takes 0.1 s to answer a health check counts as down",
        notices({"GD-04 100 ms more": r"in observation \d+ of \d+: .*route was"}),
        changed({"timeout check 2s": "timeout check 100ms"}),
    ),
    Sabotage(
        "proxy-gives-up-at-once",
        "one answer to a health check that takes 0.1 s makes a member unavailable for 20 s",
        notices({"GD-04 packet loss": "interrupted for|are acknowledged: still not true after"}),
        changed({"timeout check 2s": "timeout check 100ms", "fall 2 rise 1 ": "fall 1 rise 40 "}),
    ),
    Sabotage(
        "forwarder-keeps-what-the-proxy-has-cut",
        "a forwarder before the proxy keeps sessions open that the proxy has closed",
        notices(
            {
                "HP-03 a leader whose host crashes": "left hanging",
                "HP-03 a leader whose host freezes": "left hanging",
                "HP-03 hands over": "left hanging",
            }
        ),
        _behind_a_forwarder,
    ),
)
