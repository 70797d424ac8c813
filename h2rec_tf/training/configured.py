"""Training from a configuration: the edge where the config tree becomes keyword arguments."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.models.build import build_model
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.semantic_ids import SemanticIds
from h2rec_tf.training.loop import TrainingResult, train
from h2rec_tf.training.warm_start import warm_start

_LOG = logging.getLogger(__name__)


def train_configured(
    config: Config,
    semantic_ids: SemanticIds,
    train_split: Sequences,
    validation: Holdout,
    *,
    directory: str | None = None,
    base: str | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Builds and trains the configured model.

    Args:
        config: sections `model`, `loss`, `training` and the policy `serving.seen` are read.
        semantic_ids: codes, codebooks and text vectors of the catalogue that the splits index.
        train_split: what is learned from.
        validation: what early stopping looks at.
        directory: as for `train`.
        base: directory of a `TrainedModel` to start from; where it does not fit, the model starts fresh and the log
            says why. None starts fresh.
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

    def build() -> H2Rec:
        model = build_model(
            model=config.model,
            loss=config.loss,
            codes=semantic_ids.codes,
            codebooks=semantic_ids.codebooks,
            vectors=semantic_ids.vectors,
            train=train_split,
            seed=config.training.seed,
        )
        if base is not None:
            _LOG.info("%s", warm_start(model, config=config, semantic_ids=semantic_ids, base=base))
        return model

    settings = {field.name: getattr(config.training, field.name) for field in dataclasses.fields(config.training)}
    # Whether there is a `base` to start from is the caller's decision.
    settings.pop("warm_start")
    return train(
        build,
        train_split,
        validation,
        max_length=config.model.max_length,
        seen=config.serving.seen,
        codes=semantic_ids.codes,
        directory=directory,
        run_key=json.dumps([dataclasses.asdict(config.model), dataclasses.asdict(config.loss)]),
        on_epoch=on_epoch,
        progress=progress,
        **settings,
    )
