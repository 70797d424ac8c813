"""Arrays from and to JSON, in the row and the column format of TensorFlow Serving's REST API."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving import tensors
from serving.budget import STRING_BYTES, Budget
from serving.server.errors import RequestError
from serving.server.options import Limits
from serving.server.signature import Signature

_MOST_DIMENSIONS = 8
_BASE64 = "b64"
# What Python takes for a value, a list and an object in parsed JSON, beside the bytes that they have there.
_VALUE_BYTES, _LIST_BYTES, _OBJECT_BYTES = 24, 64, 240


def check_json_bytes(body: bytes, most: int) -> None:
    """Holds a body to the bytes that it takes once it is parsed, before it is.

    Commas and brackets inside of strings count too: to tell them apart would be to parse.

    Raises:
        RequestError: INVALID_ARGUMENT; it takes more than `most`.
    """
    size = len(body) + _VALUE_BYTES * body.count(b",")
    size += _LIST_BYTES * body.count(b"[") + _OBJECT_BYTES * body.count(b"{")
    if size > most:
        raise RequestError.invalid(
            f"the body takes {size} bytes parsed, at most {most} are taken: send fewer rows, or use gRPC"
        )


def inputs_of(body: Mapping[str, Any], signature: Signature, limits: Limits) -> dict[str, np.ndarray]:
    """The inputs of a predict request.

    Args:
        body: the parsed JSON object, with `instances` (row format) or `inputs` (column format).
        signature: what they are for.
        limits: the largest request that is answered; nothing is made of lists that are longer.

    Raises:
        RequestError: INVALID_ARGUMENT; neither or both, or values that do not fit the signature or the limits.
    """
    if ("instances" in body) == ("inputs" in body):
        raise RequestError.invalid("the request must hold exactly one of `instances` and `inputs`")
    if "instances" in body:
        columns = _columns(body["instances"], signature)
    elif _is_named(body["inputs"]):
        columns = body["inputs"]
    else:
        columns = {_only_input(signature): body["inputs"]}
    arrays = {}
    budget = Budget(limits.request_bytes)
    for alias, value in columns.items():
        if alias not in signature.inputs:
            known = ", ".join(signature.inputs)
            raise RequestError.invalid(f"input `{alias}` is unknown; signature `{signature.name}` takes {known}")
        try:
            arrays[alias] = _array(alias, value, signature, limits, budget)
        except ValueError as error:
            raise RequestError.invalid(f"input `{alias}`: {error}") from error
    return arrays


def predictions_of(outputs: Mapping[str, np.ndarray]) -> list[Any]:
    """Outputs in row format: one value a row, or one object a row where there are several outputs.

    Raises:
        RequestError: FAILED_PRECONDITION; the outputs have no common rows.
    """
    sizes = {len(array) if array.ndim else -1 for array in outputs.values()}
    if len(sizes) != 1 or -1 in sizes:
        raise RequestError.failed_precondition("the outputs have no common rows; ask with `inputs`, the column format")
    columns = {alias: _plain(alias, array) for alias, array in outputs.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def outputs_of(outputs: Mapping[str, np.ndarray]) -> Any:
    """Outputs in column format: an object of them, or the value alone where there is one."""
    columns = {alias: _plain(alias, array) for alias, array in outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _columns(instances: Any, signature: Signature) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise RequestError.invalid("`instances` must be a list with at least one row")
    if not any(_is_named(row) for row in instances):
        return {_only_input(signature): instances}
    first = instances[0]
    for number, row in enumerate(instances):
        if not _is_named(row) or not _is_named(first) or row.keys() != first.keys():
            raise RequestError.invalid(f"row {number} of `instances` must be an object with the inputs of row 0")
    columns: dict[str, Any] = {}
    for alias in first:
        values = [row[alias] for row in instances]
        spec = signature.inputs.get(alias)
        if spec is not None and spec.shape == ():
            # The row format has no place for a value that is the same for all rows: it is repeated.
            first_value = values[0]
            if isinstance(first_value, list) or _is_named(first_value):
                raise RequestError.invalid(f"input `{alias}` must be one value, got a list or an object")
            if any(type(value) is not type(first_value) or value != first_value for value in values):
                raise RequestError.invalid(f"input `{alias}` must be the same in all rows of `instances`")
            columns[alias] = values[0]
        else:
            columns[alias] = values
    return columns


def _only_input(signature: Signature) -> str:
    required = signature.required
    if len(required) != 1:
        raise RequestError.invalid(f"name the inputs of signature `{signature.name}`: {', '.join(signature.inputs)}")
    return required[0]


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {_BASE64}


def _array(alias: str, value: Any, signature: Signature, limits: Limits, budget: Budget) -> np.ndarray:
    spec = signature.inputs[alias]
    if alias in signature.padded and isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        width = max(map(len, value))
        signature.check(alias, spec.dtype, (len(value), width), limits)
        budget.check(STRING_BYTES * len(value) * width)
        value = [[""] * (width - len(row)) + row for row in value]
    leaves: list[Any] = []
    shape = _flatten(alias, value, leaves, 0)
    if spec.shape is not None and 0 in shape and len(shape) < len(spec.shape):
        # `[]` tells nothing of the dimensions inside.
        shape += (0,) * (len(spec.shape) - len(shape))
    if spec.dtype not in tensors.SUPPORTED:
        raise RequestError.unimplemented(f"input `{alias}` is of a type that JSON cannot give; use gRPC")
    dtype = tensors.numpy_dtype(spec.dtype)
    if spec.dtype == tensors.STRING:
        budget.take(STRING_BYTES * len(leaves))
        array = np.empty(len(leaves), object)
        array[:] = [_bytes(alias, leaf) for leaf in leaves]
        budget.take(sum(map(len, array.tolist())))
        return array.reshape(shape)
    budget.take(dtype.itemsize * len(leaves))
    return _numbers(alias, leaves, dtype).reshape(shape)


def _flatten(alias: str, value: Any, leaves: list[Any], depth: int) -> tuple[int, ...]:
    if not isinstance(value, list):
        leaves.append(value)
        return ()
    if depth == _MOST_DIMENSIONS:
        raise RequestError.invalid(f"input `{alias}` has more than {_MOST_DIMENSIONS} dimensions")
    shapes = {_flatten(alias, item, leaves, depth + 1) for item in value}
    if len(shapes) > 1:
        raise RequestError.invalid(f"input `{alias}` must have rows of equal length and depth")
    return (len(value), *(shapes.pop() if shapes else ()))


def _bytes(alias: str, leaf: Any) -> bytes:
    try:
        if isinstance(leaf, str):
            return leaf.encode()
        if isinstance(leaf, dict) and set(leaf) == {_BASE64} and isinstance(leaf[_BASE64], str):
            return base64.b64decode(leaf[_BASE64], validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise RequestError.invalid(f"input `{alias}` holds a string that is not valid Unicode or base64") from error
    raise RequestError.invalid(f"input `{alias}` must hold strings, got {_json_type(leaf)}")


def _numbers(alias: str, leaves: list[Any], dtype: np.dtype) -> np.ndarray:
    wanted = {"b": (bool,), "f": (int, float)}.get(dtype.kind, (int,))
    for leaf in leaves:
        if not isinstance(leaf, wanted) or (isinstance(leaf, bool) and dtype.kind != "b"):
            raise RequestError.invalid(f"input `{alias}` must be of type {dtype.name}, got {_json_type(leaf)}")
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        for leaf in leaves:
            if not bounds.min <= leaf <= bounds.max:
                raise RequestError.invalid(f"input `{alias}` holds a number that {dtype.name} cannot")
    try:
        with np.errstate(over="raise"):
            return np.array(leaves, dtype)
    except (OverflowError, FloatingPointError) as error:
        raise RequestError.invalid(f"input `{alias}` holds a number that {dtype.name} cannot") from error


def _json_type(leaf: Any) -> str:
    if leaf is None:
        return "null"
    if isinstance(leaf, dict):
        return "an object"
    return {bool: "a boolean", str: "a string", int: "a number", float: "a number"}[type(leaf)]


def _plain(alias: str, array: np.ndarray) -> Any:
    if array.dtype != object:
        return _finite(array)
    texts = np.empty(array.size, object)
    texts[:] = [_text(alias, value) for value in array.ravel().tolist()]
    return texts.reshape(array.shape).tolist()


def _finite(array: np.ndarray) -> Any:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    # JSON has no infinity; a reader of TensorFlow Serving's answers would fail on it.
    flat = [value if math.isfinite(value) else None for value in array.ravel().tolist()]
    nulls = np.empty(array.size, object)
    nulls[:] = flat
    return nulls.reshape(array.shape).tolist()


def _text(alias: str, value: bytes) -> Any:
    if not alias.endswith("_bytes"):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {_BASE64: base64.b64encode(value).decode()}
