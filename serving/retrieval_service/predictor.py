"""Runs operations for requests, searches and writes in threads of their own."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent import futures
from typing import Any

import grpc
import numpy as np

from h2rec_tf import names
from serving.retrieval_service import signatures
from serving.retrieval_service.operations import Operations
from serving.retrieval_service.options import Limits
from serving.server import options as server_options
from serving.server.errors import RequestError
from serving.server.signature import Signature


class RetrievalPredictor:
    """Checks requests against the signatures and runs them.

    Args:
        operations: what is run.
        limits: the largest request that is answered.
        width: D.
        query_tower: whether histories can be answered.
        readers: searches at a time.
    """

    def __init__(self, operations: Operations, limits: Limits, *, width: int, query_tower: bool, readers: int) -> None:
        self.limits = limits
        self.definitions = signatures.definitions(width, query_tower=query_tower)
        self._signatures = {name: Signature(name, definition) for name, definition in self.definitions.items()}
        self._operations = operations
        self._readers = futures.ThreadPoolExecutor(readers, thread_name_prefix="search")
        self._writers = futures.ThreadPoolExecutor(limits.writers, thread_name_prefix="write")

    def signature(self, name: str) -> Signature:
        """The signature of that name, `serving_default` for "".

        Raises:
            RequestError: FAILED_PRECONDITION; there is none.
        """
        signature = self._signatures.get(name or names.SERVING_DEFAULT)
        if signature is None:
            raise RequestError.failed_precondition(
                f'Serving signature key "{name or names.SERVING_DEFAULT}" not found.'
            )
        return signature

    def arrays(self, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """A request's TensorProtos as arrays, defaults filled in.

        Raises:
            RequestError: INVALID_ARGUMENT; an input is missing, unknown, of another type or shape, or too large.
        """
        rows = self.limits.write_size if signature.name in signatures.WRITES else self.limits.batch_size
        limits = server_options.Limits(batch_size=rows, history_length=self.limits.history_length)
        return dict(zip(signature.inputs, signature.feeds(inputs, limits), strict=True))

    def submit(self, signature: Signature, arrays: dict[str, np.ndarray]) -> futures.Future[dict[str, np.ndarray]]:
        """Starts an operation.

        Raises:
            RequestError: RESOURCE_EXHAUSTED; too many writes wait.
        """
        pool = self._readers
        if signature.name in signatures.SLOW:
            pool = self._writers
            if pool._work_queue.qsize() >= self.limits.waiting_writes:
                raise RequestError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many writes wait: send them more slowly")
        return pool.submit(self._operations.run, signature.name, arrays)

    def close(self) -> None:
        """Ends after the running operations."""
        self._readers.shutdown()
        self._writers.shutdown()
