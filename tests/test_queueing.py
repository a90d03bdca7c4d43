"""The queue of a checkpoint: bounded, fair, and in batches of what goes together."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.errors import RequestError
from serving.queueing import MAXIMUM_TRIES, Job, RequestQueue, settle


def job(inputs="abcd", group="g", seconds=60.0):
    return Job(inputs, None, group, len(inputs), time.monotonic() + seconds)


def queue(maximum_jobs=10, maximum_batch=4, gather_seconds=0.0):
    return RequestQueue(maximum_jobs, maximum_batch, gather_seconds)


def filled(*jobs, **options):
    made = queue(**options)
    for one in jobs:
        made.put(one)
    return made


def test_the_oldest_goes_first_with_those_of_its_group_and_about_its_length():
    first, other, long, same, near = job(), job(group="h"), job("x" * 9), job(), job("x" * 8)
    waiting = filled(first, other, long, same, near)
    assert waiting.take() == [first, same, near]  # nine is more than twice four
    assert waiting.take() == [other] and waiting.take() == [long] and len(waiting) == 0


def test_the_nearest_in_length_go_along_when_there_is_not_room_for_all():
    jobs = [job("x" * length) for length in (10, 6, 18, 11, 9)]
    waiting = filled(*jobs, maximum_batch=3)
    assert waiting.take() == [jobs[0], jobs[3], jobs[4]]
    assert waiting.take() == [jobs[1]] and waiting.take() == [jobs[2]]


def test_what_has_no_group_goes_alone():
    waiting = filled(job(group=None), job(group=None))
    assert [len(waiting.take()), len(waiting.take())] == [1, 1]


def test_one_more_than_it_holds_is_refused():
    waiting = filled(job(), job(), maximum_jobs=2)
    with pytest.raises(RequestError, match="2 requests wait already") as refused:
        waiting.put(job())
    assert (refused.value.status, refused.value.code) == (429, "busy") and refused.value.headers["Retry-After"]


def test_who_gives_up_frees_the_place():
    first, second = job(), job()
    waiting = filled(first, maximum_jobs=1)
    waiting.withdraw(first)
    waiting.put(second)
    assert first.future.cancelled() and waiting.take() == [second]
    waiting.withdraw(second)  # it is being answered: nobody minds
    settle(second, "late")
    assert second.future.cancelled()


def test_what_waited_too_long_is_told_so_and_not_answered():
    late, good = job(seconds=-1), job()
    assert filled(late, good).take() == [good]
    with pytest.raises(RequestError) as refused:
        late.future.result(0)
    assert refused.value.status == 504


def test_the_first_waits_for_others_only_after_some_came_together():
    waiting = filled(job(), gather_seconds=0.5)
    started = time.monotonic()
    assert len(waiting.take()) == 1 and time.monotonic() - started < 0.2
    for one in (job(), job()):
        waiting.put(one)
    assert len(waiting.take()) == 2
    third, fourth = job(), job()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(waiting.take)
        waiting.put(third)
        time.sleep(0.1)
        assert not taken.done()
        waiting.put(fourth)
        assert taken.result(0.3) == [third, fourth]


def test_it_waits_no_longer_than_it_may():
    waiting = filled(*(job() for _ in range(4)), gather_seconds=0.2)
    waiting.take()
    one, started = job(), time.monotonic()
    waiting.put(one)
    assert waiting.take() == [one] and 0.04 < time.monotonic() - started < 0.15  # nobody comes: a quarter is enough
    waiting.put_back([job() for _ in range(4)])
    waiting.take()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(waiting.take)
        for _ in range(8):  # they keep coming, each within the quarter
            waiting.put(job())
            time.sleep(0.04)
            if taken.done():
                break
        assert 1 < len(taken.result(1)) <= 4


def test_what_a_lost_worker_had_is_taken_again_first_but_not_for_ever():
    first, second = job(), job(group="h")
    waiting = filled(first, second)
    for _ in range(MAXIMUM_TRIES - 1):
        waiting.put_back(waiting.take())
        assert first.tries and not first.future.done()
    waiting.put_back(waiting.take())
    with pytest.raises(RequestError, match="workers ended") as refused:
        first.future.result(0)
    assert refused.value.status == 503 and waiting.take() == [second]


def test_a_closed_queue_is_emptied_and_takes_no_more():
    waiting = filled(job())
    waiting.close()
    with pytest.raises(RequestError, match="being stopped"):
        waiting.put(job())
    assert len(waiting.take()) == 1 and waiting.take() is None


def test_several_threads_take_each_job_once():
    waiting, taken, lock = queue(maximum_jobs=1000, maximum_batch=3), [], threading.Lock()

    def take():
        while (jobs := waiting.take()) is not None:
            with lock:
                taken.extend(jobs)

    jobs = [job() for _ in range(500)]
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(take) for _ in range(4)]
        for one in jobs:
            waiting.put(one)
        waiting.close()
    assert all(one.result() is None for one in running)
    assert len(taken) == 500 and set(map(id, taken)) == set(map(id, jobs))
