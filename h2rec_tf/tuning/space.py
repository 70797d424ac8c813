"""Search spaces: dotted configuration keys with the values to try."""

from __future__ import annotations

import dataclasses
from typing import Any

from h2rec_tf import config_tree
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError

# What decides which data a model sees and how it is measured is no hyperparameter, nor is luck.
_FIXED = ("data.", "evaluation.", "gate.", "serving.", "training.seed")


@dataclasses.dataclass(frozen=True)
class Dimension:
    """The values of one key: `choices`, or the range `low` to `high`, both included.

    Attributes:
        key: dotted, as "model.dropout".
        choices: values to choose from; empty for a range.
        low: of a range; whole numbers at both ends make a range of whole numbers.
        high: of a range.
        log: the range is searched on a logarithmic scale.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False

    def contains(self, value: Any) -> bool:
        """True for a value that the search could propose."""
        return value in self.choices if self.choices else self.low <= value <= self.high

    def suggest(self, trial: Any) -> Any:
        """Optuna's next value."""
        if self.choices:
            return trial.suggest_categorical(self.key, list(self.choices))
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The dimensions of a search.

    Example, as YAML:

        model.hidden_size: [64, 128]
        model.layers: {low: 1, high: 3}
        training.learning_rate: {low: 3.0e-4, high: 4.0e-3, log: true}
    """

    dimensions: tuple[Dimension, ...]

    @classmethod
    def load(cls, path: str, config: Config) -> SearchSpace:
        """Reads a YAML file.

        Args:
            path: the file.
            config: what the values are tried in; every value at the space's edges must be valid there.

        Raises:
            InputError: the file cannot be read, or a key or value is not valid; the message names it.
        """
        values = config_tree.read_yaml(path)
        if not isinstance(values, dict) or not values:
            raise InputError(f"{path}: must hold at least one dotted key with its values, as `model.layers: [1, 2]`")
        try:
            return cls.from_dict(values, config)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any], config: Config) -> SearchSpace:
        """As `load`, from the mapping.

        Raises:
            InputError: a key or value is not valid.
        """
        dimensions = tuple(_dimension(str(key), value) for key, value in values.items())
        for dimension in dimensions:
            for value in dimension.choices or (dimension.low, dimension.high):
                config.replace(**{dimension.key: value})
        return cls(dimensions)

    def start(self, config: Config) -> dict[str, Any] | None:
        """The values that `config` itself has, by key; None where one of them is outside the space."""
        values = {dimension.key: _value(config, dimension.key) for dimension in self.dimensions}
        inside = all(dimension.contains(values[dimension.key]) for dimension in self.dimensions)
        return values if inside else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values that tell one space from another."""
        return {dimension.key: dataclasses.asdict(dimension) for dimension in self.dimensions}


def _dimension(key: str, value: Any) -> Dimension:
    if key.startswith(_FIXED):
        raise InputError(f"`{key}` cannot be searched: it is the same for all trials")
    if isinstance(value, list) and value:
        return Dimension(key, choices=tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise InputError(f"`{key}` must be a list of values or {{low: ..., high: ..., log: true|false}}, got {value!r}")
    low, high, log = _bound(key, value["low"]), _bound(key, value["high"]), value.get("log", False)
    if low >= high or (log and low <= 0):
        raise InputError(f"`{key}` must have low < high, and low > 0 on a logarithmic scale; got {low} and {high}")
    return Dimension(key, low=low, high=high, log=bool(log))


def _bound(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(f"`{key}` must have numbers as low and high, got {value!r}")
    try:
        # YAML 1.1 reads 1e-3 as a string.
        return float(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InputError(f"`{key}` must have numbers as low and high, got {value!r}") from error


def _value(config: Config, key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = getattr(node, part)
    return node
