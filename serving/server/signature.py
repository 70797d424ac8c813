"""One signature of a loaded model: its inputs, outputs and defaults, and the check of a request against them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from h2rec_tf import names
from h2rec_tf.errors import InputError
from serving import tensors
from serving.budget import STRING_BYTES, Budget, size_of
from serving.server import examples
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


# Inputs that may grow columns of "" on the left: the exported model passes over them, wherever they stand.
_PADDED = frozenset({names.HISTORY, names.EXCLUDE, names.ALLOW_CATEGORIES})
# Histories up to this many columns share calls; longer ones with those of at most twice their length.
_SHORT = 64
# What a model's own default may take.
_DEFAULT_BYTES = 1 << 31


@dataclasses.dataclass(frozen=True)
class Feeds:
    """What one request feeds.

    Attributes:
        arrays: one an input, in the signature's order; strings as object arrays of bytes.
        rows: rows of the inputs that have one row a user or item.
        key: requests with equal keys may share a call; None runs alone.
        row_wise: the positions in `arrays` whose first dimension is the rows; all others are the same for every row.
        bytes: what the arrays take in a shared call, filled to the longest that equal keys allow.
    """

    arrays: list[np.ndarray]
    rows: int
    key: Hashable
    row_wise: frozenset[int]
    bytes: int = 0


class Signature:
    """A signature of one loaded model.

    Args:
        name: its key in the SavedModel.
        definition: its SignatureDef, with `defaults` for inputs that a request may leave out.
        exported: this package exported the model, so that inputs mean what their names say.

    Attributes:
        padded: inputs that may grow columns of "" on the left without a change of the answer.

    Raises:
        InputError: a default cannot be read.
    """

    def __init__(self, name: str, definition: Any, *, exported: bool) -> None:
        self.name = name
        self.padded = _PADDED if exported else frozenset[str]()
        self.inputs = {alias: InputSpec.from_info(definition.inputs[alias]) for alias in sorted(definition.inputs)}
        self.outputs = {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)}
        self._output_types = {alias: definition.outputs[alias].dtype for alias in self.outputs}
        self._defaults = {alias: _default(name, alias, proto) for alias, proto in definition.defaults.items()}
        shapes = [definition.outputs[alias].tensor_shape for alias in self.outputs]
        self._rows_come_back = all(shape.dim and shape.dim[0].size < 0 for shape in shapes)
        # The inputs of the highest rank hold the rows; scalars beside them apply to all rows.
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
        budget = Budget(limits.request_bytes)

        def read(alias: str, proto: Any) -> np.ndarray:
            try:
                self.check(alias, proto.dtype, tensors.shape_of(proto), limits)
                return tensors.decode(proto, budget)
            except ValueError as error:
                raise RequestError.invalid(f"tensor parsing error: {alias}: {error}") from error

        return self._collect(inputs, read, limits, budget)

    def feeds_of_arrays(self, inputs: Mapping[str, np.ndarray], limits: Limits) -> Feeds:
        """The same for arrays, which are of the signature's types already."""
        budget = Budget(limits.request_bytes)

        def read(alias: str, array: np.ndarray) -> np.ndarray:
            self.check(alias, self.inputs[alias].dtype, array.shape, limits)
            try:
                budget.take(size_of(array))
            except ValueError as error:
                raise RequestError.invalid(f"input `{alias}`: {error}") from error
            return array

        return self._collect(inputs, read, limits, budget)

    def check(self, alias: str, dtype: int, shape: Sequence[int] | None, limits: Limits) -> None:
        """Whether an input may have a type and shape; no shape is an unknown one.

        Raises:
            RequestError: INVALID_ARGUMENT; another type, rank or size than the signature's, or larger than allowed.
        """
        self.inputs[alias].check(alias, dtype, shape)
        if shape and shape[0] > limits.batch_size:
            raise RequestError.invalid(f"input `{alias}` has {shape[0]} rows, at most {limits.batch_size} are taken")
        columns = max(shape[1:], default=0) if shape else 0
        if alias == names.HISTORY and columns > limits.history_length:
            raise RequestError.invalid(
                f"input `{alias}` is {columns} long, at most {limits.history_length} are taken: send the latest items"
            )
        if dtype == tensors.STRING and alias != names.HISTORY and columns > limits.list_length:
            raise RequestError.invalid(f"input `{alias}` is {columns} long, at most {limits.list_length} are taken")

    def selected(self, output_filter: Iterable[str]) -> set[str]:
        """The outputs that a request asks for; all of them where it names none.

        Raises:
            RequestError: INVALID_ARGUMENT; an unknown or repeated name. UNIMPLEMENTED; an output of a type that no
                answer can hold.
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
        chosen = chosen or set(self.outputs)
        for alias in sorted(chosen):
            if self._output_types[alias] not in tensors.SUPPORTED:
                kind = tensors.dtype_name(self._output_types[alias])
                raise RequestError.unimplemented(f"output `{alias}` is of type {kind}, which is not served")
        return chosen

    def _collect(
        self, inputs: Mapping[str, Any], read: Callable[[str, Any], np.ndarray], limits: Limits, budget: Budget
    ) -> Feeds:
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
        filled = 0
        shares = self._rows_come_back
        for place, (alias, spec) in enumerate(self.inputs.items()):
            array = read(alias, inputs[alias]) if alias in given else self._defaults[alias]
            longest: list[tuple[str, int]] = []
            if alias in given and alias == names.EXAMPLES and spec.dtype == tensors.STRING and array.ndim == 1:
                array, longest = examples.checked(array, limits, budget)
            if alias == names.K and array.ndim == 0 and array.dtype.kind in "iu":
                _check_k(alias, array, limits)
            if alias not in given:
                parts.append(None)
                # More rows than one may be those of a request's, one by one.
                shares &= array.ndim == 0 or len(array) <= 1
            elif array.ndim == 0:
                # Bytes and not numbers: 0.0 and -0.0 are equal and may be answered differently.
                parts.append(array.item() if array.dtype == object else array.tobytes())
            elif self._rank and spec.shape and len(spec.shape) == self._rank and spec.shape[0] is None:
                row_wise.add(place)
                if longest:
                    parts.append(tuple((feature, _width(length)) for feature, length in longest))
                    filled += len(array) * sum(STRING_BYTES * _width(length) for _, length in longest)
                elif alias in self.padded and array.ndim == 2:
                    width = _width(array.shape[1])
                    parts.append(width)
                    filled += len(array) * STRING_BYTES * (width - array.shape[1])
                else:
                    parts.append(array.shape[1:])
            else:
                # Of fewer dimensions than the rows have, or of a fixed number of them: nobody can tell whose it is.
                shares = False
            arrays.append(array)
        rows = {len(arrays[place]) for place in row_wise}
        return Feeds(
            arrays,
            rows=max(rows, default=1),
            key=tuple(parts) if shares and len(rows) == 1 else None,
            row_wise=frozenset(row_wise),
            bytes=budget.used + filled,
        )


def _default(signature: str, alias: str, proto: Any) -> np.ndarray:
    try:
        return tensors.decode(proto, Budget(_DEFAULT_BYTES))
    except ValueError as error:
        raise InputError(f"signature `{signature}`: the default of input `{alias}` cannot be read: {error}") from error


def _width(columns: int) -> int:
    """Lists whose lengths have this in common may share a call."""
    return max(_SHORT, 1 << (columns - 1).bit_length())


def _check_k(alias: str, array: np.ndarray, limits: Limits) -> None:
    # A Python number compares in a fraction of the time of a NumPy scalar.
    k = array.item()
    if k < 1:
        raise RequestError.invalid(f"input `{alias}` must be at least 1, got {k}")
    if k > limits.k:
        raise RequestError.invalid(f"input `{alias}` must be at most {limits.k}, got {k}")
