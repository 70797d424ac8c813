"""What a model server answers, typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import grpc

from h2rec_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One recommended item; a higher score is better and says nothing across users."""

    item_id: str
    title: str
    score: float


@dataclasses.dataclass(frozen=True)
class RankedCandidate:
    """One of the candidates that were to be ranked; `known` is whether the catalogue has it, else its score is void."""

    item_id: str
    score: float
    known: bool


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Type and shape of an input or output; None is a dimension of any size."""

    dtype: str
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class SignatureSpec:
    """Inputs and outputs of a signature by name; inputs in `optional` may be left out."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    optional: frozenset[str]


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """The version that answers and its signatures by name."""

    name: str
    version: int
    signatures: Mapping[str, SignatureSpec]


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of one version (`AVAILABLE`, `LOADING`, ...); `error` is empty unless it could not be loaded."""

    version: int
    state: str
    error: str


class ServerError(InputError):
    """A call failed; the message is one line with the remedy.

    Attributes:
        code: why, as gRPC names it.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
