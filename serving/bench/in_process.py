"""What gRPC and the server add: the same requests, one after the other, in this process and over the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from h2rec_tf import names

_WARM_UP = 100
# Each way holds a table of the catalogue of its own: taking turns at each call, they would push each other's out of the
# processor's cache.
_TURN = 50


def compare(model_dir: str, ask: Callable[[int], object], histories: Sequence[Sequence[str]], k: int, calls: int):
    """Milliseconds of each way to call, by its name, float64 `[calls]` each.

    The ways take turns of some calls, so that a busy moment of the machine hits them alike.

    Args:
        model_dir: folder with versions; the newest is called.
        ask: asks the server for history number n; the same answer is computed in process.
        histories: item ids, oldest first.
        k: list length.
        calls: measured calls of each way.
    """
    import tensorflow as tf

    from serving.server.options import Limits
    from serving.server.servable import Servable
    from serving.server.versions import list_versions

    version, path = max(list_versions(model_dir).items())
    servable = Servable.load(version, path)
    signature = servable.signature(names.SERVING_DEFAULT)
    loaded = tf.saved_model.load(path).signatures[names.SERVING_DEFAULT]
    arrays = [np.array([[item.encode() for item in history]], object) for history in histories]

    def feeds(number: int) -> list[np.ndarray]:
        inputs = {names.HISTORY: arrays[number], names.K: np.array(k, np.int32)}
        return signature.feeds_of_arrays(inputs, Limits()).arrays

    # `tf.saved_model.load` knows no defaults, so inputs that a request may leave out are made ahead.
    rest = {alias: tf.constant(array) for alias, array in zip(signature.inputs, feeds(0), strict=True)}

    def call_loaded(number: int) -> None:
        outputs = loaded(**{**rest, names.HISTORY: tf.constant(arrays[number]), names.K: tf.constant(k)})
        for tensor in outputs.values():
            tensor.numpy()

    def call_session(number: int) -> None:
        servable.run(signature, feeds(number))

    ways: Mapping[str, Callable[[int], object]] = {
        "in process, tf.saved_model.load": call_loaded,
        "in process, the server's session": call_session,
        "over gRPC": ask,
    }
    times = {name: np.zeros(calls) for name in ways}
    for start in range(-_WARM_UP, calls, _TURN):
        for name, call in ways.items():
            for number in range(start, min(start + _TURN, calls)):
                began = time.perf_counter()
                call(number % len(histories))
                if number >= 0:
                    times[name][number] = (time.perf_counter() - began) * 1e3
    servable.close()
    return times
