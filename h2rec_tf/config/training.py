"""What is learned and how: losses, the training loop, the search for hyperparameters."""

from __future__ import annotations

import dataclasses
from typing import Any

from h2rec_tf.config_tree import choice, number


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The next-item loss and the two alignment losses."""

    next_item: str = choice("sampled_softmax", "full_softmax", "bce", "in_batch")
    negatives: int = number(2048, low=1)
    item_alignment: float = number(0.1, low=0.0)
    item_temperature: float = number(0.5, low=1e-4)
    user_alignment: float = number(0.1, low=0.0)
    user_temperature: float = number(1.0, low=1e-4)
    mask_strategy: str = choice("lowest", "highest", "random")
    mask_ratio: float = number(0.5, low=0.0, high=1.0)
    # Positives of the item alignment beside the item itself.
    cooccurrence_positives: int = number(50, low=0)
    cooccurrence_window: int = number(3, low=1)
    # Co-occurrence weight decays by exp(-|t - t'| / this) when above 0, in seconds.
    cooccurrence_time_scale: float = number(0.0, low=0.0)
    code_positives: bool = True
    hard_negatives: int = number(0, low=0)
    # Share of each next-item target that goes to neighbours of the latest items, in other histories and in text.
    teacher: float = number(0.3, low=0.0, high=0.99)
    # The text neighbours' part of it.
    teacher_text: float = number(0.5, low=0.0, high=1.0)
    # Neighbours of an item, of each kind.
    teacher_neighbours: int = number(50, low=1)
    # Of an item's neighbours, how many a step draws; 0 takes all, which is exact and slower.
    teacher_samples: int = number(16, low=0)
    # Latest items whose neighbours count, and the weight of an item relative to the one after it.
    teacher_last: int = number(3, low=1)
    teacher_decay: float = number(0.6, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The training loop."""

    epochs: int = number(12, low=1)
    # An epoch is as many passes over the data as make at least so many steps, so that small data trains long enough.
    min_epoch_steps: int = number(150, low=0)
    # Sequences in a step at most.
    batch_size: int = number(128, low=1)
    # Positions in a step at most, padding counted: long histories make smaller batches; 0 sets no such limit.
    batch_positions: int = number(1024, low=0)
    learning_rate: float = number(2e-3, low=0.0)
    schedule: str = choice("cosine", "constant", "linear")
    warmup_steps: int = number(0, low=0)
    clip_norm: float = number(5.0, low=0.0)
    weight_decay: float = number(0.0, low=0.0)
    # Epochs without a better validation NDCG@10 before training stops.
    patience: int = number(4, low=1)
    # Stops after this many steps in all; 0 means no such limit.
    max_steps: int = number(0, low=0)
    # Validation users used for early stopping; 0 means all.
    validation_users: int = number(0, low=0)
    # Who shares each step: one device, all devices of a machine, or the machines of TF_CONFIG.
    strategy: str = choice("default", "mirrored", "multi_worker")
    precision: str = choice("float32", "mixed_float16", "mixed_bfloat16")
    # The pipeline's Trainer begins with the weights of the last blessed model that was trained on other data.
    warm_start: bool = True
    seed: int = number(0, low=0)


def _tuner_space() -> dict[str, Any]:
    return {
        "training.learning_rate": {"low": 5e-4, "high": 4e-3, "log": True},
        "model.dropout": {"low": 0.1, "high": 0.6},
        "loss.item_alignment": [0.0, 0.1, 0.3],
    }


@dataclasses.dataclass(frozen=True)
class TunerConfig:
    """The pipeline's Tuner, which searches hyperparameters for the highest NDCG@10 on validation."""

    enabled: bool = False
    trials: int = number(10, low=1)
    # Time in trials at most; 0 sets no limit.
    minutes: float = number(0.0, low=0.0)
    # Dotted keys of `model`, `loss` and `training` with a list of values or {low: ..., high: ..., log: true}. A file
    # that names keys replaces the whole mapping.
    space: dict[str, Any] = dataclasses.field(default_factory=_tuner_space)
