"""Whether everything that was tried without a right login was refused, and whether a secret can be read anywhere."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from support.engine.finding import Finding, listed

_DECOY = "the decoy"


class Unread(str):
    """Why a place could not be read."""


@dataclass
class Search:
    """A search for secrets, and what it has found so far. It is printed, so that secrets appear by their names only."""

    secrets: Mapping[str, Collection[bytes]] = field(repr=False)
    """Name -> every form in which the secret may occur."""
    decoy: str
    """A word that is not secret, but searched for like a secret, to show that the search finds what is there."""
    planted: Collection[str] = ()
    """Where the decoy must be found: in each of these places, or in any place "of" each of these hosts."""
    unsearched: dict[str, str] = field(default_factory=dict)
    """A place, or a host, that was not searched or not shown to be -> why: what is not found there means nothing."""
    found: dict[str, list[str]] = field(default_factory=dict)
    """Name -> the places where it was found."""
    places: int = 0
    size: int = 0
    """Bytes searched, in all places together."""

    def look_into(self, places: Iterable[tuple[str, bytes | Unread]]) -> None:
        """Search more places, each a name and its content; that of a long one in portions, one after the other."""
        wanted = {**self.secrets, _DECOY: [self.decoy.encode()]}
        overlap = max(len(form) for forms in wanted.values() for form in forms) - 1
        last, end = "", b""
        for place, content in places:
            if isinstance(content, Unread):
                self.unsearched[place] = content
                continue
            if place != last:
                last, end, self.places = place, b"", self.places + 1
            self.size += len(content)
            searched = end + content  # what crosses the border of two portions is found, too
            end = searched[-overlap:] if overlap else b""
            for name, forms in wanted.items():
                told = self.found.get(name, [])
                if told[-1:] != [place] and any(form in searched for form in forms):
                    self.found.setdefault(name, []).append(place)


def decoy_found(search: Search) -> Finding:
    """The decoy was found in every place where it was planted, and which could be searched. Unknown otherwise: the
    search cannot be trusted then.
    """
    found = search.found.get(_DECOY, [])
    planted = [one for one in search.planted if not _is_at(one, search.unsearched) or _is_at(one, found)]
    if search.planted and not planted:
        why = listed([f"{place}: {why}" for place, why in search.unsearched.items()])
        return Finding.unknown(f"none of the places where the decoy was planted could be searched: {why}")
    unseen = [one for one in planted if not _is_at(one, found)]
    if unseen or not planted:
        where = f"not found where it was planted: {listed(unseen)}" if unseen else "not planted anywhere"
        return Finding.unknown(f"the decoy was {where}; it was found in {listed(found) or 'no place'}")
    return Finding.true(f"the decoy was found in each of the {len(planted)} places where it was planted")


def _is_at(one: str, places: Iterable[str]) -> bool:
    """Whether one of the places is this one, or is "of" this host."""
    return any(place == one or place.endswith(f" of {one}") for place in places)


def no_secret_found(search: Search) -> Finding:
    """No secret was found. Unknown when there was no secret to search for, or when not everything was searched."""
    told = {name: places for name, places in search.found.items() if name != _DECOY}
    if told:
        where = "; ".join(f"{name} in {listed([*places])}" for name, places in told.items())
        return Finding.false(f"secrets can be read: {where}")
    if search.unsearched:
        where = "; ".join(f"{place}: {why}" for place, why in search.unsearched.items())
        return Finding.unknown(f"no secret was found, but not everything was searched: {where}")
    words = f"none of {len(search.secrets)} secrets was found in {search.places} places ({search.size} bytes)"
    return Finding.true(words) if search.secrets and search.size else Finding.unknown(words)


@dataclass(frozen=True)
class Validity:
    """How long a certificate is valid yet; `unknown` says why nothing is known of it."""

    days: float = 0.0
    unknown: str = ""
    doubt: str = ""
    """Why it is not known whether anything depends on it."""


def all_valid_for(days: float, certificates: Mapping[str, Validity]) -> Finding:
    """Every certificate is valid for this many more days.

    Unknown if there was none, if one could not be read, or if one ends on which perhaps nothing depends.
    """
    ending = {name: one for name, one in certificates.items() if not one.unknown and one.days < days}
    if certain := {name: one for name, one in ending.items() if not one.doubt}:
        return Finding.false(f"{len(certain)} of {len(certificates)} certificates expire too soon: {_ends(certain)}")
    unread = [f"{name}: {one.unknown}" for name, one in certificates.items() if one.unknown]
    if unread or not certificates:
        return Finding.unknown(f"not every certificate could be read: {'; '.join(unread) or 'there was none'}")
    if ending:
        doubts = "; ".join(dict.fromkeys(one.doubt for one in ending.values()))
        words = f"{len(ending)} of {len(certificates)} certificates have expired or soon will"
        return Finding.unknown(f"{words}, but {doubts}: {_ends(ending)}")
    least = min(certificates, key=lambda name: certificates[name].days)
    first = f"that of {least} expires first, in {certificates[least].days:.0f} days"
    return Finding.true(f"{len(certificates)} certificates: {first}")


def _ends(certificates: Mapping[str, Validity]) -> str:
    """When each ends, the first one first."""
    return "; ".join(
        f"{name}: {f'expires in {one.days:.0f} days' if one.days >= 0 else f'expired {-one.days:.0f} days ago'}"
        for name, one in sorted(certificates.items(), key=lambda item: item[1].days)
    )


def all_loaded(presented: Mapping[str, str], in_files: Mapping[str, str], unread: Mapping[str, str]) -> Finding:
    """Every server presents the certificate that is in its file; both are identified by their fingerprints.

    `unread` has those of which one of the two is not known, and why: if the others are well, the answer is unknown.
    """
    stale = sorted(name for name, fingerprint in presented.items() if in_files.get(name, fingerprint) != fingerprint)
    if stale:
        return Finding.false(
            f"{len(stale)} of {len(presented)} present a different certificate from the one in their file, which "
            f"was renewed but not loaded: {', '.join(stale)}"
        )
    compared = presented.keys() & in_files.keys()
    if unread or not compared:
        words = "; ".join(f"{name}: {why}" for name, why in unread.items()) or "there was none"
        return Finding.unknown(f"not every certificate could be compared with its file: {words}")
    return Finding.true(f"{len(compared)} present the certificate in their file")


def on_all(findings: Mapping[str, Finding]) -> Finding:
    """What was found on each server holds on all of them. Unknown without a server, or if it is for one of them."""
    if not findings:
        return Finding.unknown("no server was asked")
    broken = {name: one.words for name, one in findings.items() if one.holds is False}
    unknown = {name: one.words for name, one in findings.items() if one.holds is None}
    words = "; ".join(f"{name}: {said}" for name, said in (broken or unknown).items())
    if broken:
        return Finding.false(words)
    return Finding.unknown(words) if unknown else Finding.true(f"{listed([*findings])}: as it should be")


_NOT_AUTHENTICATED = "28"
"""The class of SQLSTATE: invalid authorization specification."""
_WITHOUT_LOGIN = frozenset({"401", "403", "NOAUTH", "certificate verify failed", "08P01", "3D000"})
"""HTTP statuses, Redis's error, OpenSSL's when a client rejects the server's certificate, and PgBouncer's SQLSTATEs.

