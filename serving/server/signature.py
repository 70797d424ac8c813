"""One signature of a loaded model: its inputs, outputs and defaults, and the check of a request against them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from h2rec_tf import names
from serving import tensors
from serving.server.errors import RequestError
from serving.server.options import Limits


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """What one input takes.

    Attributes:
        tensor: the graph's tensor that is fed.
        dtype: DataType number.
        shape: None for a dimension of any size; None as a whole for any rank.
    """

    tensor: str
    dtype: int
    shape: tuple[int | None, ...] | None

    @classmethod
    def from_info(cls, info: Any) -> InputSpec:
        """Reads the TensorInfo of a SignatureDef."""
        shape = None
        if not info.tensor_shape.unknown_rank:
            shape = tuple(None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim)
        return cls(tensor=info.name, dtype=info.dtype, shape=shape)

    def check(self, alias: str, dtype: int, shape: Sequence[int] | None) -> None:
        """Compares a tensor's type and shape; no shape is an unknown one.

        Raises:
            RequestError: INVALID_ARGUMENT; another type, rank or size.
        """
        if dtype != self.dtype:
            wanted, given = tensors.dtype_name(self.dtype), tensors.dtype_name(dtype)
            raise RequestError.invalid(f"input `{alias}` must be of type {wanted}, got {given}")
        if self.shape is None:
            return
        fits = shape is not None and len(shape) == len(self.shape)
        if not fits or any(want not in (None, size) for want, size in zip(self.shape, shape or (), strict=True)):
            wanted = ", ".join("?" if size is None else str(size) for size in self.shape)
            given = "an unknown shape" if shape is None else str(list(shape))
            raise RequestError.invalid(
                f"input `{alias}` must be of rank {len(self.shape)} and shape [{wanted}], got {given}"
            )


# Inputs that may grow columns of "" on the left: the model passes over them, wherever they stand.
PADDED = frozenset({names.HISTORY, names.EXCLUDE, names.ALLOW_CATEGORIES})
# Histories up to this many columns share calls; longer ones with those of at most twice their length.
_SHORT = 64


@dataclasses.dataclass(frozen=True)
class Feeds:
    """What one request feeds.

    Attributes:
        arrays: one an input, in the signature's order; strings as object arrays of bytes.
        rows: rows of the inputs that have one row a user or item.
        key: requests with equal keys may share a call; None runs alone.
        row_wise: the positions in `arrays` whose first dimension is the rows; all others are the same for every row.
    """

    arrays: list[np.ndarray]
    rows: int
    key: Hashable
    row_wise: frozenset[int]


class Signature:
    """A signature of one loaded model.

    Args:
        name: its key in the SavedModel.
        definition: its SignatureDef, with `defaults` for inputs that a request may leave out.
    """

    def __init__(self, name: str, definition: Any) -> None:
        self.name = name
        self.inputs = {alias: InputSpec.from_info(definition.inputs[alias]) for alias in sorted(definition.inputs)}
        self.outputs = {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)}
        self._defaults = {alias: tensors.decode(proto) for alias, proto in definition.defaults.items()}
        shapes = [definition.outputs[alias].tensor_shape for alias in self.outputs]
        self._rows_come_back = all(shape.dim and shape.dim[0].size < 0 for shape in shapes)
        # The inputs of the highest rank hold the rows; scalars and lists beside them apply to all rows.
        self._rank = max((len(spec.shape or ()) for spec in self.inputs.values()), default=0)
        # Inputs that a request may not leave out.
        self.required = [alias for alias in self.inputs if alias not in self._defaults]

    def feeds(self, inputs: Mapping[str, Any], limits: Limits) -> Feeds:
        """What to feed for a request's TensorProtos.

        Args:
            inputs: TensorProtos by name; an absent one takes its default.
            limits: the largest request that is answered.

        Raises:
            RequestError: INVALID_ARGUMENT; an input is missing, unknown, of another type or shape, or too large.
        """

        def read(alias: str, proto: Any) -> np.ndarray:
            unknown = proto.tensor_shape.unknown_rank
            shape = None if unknown else [dimension.size for dimension in proto.tensor_shape.dim]
            self._check(alias, proto.dtype, shape, limits)
            try:
                return tensors.decode(proto)
            except ValueError as error:
                raise RequestError.invalid(f"tensor parsing error: {alias}: {error}") from error

        return self._collect(inputs, read, limits)

    def feeds_of_arrays(self, inputs: Mapping[str, np.ndarray], limits: Limits) -> Feeds:
        """The same for arrays, which are of the signature's types already."""

        def read(alias: str, array: np.ndarray) -> np.ndarray:
            self._check(alias, self.inputs[alias].dtype, array.shape, limits)
            return array

        return self._collect(inputs, read, limits)

    def selected(self, output_filter: Iterable[str]) -> set[str]:
        """The outputs that a request asks for; all of them where it names none.

        Raises:
            RequestError: INVALID_ARGUMENT; an unknown or repeated name.
        """
        chosen: set[str] = set()
        for alias in output_filter:
            if alias not in self.outputs:
                raise RequestError.invalid(
                    f"output tensor alias not found in signature: {alias} "
                    f"Outputs expected to be in the set {{{','.join(self.outputs)}}}."
                )
            if alias in chosen:
                raise RequestError.invalid(f"duplicate output tensor alias: {alias}")
            chosen.add(alias)
        return chosen or set(self.outputs)

    def _collect(self, inputs: Mapping[str, Any], read: Callable[[str, Any], np.ndarray], limits: Limits) -> Feeds:
        given = set(inputs)
        extra = given.difference(self.inputs)
        missing = set(self.required).difference(given)
        if extra or missing:
            raise RequestError.invalid(
                f"inputs do not match signature `{self.name}` ({', '.join(self.inputs)}). "
                f"Sent extra: {{{','.join(sorted(extra))}}}. Missing but required: {{{','.join(sorted(missing))}}}."
            )
        arrays: list[np.ndarray] = []
        row_wise: set[int] = set()
        parts: list[Hashable] = [self.name]
        for place, (alias, spec) in enumerate(self.inputs.items()):
            array = read(alias, inputs[alias]) if alias in given else self._defaults[alias]
            if alias == names.K and array.ndim == 0:
                _check_k(alias, array, limits)
            arrays.append(array)
            if alias not in given:
                parts.append(None)
            elif self._rank and spec.shape is not None and len(spec.shape) == self._rank:
                row_wise.add(place)
                parts.append(_width(array) if alias in PADDED and array.ndim == 2 else array.shape[1:])
            else:
                parts.append((array.shape, tuple(array.ravel().tolist())))
        rows = {len(arrays[place]) for place in row_wise}
        shares = self._rows_come_back and len(rows) == 1
        return Feeds(arrays, max(rows, default=1), tuple(parts) if shares else None, frozenset(row_wise))

    def _check(self, alias: str, dtype: int, shape: Sequence[int] | None, limits: Limits) -> None:
        self.inputs[alias].check(alias, dtype, shape)
        if shape and shape[0] > limits.batch_size:
            raise RequestError.invalid(f"input `{alias}` has {shape[0]} rows, at most {limits.batch_size} are taken")
        if alias == names.HISTORY and shape and len(shape) > 1 and shape[1] > limits.history_length:
            raise RequestError.invalid(
                f"input `{alias}` is {shape[1]} long, at most {limits.history_length} are taken: send the latest items"
            )


def _width(array: np.ndarray) -> int:
    return max(_SHORT, 1 << (array.shape[1] - 1).bit_length())


def _check_k(alias: str, array: np.ndarray, limits: Limits) -> None:
    # A Python number compares in a fraction of the time of a NumPy scalar.
    k = array.item()
    if k < 1:
        raise RequestError.invalid(f"input `{alias}` must be at least 1, got {k}")
    if k > limits.k:
        raise RequestError.invalid(f"input `{alias}` must be at most {limits.k}, got {k}")
