"""The model whose towers give the vectors: a SavedModel in this process, or one behind a model server."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Protocol

import grpc
import numpy as np

from h2rec_tf.errors import InputError
from h2rec_tf.models.exported import newest_version
from serving.client import Client, Connection, ServerError
from serving.server.errors import RequestError
from serving.server.options import Limits
from serving.server.servable import Servable

_UNLIMITED = 1 << 30


class Model(Protocol):
    """One version of a model, called by signature."""

    # Names the version for good: vectors of two versions have nothing to do with each other.
    version: int

    def inputs(self, signature: str) -> set[str]:
        """Names of a signature's inputs; empty where the model has no such signature."""

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name; strings as object arrays of bytes.

        Raises:
            RequestError: the model refuses the request or cannot be reached.
        """

    def close(self) -> None:
        """Gives back what it holds."""


class LocalModel:
    """A SavedModel loaded into this process.

    Args:
        directory: the SavedModel, or a folder of numbered versions of which the newest is taken.
        allow_ops: ops that it may hold although they reach files, processes or machines.

    Raises:
        InputError: there is none, or its graph holds such an op.
    """

    def __init__(self, directory: str, *, allow_ops: Collection[str] = ()) -> None:
        path = newest_version(directory)
        self.path = str(path)
        self.version = int(path.name) if path.name.isdigit() else 0
        self._servable = Servable.load(self.version, self.path, allow_ops=allow_ops)
        # What comes here was held to the service's own limits.
        self._limits = Limits(
            request_bytes=1 << 62,
            batch_size=_UNLIMITED,
            history_length=_UNLIMITED,
            list_length=_UNLIMITED,
            k=_UNLIMITED,
        )

    def inputs(self, signature: str) -> set[str]:
        """As `Model`."""
        definition = self._servable.definitions.get(signature)
        return set(definition.inputs) if definition else set()

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Model`."""
        called = self._servable.signature(signature)
        return self._servable.run(called, called.feeds_of_arrays(inputs, self._limits).arrays)

    def close(self) -> None:
        """As `Model`."""
        self._servable.close()


class ServedModel:
    """One version of a model behind TensorFlow Serving's gRPC API; it stays with the version that it found first.

    Args:
        connection: where the model server is.
        name: that the model is served under.
        timeout: seconds that one call may take.

    Raises:
        InputError: nothing answers there, or no such model.
    """

    def __init__(self, connection: Connection, *, name: str, timeout: float) -> None:
        try:
            with Client(connection, model_name=name, timeout=timeout) as client:
                metadata = client.metadata()
        except ServerError as error:
            raise InputError(f"--model-server {connection.target}: {error}") from error
        self._inputs = {key: set(signature.inputs) for key, signature in metadata.signatures.items()}
        self.version = metadata.version
        # One attempt: a search that waits is worth less than one that fails at once.
        once = dataclasses.replace(connection, attempts=1)
        self._client = Client(once, model_name=name, version=self.version, timeout=timeout)

    def inputs(self, signature: str) -> set[str]:
        """As `Model`."""
        return self._inputs.get(signature, set())

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Model`."""
        try:
            return self._client.predict(signature, inputs)
        except ServerError as error:
            raise self._explained(error) from error

    def close(self) -> None:
        """As `Model`."""
        self._client.close()

    def _explained(self, error: ServerError) -> RequestError:
        if error.code is grpc.StatusCode.NOT_FOUND:
            return RequestError.failed_precondition(
                f"the model server no longer has version {self.version}, whose item vectors are held here: load the "
                "items of the new version into a data folder of its own"
            )
        if error.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DEADLINE_EXCEEDED):
            return RequestError(error.code, str(error))
        return RequestError.unavailable(str(error))
