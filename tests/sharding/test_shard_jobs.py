"""How a statement that moves shards ends."""

import pytest

from support import sql
from support.sharding.moves import ShardJob


def test_what_the_database_refuses_is_the_end_of_the_job(postgres: sql.Endpoint) -> None:
    job = ShardJob(postgres, "SELECT 1 / %s", [0])
    with job, pytest.raises(AssertionError, match=r"the shards were not moved: .*division by zero"):
        job.require_done()
    assert isinstance(job.error, sql.Error)


def test_a_job_that_fails_for_another_reason_is_not_taken_for_done(postgres: sql.Endpoint) -> None:
    job = ShardJob(postgres, "SELECT %s, %s", ["there is no second value"])
    with pytest.raises(IndexError), job:
        pass
    with pytest.raises(IndexError):
        job.require_done()