PgBouncer refuses every login with 08P01, be it for a wrong password or for replication. PostgreSQL uses that code for
messages that it does not understand; here that cannot be the cause, because the right login, which is tried first,
sends the same messages. Where it does not serve a database, newer ones say 3D000 before any authentication. PostgreSQL
says so only to a login that it has accepted, which is an attempt with the outcome "".
"""

_WITHOUT_TLS = ("it offers no TLS", "certificate verify failed")


def all_refused(attempts: Mapping[str, str]) -> Finding:
    """Everything that was tried without a right login was refused as unauthenticated.

    `attempts` is a login, request or command -> the code that refused it (a SQLSTATE, an HTTP status, Redis's NOAUTH,
    a client's own "certificate verify failed"), "" when it was accepted, or why there was no answer. Unknown when
    nothing was tried, or when an attempt failed for another reason: that does not show who gets in.
    """
    accepted = [name for name, outcome in attempts.items() if not outcome]
    if accepted:
        return Finding.false(f"{len(accepted)} of {len(attempts)} were accepted: {', '.join(accepted)}")
    unclear = {name: why for name, why in attempts.items() if not _is_refusal(why)}
    if unclear or not attempts:
        reasons = "; ".join(f"{name}: {why}" for name, why in unclear.items()) or "nothing was tried"
        return Finding.unknown(f"not everything was refused as unauthenticated: {reasons}")
    return Finding.true(f"{len(attempts)} were refused")


def all_over_tls(attempts: Mapping[str, str]) -> Finding:
    """The application logged in with TLS everywhere, and accepted the certificate where it verified it.

    `attempts` is a login -> "" when it succeeded, "it offers no TLS", "certificate verify failed: ..." with the reason,
    or another error. False if a server offers no TLS, or if its certificate was rejected: the application relies on
    both. Unknown when nothing was tried, or when a login failed for another reason.
    """
    without = {name: why for name, why in attempts.items() if why.startswith(_WITHOUT_TLS)}
    if without:
        reasons = "; ".join(f"{name}: {why}" for name, why in without.items())
        return Finding.false(f"{len(without)} of {len(attempts)} cannot be used with TLS: {reasons}")
    failed = {name: why for name, why in attempts.items() if why}
    if failed or not attempts:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items()) or "nothing was tried"
        return Finding.unknown(f"not every login shows whether it can be made with TLS: {reasons}")
    return Finding.true(f"{len(attempts)} logins were made with TLS")


def _is_refusal(outcome: str) -> bool:
    return outcome in _WITHOUT_LOGIN or (len(outcome) == 5 and outcome.startswith(_NOT_AUTHENTICATED))
