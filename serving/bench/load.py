"""Open-loop load: requests go out when they are due, whether or not earlier ones have been answered."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy as np

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclasses.dataclass(frozen=True)
class LoadResult:
    """What came of one rate. Arrays have a place for each of the n requests, in the order in which they were due.

    Attributes:
        rate: requests a second that were due, on average.
        seconds: time from the first due request to the last answer.
        began: `time.perf_counter()` that the times below count from.
        due: `[n]` seconds at which requests were due.
        latencies: `[n]` seconds to the answers, NaN for requests that failed, each from the moment it was *due*: a
            request that a stalled server or client kept from being sent counts with its wait (no coordinated omission).
        late: `[n]` seconds that requests were sent after they were due; large values mean the load generator, not the
            server, was too slow.
        versions: int64 `[n]`, the model version that answered; 0 where that is unknown.
        errors: gRPC code -> count.
    """

    rate: float
    seconds: float
    began: float
    due: np.ndarray
    latencies: np.ndarray
    late: np.ndarray
    versions: np.ndarray
    errors: dict[str, int]

    @property
    def answered(self) -> np.ndarray:
        """The latencies of the answered requests."""
        return self.latencies[~np.isnan(self.latencies)]

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.answered) / self.seconds


def percentiles_ms(latencies: np.ndarray) -> dict[str, float]:
    """`p50`, `p90`, `p99`, `p99.9` and `max` of seconds, in milliseconds; empty for none."""
    if not len(latencies):
        return {}
    values = np.percentile(latencies, PERCENTILES) * 1e3
    named = {f"p{percentile:g}": float(value) for percentile, value in zip(PERCENTILES, values, strict=True)}
    return {**named, "max": float(latencies.max() * 1e3)}


def poisson_arrivals(rate: float, seconds: float, seed: int) -> np.ndarray:
    """float64 `[n]` ascending times in seconds, below `seconds`: a Poisson process of `rate` a second."""
    generator = np.random.default_rng(seed)
    # Enough gaps in all but one of some millions of draws; the loop is for that one.
    size = int(rate * seconds + 6 * (rate * seconds) ** 0.5 + 16)
    times = np.cumsum(generator.exponential(1 / rate, size))
    while times[-1] < seconds:
        times = np.concatenate([times, times[-1] + np.cumsum(generator.exponential(1 / rate, size))])
    return times[times < seconds]


def run_load(
    method: Any,
    requests: Sequence[bytes],
    arrivals: np.ndarray,
    *,
    rate: float,
    timeout: float,
    metadata: Sequence[tuple[str, str]] = (),
    version_of: Callable[[bytes], int] | None = None,
) -> LoadResult:
    """Sends one request at each arrival time and waits for all answers.

    Args:
        method: a gRPC unary method from bytes to bytes, with `.future`.
        requests: taken in turn.
        arrivals: `[n]` seconds from the start, ascending.
        rate: what `arrivals` were drawn with; goes into the result.
        timeout: deadline of each request in seconds.
        metadata: goes with each request.
        version_of: reads the model version out of an answer; None: it is not wanted.
    """
    latencies = np.full(len(arrivals), np.nan)
    late = np.zeros(len(arrivals))
    versions = np.zeros(len(arrivals), np.int64)
    errors: collections.Counter[str] = collections.Counter()
    open_calls = threading.Semaphore(0)
    start = time.perf_counter() + 0.05

    def record(number: int, call: Any) -> None:
        now = time.perf_counter()
        code = call.code()
        if code is grpc.StatusCode.OK:
            latencies[number] = now - start - arrivals[number]
            if version_of:
                versions[number] = version_of(call.result())
        else:
            errors[code.name] += 1
        open_calls.release()

    for number, due in enumerate(arrivals):
        wait = start + due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        late[number] = time.perf_counter() - start - due
        call = method.future(requests[number % len(requests)], timeout=timeout, metadata=metadata)
        call.add_done_callback(lambda call, number=number: record(number, call))
    for _ in arrivals:
        open_calls.acquire()
    return LoadResult(
        rate=rate,
        seconds=time.perf_counter() - start,
        began=start,
        due=arrivals,
        latencies=latencies,
        late=late,
        versions=versions,
        errors=dict(errors),
    )
