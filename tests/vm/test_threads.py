"""Shares of work are each done once, by whichever thread is free."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastgrad.vm.threads import share_out


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n_shares", [0, 1, 2, 17])
def test_every_share_is_done_once(n_shares: int, n_threads: int) -> None:
    done: list[int] = []
    share_out(done.append, n_shares, n_threads)
    assert sorted(done) == list(range(n_shares))


def test_a_thread_that_is_held_up_leaves_its_shares_to_the_others() -> None:
    release, done = threading.Event(), []

    def work(share: int) -> None:
        if share == 0:
            assert release.wait(10)
        done.append(share)
        if len(done) == 9:
            release.set()

    share_out(work, 10, 2)
    assert done[-1] == 0


@pytest.mark.parametrize("failing", [0, 3, 9])
def test_what_the_work_raises_is_raised_and_ends_it(failing: int) -> None:
    done: list[int] = []

    def work(share: int) -> None:
        time.sleep(0.001)
        if share == failing:
            raise ValueError(f"share {share}")
        done.append(share)

    with pytest.raises(ValueError, match=f"share {failing}"):
        share_out(work, 100, 3)
    assert len(done) < 20
    share_out(done.append, 3, 3)


def test_callers_do_not_wait_for_each_others_work() -> None:
    """All helpers are held up by one caller; another one does its work by itself."""
    release, started = threading.Event(), threading.Barrier(3, timeout=10)

    def held_up(share: int) -> None:
        started.wait()
        assert release.wait(10)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(share_out, held_up, 2, 2)
        started.wait()
        done: list[int] = []
        share_out(done.append, 5, 2)
        assert done == [0, 1, 2, 3, 4]
        release.set()
        other.result()
