"""Threads for calls: order, parallelism, an end after all that was put."""

import threading
import weakref

from serving.server.workers import Workers


def test_one_thread_keeps_the_order_and_ends_after_the_last():
    done = []
    workers = Workers(1, "test")
    for number in range(100):
        workers.put(done.append, number)
    workers.close()
    assert done == list(range(100))


def test_as_many_at_a_time_as_there_are_threads():
    # Passes only when three calls are inside at once.
    together = threading.Barrier(3)
    workers = Workers(3, "test")
    for _ in range(3):
        workers.put(together.wait, 20)
    workers.close()
    assert not together.broken


def test_what_a_call_held_is_let_go_before_the_next_one():
    class Request:
        pass

    request = Request()
    gone = weakref.ref(request)
    idle = threading.Event()
    workers = Workers(1, "test")
    workers.put(lambda held: None, request)
    del request
    workers.put(idle.set)
    assert idle.wait(20)
    assert gone() is None
    workers.close()
