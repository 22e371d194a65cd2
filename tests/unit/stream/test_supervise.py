"""What keeps a run alive: restarts while a failure may pass, an end when it has not, and two kinds of stop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.errors import MySqlUnavailable, OwnershipError, S3Error
from app.stream.supervise import LONGEST_PAUSE_SECONDS, StopRequest, keep_going


class Time:
    """A clock that only waiting moves; a stop may be asked for at a moment."""

    def __init__(self, stop_at: float = float("inf")) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.stop_at = stop_at

    def __call__(self) -> bool:
        return self.now >= self.stop_at

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def failing(times: int, kind: Callable[[str], Exception] = MySqlUnavailable) -> Callable[[], None]:
    calls = iter(range(times))

    def episode() -> None:
        if next(calls, None) is not None:
            raise kind("away")

    return episode


def run(episode: Callable[[], None], time: Time, patience: float = 600, progress: Callable[[], int] = lambda: 0) -> None:
    keep_going(episode, patience, time, progress, clock=lambda: time.now)


def test_a_run_that_ends_well_is_not_repeated() -> None:
    time = Time()
    run(failing(0), time)
    assert time.pauses == []


def test_the_pauses_double_up_to_the_longest() -> None:
    time = Time()
    run(failing(8), time)
    assert time.pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_a_minute_without_mysql_is_waited_out() -> None:
    time = Time()

    def episode() -> None:
        if time.now < 60:
            raise MySqlUnavailable("away")

    run(episode, time)
    assert 60 <= time.now < 60 + LONGEST_PAUSE_SECONDS


def test_it_gives_up_when_the_patience_is_over_and_raises_the_last_failure() -> None:
    time = Time()
    with pytest.raises(MySqlUnavailable):
        run(failing(10**6), time, patience=100)
    assert time.now == 100


def test_without_patience_the_first_failure_ends_it() -> None:
    time = Time()
    with pytest.raises(MySqlUnavailable):
        run(failing(1), time, patience=0)
    assert time.pauses == []


def test_progress_begins_the_patience_anew() -> None:
    time, done = Time(), [0]

    def episode() -> None:
        done[0] += 1
        time.now += 90
        if done[0] < 5:
            raise MySqlUnavailable("away after a batch")

    run(episode, time, patience=100, progress=lambda: done[0])
    assert time.pauses == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", [S3Error, OwnershipError, ValueError])
def test_what_cannot_pass_ends_it_at_once(kind: type[Exception]) -> None:
    time = Time()
    with pytest.raises(kind):
        run(failing(1, kind), time)
    assert time.pauses == []


def test_a_stop_ends_the_waiting_without_an_error() -> None:
    time = Time(stop_at=5)
    run(failing(10**6), time)
    assert time.now == 7  # 1 + 2 + 4: the stop came during the third pause


def test_a_batch_gets_what_is_left_of_a_stop_but_for_the_end_of_all_else() -> None:
    now = [100.0]
    stop = StopRequest(60, lambda: now[0])
    assert stop.seconds_for_batch(300) == 300
    stop.request()
    assert stop.seconds_for_batch(300) == 30
    now[0] += 25
    stop.request()
    assert stop.seconds_for_batch(300) == 5
    now[0] += 40
    assert stop.seconds_for_batch(300) == 0


def test_one_request_is_remembered() -> None:
    stop = StopRequest()
    assert not stop()
    stop.request()
    assert stop()
