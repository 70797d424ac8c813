"""One loaded version of a model, run the way TensorFlow Serving runs it: a session over the SavedModel's graph.

A session call costs less than calling the signature of `tf.saved_model.load`, the graph's SignatureDefs keep their
defaults, and closing the session gives its memory back.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from h2rec_tf import names
from h2rec_tf.errors import InputError, MissingDependencyError
from h2rec_tf.export.unsafe_ops import refuse_unsafe
from serving.server.errors import RequestError
from serving.server.signature import Signature

_TAGS = [tf.saved_model.SERVING]
_SCANN_OPS = "Scann>"
# Signatures that TensorFlow writes for itself, e.g. `__saved_model_init_op`.
_INTERNAL_SIGNATURES = "__saved_model"


class Servable:
    """A loaded version.

    Args:
        version: the version's number.
        meta_graph: graph and signatures as saved.
        session: a session that holds the restored variables and tables.
        exported: this package exported the model.

    Attributes:
        exported: likewise; then no row of a request has a say in the answer to another.

    Raises:
        InputError: a signature cannot be read.
    """

    def __init__(
        self,
        *,
        version: int,
        meta_graph: meta_graph_pb2.MetaGraphDef,
        session: tf.compat.v1.Session,
        exported: bool = False,
    ) -> None:
        self.version = version
        self.exported = exported
        self.definitions = {
            name: definition
            for name, definition in meta_graph.signature_def.items()
            if not name.startswith(_INTERNAL_SIGNATURES)
        }
        self._signatures = {
            name: Signature(name, definition, exported=exported) for name, definition in self.definitions.items()
        }
        self._session = session
        self._calls: dict[str, Callable[..., list[Any]]] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, version: int, path: str, *, op_threads: int = 1, allow_ops: Collection[str] = ()) -> Servable:
        """Reads a SavedModel and restores its variables and tables.

        Args:
            version: the version's number.
            path: the folder with `saved_model.pb`.
            op_threads: threads that one op may spread over, 0 for all cores. TensorFlow has one such pool in a process:
                whatever makes it first decides.
            allow_ops: ops that the graph may hold although they reach files, processes or machines.

        Raises:
            InputError: the folder holds no SavedModel for serving, it cannot be read, or its graph holds such ops.
            MissingDependencyError: the graph holds ScaNN ops and ScaNN is not installed.
            tf.errors.OpError: a variable or table cannot be restored.
        """
        meta_graph = cls.check(path, allow_ops=allow_ops)
        if any(op.startswith(_SCANN_OPS) for op in _ops(meta_graph)):
            _register_scann_ops(path)
        graph = tf.Graph()
        # Ops run in the thread that asks, one after the other: handing the small ops of a recommender from thread to
        # thread costs more than running them, and requests are parallel already.
        config = tf.compat.v1.ConfigProto(
            allow_soft_placement=True, inter_op_parallelism_threads=-1, intra_op_parallelism_threads=op_threads
        )
        session = tf.compat.v1.Session(graph=graph, config=config)
        with contextlib.ExitStack() as undo:
            undo.callback(session.close)
            with graph.as_default():
                tf.compat.v1.saved_model.loader.load(session, _TAGS, path)
            exported = tf.io.gfile.exists(f"{path}/{names.EXTRA_DIR}/{names.LIMITS_FILE}")
            servable = cls(version=version, meta_graph=meta_graph, session=session, exported=exported)
            undo.pop_all()
        return servable

    @staticmethod
    def check(path: str, *, allow_ops: Collection[str] = ()) -> meta_graph_pb2.MetaGraphDef:
        """Reads a SavedModel's graph without running any of it.

        Raises:
            InputError: as `load`.
        """
        meta_graph = _read_meta_graph(path)
        refuse_unsafe(path, meta_graph, allowed=allow_ops)
        return meta_graph

    def signature(self, name: str) -> Signature:
        """The signature of that name.

        Raises:
            RequestError: FAILED_PRECONDITION, as TensorFlow Serving answers; there is none.
        """
        signature = self._signatures.get(name)
        if signature is None:
            raise RequestError.failed_precondition(f'Serving signature key "{name}" not found.')
        return signature

    def run(self, signature: Signature, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: one of this servable's.
            arrays: what is fed, in the order of `signature.inputs`.

        Returns:
            All outputs by name; strings as object arrays of bytes.

        Raises:
            RequestError: an op refused its input; the code is TensorFlow's.
        """
        call = self._calls.get(signature.name) or self._prepare(signature)
        try:
            values = call(*arrays)
        except tf.errors.OpError as error:
            raise RequestError.from_op_error(error) from error
        except UnicodeDecodeError as error:
            # An op's message quotes what it was given, and Python cannot read that; the code is lost with it.
            raise RequestError.invalid(
                "the model refused an input; why cannot be told, as the input is not UTF-8"
            ) from error
        # A single string comes as bytes, a single number as one of NumPy's.
        return {
            alias: np.asarray(value, object if isinstance(value, bytes) else None)
            for alias, value in zip(signature.outputs, values, strict=True)
        }

    def close(self) -> None:
        """Gives the memory back. No request may be running."""
        self._session.close()

    def _prepare(self, signature: Signature) -> Callable[..., list[Any]]:
        with self._lock:
            if signature.name not in self._calls:
                # All outputs are always fetched: each other set of fetches would keep one more pruned graph in memory,
                # and callers choose the sets.
                self._calls[signature.name] = self._session.make_callable(
                    fetches=list(signature.outputs.values()),
                    feed_list=[spec.tensor for spec in signature.inputs.values()],
                )
            return self._calls[signature.name]


def _read_meta_graph(path: str) -> meta_graph_pb2.MetaGraphDef:
    from google.protobuf.message import DecodeError

    file = f"{path}/saved_model.pb"
    if not tf.io.gfile.exists(file):
        raise InputError(f"{path}: holds no saved_model.pb; was the version copied completely?")
    if tf.io.gfile.exists(f"{path}/saved_model.cpb"):
        raise InputError(f"{path}: holds saved_model.cpb, which is not read; export the model as one saved_model.pb")
    saved_model = saved_model_pb2.SavedModel()
    try:
        with tf.io.gfile.GFile(file, "rb") as stream:
            saved_model.ParseFromString(stream.read())
    except (DecodeError, tf.errors.OpError) as error:
        raise InputError(f"{file}: not a readable SavedModel ({error}); push the version again") from error
    for meta_graph in saved_model.meta_graphs:
        # As a set, as TensorFlow's loader compares them: what it loads is what was checked.
        if set(meta_graph.meta_info_def.tags) == set(_TAGS):
            return meta_graph
    raise InputError(f"{file}: holds no graph tagged `{_TAGS[0]}`; export it with `tf.saved_model.save`")


def _ops(meta_graph: meta_graph_pb2.MetaGraphDef) -> Iterator[str]:
    for node in meta_graph.graph_def.node:
        yield node.op
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            yield node.op


def _register_scann_ops(path: str) -> None:
    try:
        importlib.import_module("scann")
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: the model retrieves with ScaNN, which is not installed; run: pip install 'h2rec-tf[serving]'"
        ) from error
