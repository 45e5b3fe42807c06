"""Which module may import which: import-linter checks it by pyproject.toml; here is what it cannot express."""

import tomllib
from fnmatch import fnmatchcase

from program import ROOT


def test_every_module_of_checks_is_under_the_contract() -> None:
    """By its name, so that a new one is under the contract, too; import-linter has no pattern for a part of a name."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = (one for one in contracts if one["name"].startswith("Checks are pure functions"))
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "support").rglob("*checks*")]
    modules = {".".join(path.parts) for path in paths if path.name == "checks" or path.name.endswith("_checks")}
    assert "support.engine.checks" in modules
    assert [one for one in modules if not any(fnmatchcase(one, listed) for listed in contract["source_modules"])] == []
