"""What is counted and logged of every request, whichever way it came in."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Any

import grpc

from serving.server.access_log import AccessLog
from serving.server.errors import RequestError
from serving.server.metrics import Metrics

logger = logging.getLogger("h2rec.serving")


@dataclasses.dataclass
class Call:
    """One request on its way; the fields after `began` are filled in as they become known."""

    api: str
    method: str
    peer: str
    began: float = dataclasses.field(default_factory=time.monotonic)
    model: str = ""
    version: int | None = None
    signature: str | None = None
    rows: int | None = None
    inputs: Mapping[str, Any] | None = None


class Observer:
    """Counts and logs.

    Args:
        metrics: where requests are counted.
        access_log: where they are logged; None for nowhere.
        log_inputs: log what was asked too.
    """

    def __init__(self, metrics: Metrics, access_log: AccessLog | None = None, *, log_inputs: bool = False) -> None:
        self.metrics = metrics
        self.log_inputs = log_inputs
        self._access_log = access_log

    def begin(self, api: str, method: str, peer: str) -> Call:
        """A request has arrived."""
        self.metrics.in_flight.inc()
        return Call(api, method, peer)

    def end(self, call: Call, code: grpc.StatusCode = grpc.StatusCode.OK, error: str | None = None) -> None:
        """It was answered, or its caller went away."""
        seconds = time.monotonic() - call.began
        self.metrics.in_flight.dec()
        self.metrics.requests.labels(call.api, call.method, call.model, code.name).inc()
        self.metrics.seconds.labels(call.api, call.method, call.model).observe(seconds)
        if self._access_log:
            self._access_log.write(
                {
                    "api": call.api,
                    "method": call.method,
                    "model": call.model or None,
                    "version": call.version,
                    "signature": call.signature,
                    "rows": call.rows,
                    "code": code.name,
                    "ms": round(seconds * 1e3, 3),
                    "peer": call.peer,
                    "error": error,
                    "inputs": call.inputs,
                }
            )

    def failed(self, call: Call, error: Exception) -> RequestError:
        """What the caller is told of an error that nobody foresaw: the log has the rest."""
        logger.error("%s %s failed", call.api, call.method, exc_info=error)
        return RequestError(grpc.StatusCode.INTERNAL, f"internal error ({type(error).__name__}); see the server's log")
