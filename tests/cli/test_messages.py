"""Wrong usage and missing targets: the exit status and a clear message."""

import re
from pathlib import Path

import pytest
from program import Ended, Program, copy, target

from support.sql import Endpoint
from support.vocabulary import counted


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


def require(ended: Ended, status: int, *words: str) -> None:
    assert ended.status == status, str(ended)
    assert "Traceback" not in ended.out + ended.err, str(ended)
    assert len(ended.complaints) == 1, str(ended)
    for word in words:
        assert word in ended.complaints[0], str(ended)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], ["'nonsense'", "sharding", "destructive"]),
        (["cahce"], ["'cahce'", "did you mean 'cache'?"]),
        (["cache", "@slow"], ["--tags '@slow'"]),
        (["--tags", "@slow,@cache"], ["old style", "'@slow or @cache'"]),
        (["--tags", "~@slow"], ["old style", "'not @slow'"]),
        (["--tags", "@slow and"], ["not a valid tag expression"]),
        (["--require", "sharks"], ["--require sharks", "./accept doctor lists them", "citus"]),
        (["--require", "redsi"], ["--require redsi", "did you mean redis?"]),
        (["--name", "("], ["--name '('", "regular expression"]),
        (["--target", "nowhere"], ["'nowhere'", "postgresql://"]),
        (["--target", "missing.toml"], ["missing.toml", "No such file"]),
        (["--target", "postgresql://jo@db:port/claims"], ["--target", "postgresql://user"]),
        (["--target", "postgresql://jo@db/claims?fast=yes"], ["fast", "sslmode"]),
        (["--no-such-option"], ["behave", "--no-such-option"]),
        (["--tagz", "@redis"], ["no option --tagz", "did you mean --tags?"]),
        (["cache", "--stopp"], ["no option --stopp", "did you mean --stop?"]),
        (["statsu"], ["no command 'statsu'", "did you mean ./accept status?"]),
        (["prove", "fsync-of"], ["'fsync-of'", "did you mean 'fsync-off'?"]),
        (["--members", "12"], ["--members is 12"]),
        (["--members=12"], ["--members is 12"]),
        (["-D", "accept_members=12"], ["ACCEPT_MEMBERS is '12'"]),
        (["--sandbox", "clouds"], ["--sandbox is 'clouds'"]),
        (["up", "--vector", "vectr"], ["--vector is 'vectr'", "did you mean ruvector?"]),
        (["--dcs", "etdc3"], ["--dcs is 'etdc3'", "zookeeper", "did you mean etcd3?"]),
    ],
)
def test_wrong_usage(program: Program, arguments: list[str], words: list[str]) -> None:
    require(program.run(*arguments), 2, *words)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RUVECTOR_PORT": "abc"}, ["RUVECTOR_PORT", "'abc'"]),
        ({"HAPROXY_REPLICA_PORT": "70000"}, ["HAPROXY_REPLICA_PORT", "'70000'", "65535"]),
        ({"RUVECTOR_SSLMODE": "maybe"}, ["RUVECTOR_SSLMODE", "verify-full"]),
        ({"ENABLE_PATRONI": "perhaps"}, ["ENABLE_PATRONI", "'perhaps'"]),
    ],
)
def test_an_invalid_setting_is_named(program: Program, variables: dict[str, str], words: list[str]) -> None:
    require(program.run("cluster", **variables), 2, *words)


@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({"RUVECTOR_PORT": "1"}, 3, ["127.0.0.1:1/", "RUVECTOR_PORT"]),
        ({"RUVECTOR_HOST": "no-such-host.invalid"}, 3, ["no-such-host.invalid", "check RUVECTOR_HOST"]),
        ({"RUVECTOR_PASSWORD": "hunter2"}, 3, ["password authentication failed", "RUVECTOR_PASSWORD"]),
        ({"RUVECTOR_USER": "nobody"}, 3, ["nobody", "RUVECTOR_USER"]),
        ({"RUVECTOR_DB": "nope"}, 3, ['"nope" does not exist', "RUVECTOR_DB"]),
        ({"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"}, 1, ["127.0.0.1:1", "REDIS_HOST"]),
        ({"ENABLE_CITUS": "true"}, 1, ["citus", "ENABLE_CITUS"]),
    ],
)
def test_a_target_that_is_not_as_declared(
    program: Program, postgres: Endpoint, variables: dict[str, str], status: int, words: list[str]
) -> None:
    ended = program.run("cluster", **{**target(postgres), **variables})
    require(ended, status, *words)
    assert "hunter2" not in ended.out + ended.err


