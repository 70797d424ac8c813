"""Reading, checking and writing trees of frozen dataclasses."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import pathlib
import typing
from typing import Any, TypeVar

from h2rec_tf.errors import InputError

Tree = TypeVar("Tree")

# The key of a config file that names the file it builds on.
BASE = "base"


def choice(default: str, *others: str) -> Any:
    """A string field that takes one of the given words; the first is the default."""
    return dataclasses.field(default=default, metadata={"choices": (default, *others)})


def choices(default: tuple[str, ...], *others: str) -> Any:
    """A list field of distinct words, each one of the given; the first ones are the default."""
    return dataclasses.field(default=default, metadata={"choices": (*default, *others), "distinct": True})


def number(default: float, *, low: float | None = None, high: float | None = None) -> Any:
    """A numeric field with inclusive bounds."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def to_dict(tree: Any) -> dict[str, Any]:
    """Nested dataclasses, also as values of mappings, as plain dicts; tuples become lists."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(tree):
        value = getattr(tree, field.name)
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        elif isinstance(value, dict):
            value = {key: to_dict(entry) if dataclasses.is_dataclass(entry) else entry for key, entry in value.items()}
        result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def from_dict(cls: type[Tree], values: Any, where: str = "") -> Tree:
    """Builds `cls` from plain values over its defaults.

    Raises:
        InputError: an unknown key, a wrong type or a value out of range; the message gives the dotted name.
    """
    if not isinstance(values, dict):
        raise InputError(f"config: `{where or 'top level'}` must be a mapping of names to values, got {values!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{where}.{key}" if where else str(key)
        if key not in fields:
            raise InputError(f"config: unknown key `{name}`{_nearest(str(key), list(fields))}")
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            arguments[key] = from_dict(hint, value, name)  # type: ignore[arg-type]
        elif typing.get_origin(hint) is dict:
            if not isinstance(value, dict):
                raise InputError(f"config: `{name}` must be a mapping of names to settings, got {value!r}")
            entry = typing.get_args(hint)[1]
            if entry is Any:
                # Checked by what reads it.
                arguments[key] = {str(word): inner for word, inner in value.items()}
                continue
            arguments[key] = {str(word): from_dict(entry, inner, f"{name}.{word}") for word, inner in value.items()}
        else:
            arguments[key] = _checked(value, hint, fields[key].metadata, name)
    return cls(**arguments)


def replace(tree: Tree, values: dict[str, Any]) -> Tree:
    """A copy of `tree` with dotted keys set, checked as `from_dict` checks."""
    plain = to_dict(tree)
    for name, value in values.items():
        node = plain
        *parents, leaf = name.split(".")
        for depth, parent in enumerate(parents):
            if not isinstance(node.get(parent), dict):
                raise InputError(
                    f"config: unknown key `{'.'.join(parents[: depth + 1])}`{_nearest(parent, list(node))}"
                )
            node = node[parent]
        node[leaf] = value
    return from_dict(type(tree), plain)


def read_yaml(path: str) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        InputError: the file is missing, unreadable or not YAML; the message has file and line.
    """
    import yaml

    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        several = "; for several files repeat the option" if "," in path else ""
        raise InputError(f"{path}: no such config file; check the path{several}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the config file: {error}") from error
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error


def read_layers(path: str, *, above: tuple[str, ...] = ()) -> Any:
    """The mapping in a YAML file over that of the file it names as `base`, which may name another.

    `base` is relative to the file that names it. Mappings are joined key by key; other values replace those below.

    Args:
        path: the file.
        above: files that build on it.

    Raises:
        InputError: as `read_yaml` for each file; `base` is no file name or names a file without a mapping, or files
            name each other in a circle.
    """
    if os.path.realpath(path) in map(os.path.realpath, above):
        raise InputError(f"{above[0]}: `base` leads back to {path}; take one `base` of the circle away")
    values = read_yaml(path)
    if not isinstance(values, dict) or BASE not in values:
        return values
    base = values.pop(BASE)
    if not isinstance(base, str):
        raise InputError(f"{path}: `base` must be the name of a config file, got {base!r}")
    base = os.path.join(os.path.dirname(path), base)
    below = read_layers(base, above=(*above, path))
    if not isinstance(below, dict):
        raise InputError(f"{base}: must hold a mapping of sections, got {below!r}")
    return _joined(below, values)


def _joined(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _joined(below.get(key), value) for key, value in above.items()}


def write_yaml(path: str, values: dict[str, Any]) -> None:
    """Writes a mapping as YAML, in its own order."""
    import yaml

    pathlib.Path(path).write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _nearest(key: str, names: list[str]) -> str:
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else f"; known keys: {', '.join(names)}"


def _checked(value: Any, hint: Any, metadata: Any, name: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"config: `{name}` must be a list, got {value!r}")
        inner = typing.get_args(hint)[0]
        items = tuple(_checked(item, inner, metadata, name) for item in value)
        if metadata.get("distinct") and len(set(items)) < len(items):
            raise InputError(f"config: `{name}` names one entry twice: {', '.join(items)}; name each once")
        return items
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a string.
        with contextlib.suppress(ValueError):
            value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"config: `{name}` must be of type {hint.__name__}, got {value!r}")
    choices = metadata.get("choices")
    if choices and value not in choices:
        raise InputError(f"config: `{name}` must be one of {', '.join(choices)}, got '{value}'")
    low, high = metadata.get("low"), metadata.get("high")
    if (low is not None and value < low) or (high is not None and value > high) or value != value:
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise InputError(f"config: `{name}` must be {bounds}, got {value}")
    return value
