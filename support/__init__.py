"""Everything real behind the scenarios: the cluster, its hosts, the application under test, the report.

Knows nothing of behave. Imports point down only; import-linter holds the layers (see pyproject.toml).
"""
