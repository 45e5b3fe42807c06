"""Which module may import which: import-linter checks it by pyproject.toml; here is what it cannot express."""

import ast
import tomllib
from collections import defaultdict
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


def test_a_class_has_a_name_of_its_own_within_its_package() -> None:
    """Whoever reads a part of `support`, such as `failover`, should not have to ask which of two is meant."""
    modules = defaultdict[tuple[str, str], list[str]](list)
    for file in (ROOT / "support").rglob("*.py"):
        part = file.relative_to(ROOT / "support").parts[0]
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[part, node.name].append(file.name)
    assert len(modules) > 100
    assert {name: files for (_, name), files in modules.items() if len(files) > 1} == {}


def test_components_are_asked_by_one_function() -> None:
    """By default, requests uses the environment's proxy and ~/.netrc. A metrics gateway is not part of the cluster."""
    allowed = {"support/target/http.py", "support/reporting/metrics.py"}
    sending = {"request", "get", "head", "post", "put", "patch", "delete", "options", "Session", "session", "urlopen"}
    files = [*(ROOT / "support").rglob("*.py"), *(ROOT / "steps").rglob("*.py"), ROOT / "environment.py"]
    found = {
        name
        for file in files
        for text in [file.read_text(encoding="utf-8")]
        if "requests" in text or "urllib" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr in sending
        if ast.unparse(node.value) in ("requests", "urllib.request")
        for name in [str(file.relative_to(ROOT))]
    }
    assert found >= allowed
    assert found - allowed == set()
