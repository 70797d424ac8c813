"""Training from a configuration: the edge where the config tree becomes keyword arguments."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.models.build import build_model
from h2rec_tf.semantic_ids import SemanticIds
from h2rec_tf.training.loop import TrainingResult, train


def train_configured(
    config: Config,
    semantic_ids: SemanticIds,
    train_split: Sequences,
    validation: Holdout,
    *,
    directory: str | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Builds and trains the configured model.

    Args:
        config: sections `model`, `loss` and `training` are read.
        semantic_ids: codes, codebooks and text vectors of the catalogue that the splits index.
        train_split: what is learned from.
        validation: what early stopping looks at.
        directory: as for `train`.
        on_epoch: as for `train`.
        progress: as for `train`.

    Raises:
        InputError, H2RecError: as `train`, and where the configuration names a floor.
    """
    if config.floor.kind != "none":
        raise InputError(
            f"config: `floor.kind` is {config.floor.kind}, which has nothing to train; measure it with"
            " `h2rec bench quality`, or leave `floor` out to train the model"
        )
    return train(
        lambda: build_model(
            model=config.model,
            loss=config.loss,
            codes=semantic_ids.codes,
            codebooks=semantic_ids.codebooks,
            vectors=semantic_ids.vectors,
            train=train_split,
            seed=config.training.seed,
        ),
        train_split,
        validation,
        max_length=config.model.max_length,
        codes=semantic_ids.codes,
        directory=directory,
        run_key=json.dumps([dataclasses.asdict(config.model), dataclasses.asdict(config.loss)]),
        on_epoch=on_epoch,
        progress=progress,
        **{field.name: getattr(config.training, field.name) for field in dataclasses.fields(config.training)},
    )
