"""PostgreSQL's messages in other languages (lc_messages), for places with no SQLSTATE: logs and failed logins.

Source: PostgreSQL's catalogs of translations, src/backend/po
"""

import re

_PANICS = (
    *("PANIC", "PANIK", "PÁNICO", "PANICO", "PÂNICO", "PANIKA", "ПАНИКА", "ПАНІКА", "პანიკა", "손상"),
    "比致命错误还过分的错误",
)
_ANY = f"({'|'.join(_PANICS)})"
PANIC = re.compile(
    f"PANIC:|{_ANY}:  "
    rf"|,\d+,{_ANY},[0-9A-Z]{{5}},"  # csvlog: after the transaction's id, before the SQLSTATE
    rf'|"error_severity":\s*"{_ANY}"'  # jsonlog
)
"""A log line in which a server reports that it has to stop at once, in any of its log formats (log_destination)."""
NOT_READY = re.compile(
    "the database system is "
    "|das Datenbanksystem "
    "|el sistema de bases? de datos "
    "|le système de bases? de données? "
    "|il (sistema di )?database "
    "|o sistema de banco de dados "
    "|system bazy danych "
    "|databassystemet "
    "|система (баз данных|БД|бази даних) "
    "|データベースシステムは"
    "|მონაცემთა ბაზის სისტემ"
    "|데이터베이스 시스템(이|은) "
    "|数据库系统"
)
"""How a server that is starting or stopping refuses a login (SQLSTATE 57P03, which libpq does not report)."""
