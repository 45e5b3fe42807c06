"""synchronous_standby_names as PostgreSQL reads it, and the members that it means."""

import pytest

from support.target.standby_names import StandbyNames


@pytest.mark.parametrize(
    ("setting", "count", "names"),
    [
        ("", 0, set()),
        ("*", 1, {"*"}),
        ("pg1", 1, {"pg1"}),
        ("pg1, pg2", 1, {"pg1", "pg2"}),
        ('"db1-replica"', 1, {"db1-replica"}),
        ('ANY 1 ("db1-replica","DB2")', 1, {"db1-replica", "db2"}),
        ("first 2 (pg1, pg2, pg3)", 2, {"pg1", "pg2", "pg3"}),
        ('2 ("a "" b", c)', 2, {'a " b', "c"}),
    ],
)
def test_what_it_says(setting: str, count: int, names: set[str]) -> None:
    found = StandbyNames.parse(setting)
    assert (found.count, found.names) == (count, names)


def test_a_name_within_another_one_is_not_meant() -> None:
    found = StandbyNames.parse('ANY 1 ("db1-replica","db2.example.org")')
    known = ("db1", "db1-replica", "db2", "DB2.example.org")
    assert [one for one in known if found.named(one)] == ["db1-replica", "DB2.example.org"]
    assert StandbyNames.parse("*").has("db1")
    assert not StandbyNames.parse("*").named("db1")
