"""What ./spark-submit.sh hands to spark-submit, seen by a stand-in for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from app.config.reading import REPOSITORY

# Writes what it was given; SPARK_HOME is where the script looks for it.
STAND_IN = (
    '#!/bin/bash\nprintf "%s\\n" "OPTS=$SPARK_SUBMIT_OPTS" "$@" >"$SPARK_HOME/given"\nprintf %s "$RES_OPTIONS" >"$SPARK_HOME/resolver"\n'
)
PARALLEL, G1 = "-XX:+UseParallelGC", "-XX:+UseG1GC"
CHOSEN_BY = ("SPARK_SUBMIT_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")


def given(home: Path, *args: str, **environment: str) -> list[str]:
    """Start a run; return the options of the JVM and, behind them, the arguments."""
    script = home / "bin" / "spark-submit"
    script.parent.mkdir()
    script.write_text(STAND_IN)
    script.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in CHOSEN_BY and not name.startswith("SPARK_")}
    subprocess.run([REPOSITORY / "spark-submit.sh", *args], env=kept | {"SPARK_HOME": str(home)} | environment, check=True, timeout=60)
    return (home / "given").read_text().splitlines()


def test_a_run_gets_the_parallel_collector_and_small_pages(tmp_path: Path) -> None:
    opts, *args = given(tmp_path, "run", "--once")
    assert opts.split()[-1] == PARALLEL
    assert ("--conf", "spark.buffer.pageSize=1m") in pairwise(args)
    assert args[-3:] == [str(REPOSITORY / "app" / "main.py"), "run", "--once"]


def test_what_was_given_to_the_jvm_comes_behind_our_own_choice_and_wins(tmp_path: Path) -> None:
    opts, *_ = given(tmp_path, "run", SPARK_SUBMIT_OPTS=f"{G1} -XX:Tier4InvocationThreshold=5000")
    assert [word for word in opts.split() if "Tier4InvocationThreshold" in word][-1] == "-XX:Tier4InvocationThreshold=5000"


def test_what_stands_before_the_dashes_comes_behind_our_own_settings_and_wins(tmp_path: Path) -> None:
    _, *args = given(tmp_path, "--conf", "spark.buffer.pageSize=4m", "--", "run")
    assert [arg for arg in args if arg.startswith("spark.buffer.pageSize=")] == ["spark.buffer.pageSize=1m", "spark.buffer.pageSize=4m"]


@pytest.mark.parametrize("name", CHOSEN_BY)
def test_a_collector_chosen_by_a_variable_is_left_alone(tmp_path: Path, name: str) -> None:
    opts, *_ = given(tmp_path, "run", **{name: G1})
    assert PARALLEL not in opts


def test_a_collector_chosen_on_the_command_line_is_left_alone(tmp_path: Path) -> None:
    opts, *_ = given(tmp_path, "--driver-java-options", G1, "--", "run")
    assert PARALLEL not in opts


def test_a_collector_chosen_in_sparks_defaults_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text(f"spark.driver.extraJavaOptions {G1}\n")
    opts, *_ = given(tmp_path, "run", SPARK_CONF_DIR=str(tmp_path))
    assert PARALLEL not in opts


@pytest.mark.parametrize(
    ("args", "is_set"),
    [(["run"], True), (["--master", "local[4]", "--", "run"], True), (["--master", "spark://host:7077", "--", "run"], False)],
    ids=["no master", "local", "cluster"],
)
def test_workers_on_this_machine_are_forked_from_one_that_has_loaded_all_modules(tmp_path: Path, args: list[str], is_set: bool) -> None:
    _, *found = given(tmp_path, *args)
    assert (("--conf", "spark.python.daemon.module=app.spark.worker_daemon") in pairwise(found)) == is_set


def test_on_this_machine_spark_is_taken_without_its_zip_of_pyspark(tmp_path: Path) -> None:
    root, home = tmp_path / "clone", tmp_path / "clone" / ".cache" / "spark"
    (home / "bin").mkdir(parents=True)
    for name in (".venv", "app", "conf", "scripts", "requirements.txt"):
        (root / name).symlink_to(REPOSITORY / name)
    shutil.copy(REPOSITORY / "spark-submit.sh", root)
    (home / "bin" / "spark-submit").write_text(STAND_IN)
    (home / "bin" / "spark-submit").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    subprocess.run([root / "spark-submit.sh", "run"], env=kept, check=True, timeout=60)
    assert (home / "given").read_text().splitlines()[-2:] == [str(root / "app" / "main.py"), "run"]
    assert {path.name for path in (REPOSITORY / ".cache" / "spark").iterdir()} == {"bin", "jars", "sbin"}


def test_everything_that_the_workers_daemon_loads_is_there() -> None:
    subprocess.run([sys.executable, "-c", "from app.spark.worker_daemon import load; load()"], cwd=REPOSITORY, check=True, timeout=60)


@pytest.mark.parametrize(("chosen", "told"), [("", "timeout:2 attempts:2"), ("timeout:9", "timeout:9")])
def test_a_name_server_that_answers_nothing_is_given_up_after_seconds(tmp_path: Path, chosen: str, told: str) -> None:
    given(tmp_path, "run", RES_OPTIONS=chosen)
    assert (tmp_path / "resolver").read_text() == told
