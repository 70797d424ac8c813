"""Serialized tf.Example messages: what is in them, before a model makes a rectangle of it."""

from __future__ import annotations

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.example import example_pb2

from h2rec_tf import names
from serving import protocol
from serving.budget import STRING_BYTES, Budget
from serving.server.errors import RequestError
from serving.server.options import Limits

_NUMBER_BYTES = 8


def checked(examples: np.ndarray, limits: Limits, budget: Budget) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Holds the lists in serialized examples to the limits of inputs of their own.

    A model parses them to a rectangle: one long list makes every row as long.

    Args:
        examples: object `[B]` of bytes.
        limits: the largest request that is answered.
        budget: that the rectangles are taken from.

    Returns:
        The examples, serialized anew, and the length of the longest list of each feature, by name. Anew, because
        parsers differ in what they make of a field that stands there twice: the model reads what was counted.

    Raises:
        RequestError: INVALID_ARGUMENT; a row is no tf.Example, or a list is too long.
    """
    result = np.empty(len(examples), object)
    longest: dict[str, int] = {}
    size = 0
    for row, serialized in enumerate(examples):
        try:
            example = protocol.parse(example_pb2.Example, serialized)
        except DecodeError as error:
            raise RequestError.invalid(f"input `{names.EXAMPLES}` row {row} is not a serialized tf.Example") from error
        for name, feature in example.features.feature.items():
            kind = feature.WhichOneof("kind")
            length = len(getattr(feature, kind).value) if kind else 0
            if length > longest.get(name, -1):
                width = STRING_BYTES if kind == "bytes_list" else _NUMBER_BYTES
                size += len(examples) * width * (length - longest.get(name, 0))
                longest[name] = length
        result[row] = example.SerializeToString()
    most = {
        names.HISTORY: limits.history_length,
        names.EXCLUDE: limits.list_length,
        names.ALLOW_CATEGORIES: limits.list_length,
    }
    for name, length in longest.items():
        if length > most.get(name, length):
            raise RequestError.invalid(
                f"input `{names.EXAMPLES}`: feature `{name}` is {length} long, at most {most[name]} are taken"
            )
    try:
        budget.take(size)
    except ValueError as error:
        raise RequestError.invalid(f"input `{names.EXAMPLES}`: {error}") from error
    return result, sorted(longest.items())
