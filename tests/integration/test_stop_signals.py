"""A stop ends the process in time, whatever hangs in it and whoever asks; a second signal ends it at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

SCRIPT = """
import signal, sys, time
from app.stream.supervise import StopRequest
stop = StopRequest()
stop.install()
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("asked", ["", "stop.request_by('ana on desk')"], ids=["by nobody before", "through the ledger before"])
def test_a_first_signal_lets_the_batch_finish_and_a_second_does_not_wait(asked: str) -> None:
    script = SCRIPT.replace("stop.install()", f"stop.install(); {asked}")
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 128 + signal.SIGTERM
        finally:
            process.kill()


@pytest.mark.parametrize("asked", ["", "stop.request_by('ana on desk')"], ids=["by a signal", "through the ledger"])
def test_a_stop_ends_the_process_in_time_whatever_hangs_and_whoever_asks(asked: str) -> None:
    script = SCRIPT.replace("StopRequest()", "StopRequest(1)").replace('print("ready"', f'{asked}\nprint("ready"')
    process = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    if not asked:
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 1
    process.communicate()


def test_a_stop_ends_the_process_in_time_whatever_hangs() -> None:
    script = SCRIPT.replace("StopRequest()", "StopRequest(1)").replace("time.sleep(0.05)", "open('/proc/self/status'); time.sleep(0.05)")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "the stop was not done within stream.stop_timeout_seconds" in said
