"""Quantizers by kind: from a configuration, or from a saved directory."""

from __future__ import annotations

import importlib
import json
import pathlib
from typing import Any

from h2rec_tf.config import QuantizerConfig
from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.base import CONFIG_FILE, Quantizer

# By name, so that TensorFlow is imported for the RQ-VAE alone.
_CLASSES = {
    "rq_kmeans": "h2rec_tf.quantizers.rq_kmeans:RqKmeans",
    "rq_vae": "h2rec_tf.quantizers.rq_vae:RqVae",
    "pq": "h2rec_tf.quantizers.product_quantizer:ProductQuantizer",
}


def quantizer_class(kind: str) -> type[Quantizer]:
    """The class of a kind: `rq_kmeans`, `rq_vae` or `pq`.

    Raises:
        InputError: no such kind.
    """
    if kind not in _CLASSES:
        raise InputError(f"quantizer: `kind` must be one of {', '.join(_CLASSES)}, got '{kind}'")
    module, name = _CLASSES[kind].split(":")
    found: type[Quantizer] = getattr(importlib.import_module(module), name)
    return found


def make_quantizer(config: QuantizerConfig, *, seed: int = 0) -> Quantizer:
    """The unfitted quantizer that `config` describes."""
    arguments: dict[str, Any] = {
        "levels": config.levels,
        "codes": config.codes,
        "iterations": config.iterations,
        "block_rows": config.batch_size,
        "seed": seed,
    }
    if config.kind == "rq_kmeans":
        arguments["components"] = config.components
    if config.kind == "pq":
        arguments["rotation"] = config.rotation
    if config.kind == "rq_vae":
        arguments |= vars(config.rq_vae)
    return quantizer_class(config.kind).from_config(arguments)


def load_quantizer(directory: str) -> Quantizer:
    """Reads a quantizer of any kind back from the directory that `Quantizer.save` wrote.

    Raises:
        InputError: the directory holds no quantizer.
    """
    path = pathlib.Path(directory) / CONFIG_FILE
    if not path.is_file():
        raise InputError(f"{directory}: no `{CONFIG_FILE}` here; give a directory that a quantizer was saved to")
    return quantizer_class(json.loads(path.read_text(encoding="utf-8"))["kind"]).load(directory)
