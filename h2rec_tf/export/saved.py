"""Writing the SavedModel, and what lies beside its graph in `assets.extra`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from h2rec_tf.errors import InputError
from h2rec_tf.export.serving_model import ServingModel
from h2rec_tf.export.signatures import serving_signatures
from h2rec_tf.metrics.protocol import EXCLUDE, Protocol
from h2rec_tf.models.exported import newest_version
from h2rec_tf.names import EXTRA_DIR, LIMITS_FILE
from h2rec_tf.text.base import TextEncoder
from h2rec_tf.text.factory import load_text_encoder

ENCODER_DIR = "text_encoder"


@dataclasses.dataclass(frozen=True)
class ServingLimits:
    """What an exported model was made with.

    Attributes:
        max_length: items of history the model reads.
        max_k: longest list.
        item_block: items scored at once.
        seen_size: last columns of the vectors that only tell what was seen.
        seen: what lists do with items of the history, as `serving.seen`; exports that do not say it leave them out.
    """

    max_length: int
    max_k: int
    item_block: int
    seen_size: int
    seen: str = EXCLUDE

    @classmethod
    def load(cls, directory: str) -> ServingLimits:
        """Of the SavedModel in a directory.

        Raises:
            InputError: it was not exported by this package.
        """
        path = pathlib.Path(directory) / EXTRA_DIR / LIMITS_FILE
        if not path.is_file():
            raise InputError(f"{directory}: no {EXTRA_DIR}/{LIMITS_FILE}; export the model with this package")
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def ranking_protocol(directory: str) -> str:
    """How the `evaluate` signature of a SavedModel ranks: the protocol's name, or "" for an export that does not say.

    Those rank otherwise: seen items compete whatever is served, and equals count against the target.
    """
    path = pathlib.Path(directory) / EXTRA_DIR / LIMITS_FILE
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return Protocol(values["seen"]).name if "seen" in values else ""


def export_model(module: ServingModel, directory: str, *, signatures: Mapping[str, Any] | None = None) -> None:
    """Writes a SavedModel.

    `assets.extra`, which servers pass over, has the limits and, unless item vectors were given, the fitted text encoder
    (`load_text_encoder`) whose vectors `cold_item_embedding` takes.

    Args:
        module: what is exported.
        directory: where; created.
        signatures: more signatures beside the serving ones (the pipeline's feature transform and evaluation).
    """
    tf.saved_model.save(module, directory, signatures={**serving_signatures(module), **(signatures or {})})
    extra = pathlib.Path(directory) / EXTRA_DIR
    extra.mkdir(exist_ok=True)
    limits = ServingLimits(module.max_length, module.max_k, module.item_block, module.seen_size, module.seen)
    (extra / LIMITS_FILE).write_text(json.dumps(dataclasses.asdict(limits)), encoding="utf-8")
    if module.text_encoder is not None:
        module.text_encoder.save(str(extra / ENCODER_DIR))


def exported_text_encoder(directory: str) -> TextEncoder | None:
    """The text encoder that lies beside a SavedModel; None where item vectors were given.

    Args:
        directory: the SavedModel, or a folder of numbered versions of which the newest is taken.

    Raises:
        InputError: no SavedModel there.
    """
    path = newest_version(directory) / EXTRA_DIR / ENCODER_DIR
    return load_text_encoder(str(path)) if path.is_dir() else None