def test_an_unknown_shape_is_told_before_a_plan(program: Program) -> None:
    ended = program.run("cluster", "--like", "swrm", "--plan")
    assert ended.status == 2, str(ended)
    assert ended.complaints[0] == "accept: --like swrm: there is no such shape; did you mean swarm?"
    assert any("swarm-minimal" in line for line in ended.complaints), str(ended)


def test_a_missing_requirement_fails_the_run(program: Program, postgres: Endpoint) -> None:
    ended = program.run("cluster", "--require", "citus", **target(postgres))
    require(ended, 1, "citus is required", "not installed")


def test_a_plan_lists_the_scenarios_and_runs_nothing(program: Program) -> None:
    before = sorted((program.project / "allure-results").glob("*"))  # of a run that could not begin
    ended = program.run("cache", "performance", "--plan")
    assert ended.status == 0, str(ended)
    assert "features/cache/speed.feature:" in ended.out
    assert "features/cache/redis.feature:" not in ended.out
    assert ended.err.splitlines()[-1] == f"{counted(len(ended.out.splitlines()), 'scenario')} would run"
    assert sorted((program.project / "allure-results").glob("*")) == before


def test_a_plan_tells_what_would_be_skipped(program: Program, postgres: Endpoint) -> None:
    features = sorted((program.project / "features" / "sharding").glob("*.feature"))
    ended = program.run("sharding", "--plan", "--workers", "0")
    assert ended.status == 0, str(ended)
    assert "sharding/" not in ended.out, "none of them would run"
    assert "skipped: " in ended.out
    assert "no worker groups (--workers)" in ended.out
    assert features
    last = re.fullmatch(r"0 scenarios would run, (\d+) would be skipped", ended.err.splitlines()[-1])
    assert last is not None, str(ended)
    assert int(last[1]) >= len(features)
    ended = program.run("cache", "--plan", **target(postgres))
    would_run = [line for line in ended.out.splitlines() if line.startswith("features/")]
    skipped = f"{counted(len(would_run), 'scenario')} would run, "
    assert ended.err.splitlines()[-1].startswith(skipped), str(ended)
    require(program.run("cluster", "--plan", "--require", "citus", **target(postgres)), 1, "citus is required")


def test_a_plan_for_a_target_that_does_not_answer_lists_everything(program: Program) -> None:
    ended = program.run("cluster", "--plan", RUVECTOR_HOST="127.0.0.1", RUVECTOR_PORT="1", RUVECTOR_PASSWORD="x")
    assert ended.status == 0, str(ended)
    assert "what would be skipped is not known: " in ended.err
    assert ended.err.splitlines()[-1] == f"{counted(len(ended.out.splitlines()), 'scenario')} would run"


def test_the_environment_can_name_the_target(program: Program) -> None:
    require(program.run("cluster", "--plan", ACCEPT_TARGET="nowhere"), 2, "'nowhere'", "postgresql://")


@pytest.mark.parametrize("arguments", [["--tags", "@redis and not @redis"], ["--name", "no such title"]])
def test_an_empty_selection_is_not_a_success(program: Program, arguments: list[str]) -> None:
    ended = program.run(*arguments)
    require(ended, 3, "no scenario is selected", arguments[-1])


@pytest.mark.parametrize("arguments", [["status"], ["down"], ["psql"], ["shell", "pg1"], ["logs", "pg1"]])
def test_commands_that_need_a_running_cluster_say_so(program: Program, arguments: list[str]) -> None:
    require(program.run(*arguments), 2, "no cluster is up", "./accept up")


@pytest.mark.parametrize("name", ["Bad Name", "../elsewhere", "up", ""])
def test_invalid_cluster_names_are_refused(program: Program, name: str) -> None:
    require(program.run("up", "--name", name), 2, "cannot be named")


def test_there_is_no_report_before_a_run(tmp_path: Path) -> None:
    require(copy(tmp_path).run("report"), 2, "no run to report on")


def test_help_names_every_command(program: Program) -> None:
    ended = program.run("--help")
    assert ended.status == 0
    for command in "run up down status psql shell logs doctor steps lint report test".split():
        assert f" {command} " in ended.out
