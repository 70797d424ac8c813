"""Named model configurations: one YAML file each, compared on the same data and by the same measures."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from h2rec_tf import config_tree
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError

# Parts of the tree that are the benchmark's own, not a model's: all models share them, and the key `serving.seen`.
SHARED_SECTIONS = ("data", "evaluation")
# Parts that can change a model or its figures. The data have a hash of their own, and what only the pipeline reads
# must not make a finished run look like another one.
_RELEVANT_SECTIONS = ("text", "quantizer", "model", "loss", "training", "evaluation", "floor")


@dataclasses.dataclass(frozen=True)
class NamedConfiguration:
    """A model to measure.

    Attributes:
        name: the file's name without its ending.
        config: the file over the shared sections.
    """

    name: str
    config: Config

    def replace(self, **values: Any) -> NamedConfiguration:
        """A copy with dotted keys of the configuration changed."""
        return NamedConfiguration(self.name, self.config.replace(**values))

    @property
    def is_floor(self) -> bool:
        """True where nothing is trained, so that seeds make no difference."""
        return self.config.floor.kind != "none"

    @property
    def hash(self) -> str:
        """16 hex digits over all values that can change the figures, the seed apart."""
        return configuration_hash(self.config)


def configuration_hash(config: Config) -> str:
    """16 hex digits over all values that can change the figures of a run, the seed apart."""
    values = {name: part for name, part in config.to_dict().items() if name in _RELEVANT_SECTIONS}
    # Validation and evaluation rank by it.
    values["seen"] = config.serving.seen
    floor = config.floor.kind != "none"
    for name in ("quantizer", "model", "loss", "training") if floor else ("floor",):
        del values[name]
    if not floor:
        del values["training"]["seed"]
    # Where vectors are kept does not change them.
    del values["text"]["cache_dir"]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def read_configuration(path: str, shared: Config) -> NamedConfiguration:
    """Reads one file.

    Args:
        path: YAML; the file's name without its ending is the model's name.
        shared: gives the sections that all models share.

    Raises:
        InputError: the file cannot be read, is not valid, or sets a shared section.
    """
    values = config_tree.read_layers(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold a mapping of sections, got {values!r}")
    for name in SHARED_SECTIONS:
        if name in values:
            raise InputError(f"{path}: `{name}` must be the same for all models; move it to the file given to --config")
    own = values.get("serving")
    if isinstance(own, dict) and "seen" in own:
        raise InputError(
            f"{path}: `serving.seen` must be the same for all models; move it to the file given to --config"
        )
    try:
        config = Config.from_dict(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    config = dataclasses.replace(config, **{name: getattr(shared, name) for name in SHARED_SECTIONS})
    serving = dataclasses.replace(config.serving, seen=shared.serving.seen)
    return NamedConfiguration(pathlib.Path(path).stem, dataclasses.replace(config, serving=serving))


def read_configurations(paths: Sequence[str], shared: Config) -> list[NamedConfiguration]:
    """Reads files, as `read_configuration`.

    Raises:
        InputError: as there, no file, or two of one name.
    """
    if not paths:
        raise InputError("no model to measure; name at least one configuration file with --models")
    found = [read_configuration(path, shared) for path in paths]
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"--models: more than one file is called {', '.join(twice)}; results go by the file's name")
    return found
