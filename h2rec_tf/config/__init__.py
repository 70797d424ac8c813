"""The configuration: one frozen tree of dataclasses, read from and written to YAML.

It lives at the edges (files, command line, TFX `custom_config`). Code inside takes explicit keyword arguments.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from h2rec_tf import config_tree
from h2rec_tf.config.cloud import CloudConfig, CloudPushConfig, CloudTrainerConfig
from h2rec_tf.config.data import DataConfig, ValidationConfig
from h2rec_tf.config.evaluation import EvaluationConfig, GateConfig, SliceGateConfig
from h2rec_tf.config.floor import FloorConfig, ItemKnnConfig, TextNeighboursConfig
from h2rec_tf.config.model import ModelConfig
from h2rec_tf.config.semantic_ids import CodebookConfig, QuantizerConfig, RqVaeConfig, TextConfig
from h2rec_tf.config.serving import IndexConfig, ServingConfig
from h2rec_tf.config.training import LossConfig, TrainingConfig, TunerConfig

__all__ = [
    "CloudConfig",
    "CloudPushConfig",
    "CloudTrainerConfig",
    "CodebookConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "FloorConfig",
    "GateConfig",
    "IndexConfig",
    "ItemKnnConfig",
    "LossConfig",
    "ModelConfig",
    "QuantizerConfig",
    "RqVaeConfig",
    "ServingConfig",
    "SliceGateConfig",
    "TextConfig",
    "TextNeighboursConfig",
    "TrainingConfig",
    "TunerConfig",
    "ValidationConfig",
]


_LOG = logging.getLogger(__name__)
_OLD_KEY = "exclude_seen"


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole tree."""

    data: DataConfig = DataConfig()
    text: TextConfig = TextConfig()
    quantizer: QuantizerConfig = QuantizerConfig()
    codebooks: CodebookConfig = CodebookConfig()
    validation: ValidationConfig = ValidationConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    tuner: TunerConfig = TunerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    floor: FloorConfig = FloorConfig()
    gate: GateConfig = GateConfig()
    serving: ServingConfig = ServingConfig()
    cloud: CloudConfig = CloudConfig()
    index: IndexConfig = IndexConfig()

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for YAML or JSON."""
        return config_tree.to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The tree with `values` over the defaults.

        `evaluation.exclude_seen`, which files of earlier versions may hold, is passed over with a warning.

        Raises:
            InputError: an unknown key (the nearest right name is given), a wrong type, or a value out of range.
        """
        return config_tree.from_dict(cls, _without_old_keys(values))

    def replace(self, **values: Any) -> Config:
        """A copy with dotted keys changed: `config.replace(**{"model.layers": 1})`.

        Raises:
            InputError: as `from_dict`.
        """
        return config_tree.replace(self, values)

    @classmethod
    def load(cls, path: str) -> Config:
        """Reads a YAML file, over the one it names as `base` if it does; keys that are absent keep their defaults.

        Raises:
            InputError: as `read_layers` of `h2rec_tf.config_tree`, or as `from_dict`.
        """
        return cls.from_dict(config_tree.read_layers(path))

    def save(self, path: str) -> None:
        """Writes the whole tree as YAML."""
        config_tree.write_yaml(path, self.to_dict())


def _without_old_keys(values: Any) -> Any:
    evaluation = values.get("evaluation") if isinstance(values, dict) else None
    if not isinstance(evaluation, dict) or _OLD_KEY not in evaluation:
        return values
    _LOG.warning(
        "config: `evaluation.%s: %s` has no effect: evaluation ranks as `serving.seen` (exclude or include) serves;"
        " take it out",
        _OLD_KEY,
        str(evaluation[_OLD_KEY]).lower(),
    )
    return {**values, "evaluation": {key: value for key, value in evaluation.items() if key != _OLD_KEY}}
