"""Writes docs/configuration.md from the configuration's own source: defaults, accepted values and comments."""

from __future__ import annotations

import dataclasses
import inspect
import pathlib
import re
import sys
from typing import Any

from h2rec_tf import config

TARGET = pathlib.Path(__file__).parents[1] / "docs" / "configuration.md"
HEADER = """# Configuration

One YAML file for the command line and the pipeline (`--config FILE.yaml`). Keys that are absent keep their defaults; an
unknown key, a wrong type or a value out of range is refused with the nearest right name.

```yaml
model:
  hidden_size: 128
training:
  epochs: 30
```

A file may build on another, named relative to itself; what it sets replaces what that one sets, key by key:

```yaml
base: common.yaml
training:
  learning_rate: 1.0e-3
```

This page is made by `python scripts/configuration_reference.py`.
"""


def render() -> str:
    """The page."""
    return HEADER + "".join(_section(field.name, field.default) for field in dataclasses.fields(config.Config))


def _section(name: str, tree: Any) -> str:
    rows, nested = [], []
    comments = _comments(type(tree))
    for field in dataclasses.fields(tree):
        value = getattr(tree, field.name)
        if dataclasses.is_dataclass(value):
            nested.append(_section(f"{name}.{field.name}", value))
            continue
        if isinstance(value, dict) and "Any" not in str(field.type):
            entry = getattr(config, str(field.type).removeprefix("dict[str, ").removesuffix("]"))
            nested.append(_section(f"{name}.{field.name}.NAME", entry()))
        shown = list(value) if isinstance(value, tuple) else value
        shown = '""' if shown == "" else shown
        rows.append(f"| `{field.name}` | `{shown}` | {_accepted(field)} | {comments.get(field.name, '')} |\n")
    head = (
        f"\n## `{name}`\n\n{inspect.getdoc(type(tree))}\n\n| key | default | accepted | meaning |\n|---|---|---|---|\n"
    )
    return head + "".join(rows) + "".join(nested)


def _accepted(field: dataclasses.Field[Any]) -> str:
    choices = field.metadata.get("choices")
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    low, high = field.metadata.get("low"), field.metadata.get("high")
    if str(field.type).startswith("dict["):
        return "mapping"
    if low is None:
        return str(field.type).removeprefix("tuple[").removesuffix(", ...]")
    return f"{field.type}, at least {low}" if high is None else f"{field.type}, {low} to {high}"


def _comments(cls: type) -> dict[str, str]:
    """Field -> the comment lines right above it."""
    found: dict[str, str] = {}
    pending: list[str] = []
    for line in inspect.getsource(cls).splitlines():
        text = line.strip()
        if text.startswith("#"):
            pending.append(text.lstrip("# "))
            continue
        match = re.match(r"(\w+):", text)
        if match and pending:
            found[match.group(1)] = " ".join(pending)
        pending = []
    return found


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(f"written {TARGET}", file=sys.stderr)
