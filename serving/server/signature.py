"""One signature of a loaded model: its inputs, outputs and defaults, and the check of a request against them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

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
    def from_info(cls, info: meta_graph_pb2.TensorInfo) -> InputSpec:
        """Reads the TensorInfo of a SignatureDef."""
        shape = None
        if not info.tensor_shape.unknown_rank:
            shape = tuple(None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim)
        return cls(tensor=info.name, dtype=info.dtype, shape=shape)

    def check(self, alias: str, proto: tensor_pb2.TensorProto) -> None:
        """Compares a tensor's declared type and shape.

        Raises:
            RequestError: INVALID_ARGUMENT; another type, rank or size.
        """
        if proto.dtype != self.dtype:
            given = tensors.dtype_name(proto.dtype)
            raise RequestError.invalid(f"input `{alias}` must be of type {tensors.dtype_name(self.dtype)}, got {given}")
        if self.shape is None:
            return
        shape = [dimension.size for dimension in proto.tensor_shape.dim]
        fits = len(shape) == len(self.shape) and not proto.tensor_shape.unknown_rank
        if not fits or any(want not in (None, size) for want, size in zip(self.shape, shape, strict=True)):
            wanted = ", ".join("?" if size is None else str(size) for size in self.shape)
            raise RequestError.invalid(
                f"input `{alias}` must be of rank {len(self.shape)} and shape [{wanted}], got {shape}"
            )


class Signature:
    """A signature of one loaded model.

    Args:
        name: its key in the SavedModel.
        definition: its SignatureDef, with `defaults` for inputs that a request may leave out.
    """

    def __init__(self, name: str, definition: meta_graph_pb2.SignatureDef) -> None:
        self.name = name
        self.inputs = {alias: InputSpec.from_info(definition.inputs[alias]) for alias in sorted(definition.inputs)}
        self.outputs = {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)}
        self._defaults = {alias: tensors.decode(proto) for alias, proto in definition.defaults.items()}

    def feeds(self, inputs: Mapping[str, tensor_pb2.TensorProto], limits: Limits) -> list[np.ndarray]:
        """The arrays to feed, in the order of `self.inputs`; an absent input takes its default.

        Args:
            inputs: a request's inputs.
            limits: the largest request that is answered.

        Raises:
            RequestError: INVALID_ARGUMENT; an input is missing, unknown, of another type or shape, or too large.
        """
        given = set(inputs)
        extra = given - set(self.inputs)
        missing = set(self.inputs) - given - set(self._defaults)
        if extra or missing:
            raise RequestError.invalid(
                f"inputs do not match signature `{self.name}` ({', '.join(self.inputs)}). "
                f"Sent extra: {{{','.join(sorted(extra))}}}. Missing but required: {{{','.join(sorted(missing))}}}."
            )
        feeds = []
        for alias, spec in self.inputs.items():
            if alias in given:
                proto = inputs[alias]
                spec.check(alias, proto)
                _check_size(alias, proto, limits)
                try:
                    array = tensors.decode(proto)
                except ValueError as error:
                    raise RequestError.invalid(f"tensor parsing error: {alias}: {error}") from error
                _check_k(alias, array)
                feeds.append(array)
            else:
                feeds.append(self._defaults[alias])
        return feeds

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


def _check_size(alias: str, proto: tensor_pb2.TensorProto, limits: Limits) -> None:
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if shape and shape[0] > limits.batch_size:
        raise RequestError.invalid(f"input `{alias}` has {shape[0]} rows, at most {limits.batch_size} are taken")
    if alias == names.HISTORY and len(shape) > 1 and shape[1] > limits.history_length:
        raise RequestError.invalid(
            f"input `{alias}` is {shape[1]} long, at most {limits.history_length} are taken: send the latest items"
        )


def _check_k(alias: str, array: np.ndarray) -> None:
    if alias == names.K and array.ndim == 0 and array < 1:
        raise RequestError.invalid(f"input `{alias}` must be at least 1, got {array}")
