"""What a proof depends on: `accept prove --continue` must not add to results that belong to a different suite."""

import hashlib
from collections.abc import Iterable

from support import own_folder
from support.cli.paths import FEATURES, STEPS
from support.errors import UsageError
from support.places import ROOT
from support.reporting.trust import Trust
from support.settings import Settings
from support.work import WorkQueue

_CODE = frozenset({".py", ".feature", ".toml", ".sh", ".c", ".j2"})


def basis_of(settings: Settings, asked: Iterable[object]) -> str:
    """A digest of the suite's code, the user's own folder, the settings, and what was asked for."""
    own = own_folder.given()
    folders = [ROOT / "support", ROOT / STEPS, ROOT / FEATURES, *([own.directory] if own else [])]
    digest = hashlib.sha256(repr((settings.model_dump(mode="json"), tuple(asked))).encode())
    digest.update((ROOT / "environment.py").read_bytes())
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _CODE and path.is_file():
                digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def require_continuable(earlier: Trust, basis: str) -> None:
    """Raises UsageError if there is no earlier proof, or if it was made on another basis."""
    if not earlier.planned:
        raise UsageError("--continue: there is no proof to continue; start one without --continue")
    if earlier.basis != basis:
        raise UsageError(
            "--continue: the suite, the settings or the options have changed since that proof began, so its results "
            "are no longer valid; start a new one without --continue"
        )


def claim_done(earlier: Trust, first: WorkQueue, second: WorkQueue) -> None:
    """Remove what was done earlier from both rounds of a proof. Inconclusive results stay in the second round."""
    for proof in earlier.proofs:
        first.take(proof.sabotage)
        if proof.repeated or not proof.inconclusive:
            second.take(proof.sabotage)
    for run in earlier.healthy:
        if run.name:
            first.take(run.name)
            second.take(run.name)
