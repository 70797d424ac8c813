"""Run by `test_retrieval_crash`: forks a writing process for each folder that it is told, and names it.

Everything is imported before the first fork and no thread is started before it, so that a round costs milliseconds.
"""

import os
import sys
import threading

import numpy as np
from crash_child_layout import ITEMS, WIDTH, WRITERS, ids, state
from stores import open_engine, upsert_of

from h2rec_tf.index import scann_library
from serving.retrieval_service.mutations import Delete


def main() -> None:
    scann_library.pybind()
    for line in sys.stdin:
        folder, start = line.split()
        child = os.fork()
        if not child:
            try:
                write_on(folder, int(start))
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        say("dead")


def say(text: str) -> None:
    # Short writes to a pipe are not mixed up with those of other threads.
    os.write(1, f"{text}\n".encode())


def write_on(folder: str, start: int) -> None:
    engine = open_engine(folder, WIDTH, snapshot_log_bytes=2000, poll_seconds=0.001)
    say(f"pid {os.getpid()}")
    for writer in range(WRITERS):
        threading.Thread(target=write, args=(engine, writer, start), daemon=True).start()
    while True:
        engine.rebalance()


def write(engine, writer: int, start: int) -> None:
    for number in range(start, start + 10**6):
        if after := state(writer, number):
            title, vector = after
            engine.write(upsert_of(ids(writer), np.full((ITEMS, WIDTH), vector), [title] * ITEMS))
        else:
            engine.write(Delete(tuple(ids(writer))))
        say(f"done {writer} {number}")


main()
