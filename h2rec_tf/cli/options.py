"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from h2rec_tf.config import Config

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class DataFiles:
    """The user's files.

    Attributes:
        interactions: path.
        items: path.
        embeddings: path, or None without item vectors.
    """

    interactions: str
    items: str
    embeddings: str | None = None


class _Names(click.ParamType):
    """Names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names, without blanks around them."""
        return value if isinstance(value, tuple) else tuple(name.strip() for name in value.split(","))


def text_flags(prefix: str, key: str, file: str) -> tuple[tuple[str, str, Any, str], ...]:
    """Flags that say how a text file is written.

    Args:
        prefix: what the flags start with, `--` or `--catalogue-`.
        key: what the keys of `DataConfig` start with, "" or `catalogue_`.
        file: what the help calls the file.
    """
    encoding = "utf-8" if prefix == "--" else "--encoding"
    return (
        (
            f"{prefix}delimiter",
            f"{key}delimiter",
            str,
            f"Between fields of the {file} file, as ';', '::', '\\t' [auto].",
        ),
        (f"{prefix}columns", f"{key}columns", _Names(), f"Names of the {file} file's columns: A,B,... [its header]."),
        (
            f"{prefix}header",
            f"{key}header",
            "present",
            f"The {file} file has a header (with --columns, to be left out).",
        ),
        (f"{prefix}no-header", f"{key}header", "none", f"The first row of the {file} file is data."),
        (f"{prefix}quoting", f"{key}quoting", _QUOTING, f"Quotes in the {file} file: around fields, or text [auto]."),
        (f"{prefix}encoding", f"{key}encoding", str, f"Encoding of the {file} file [{encoding}]."),
    )


_QUOTING = click.Choice(["auto", "none", "double"])

# Flag, key in the configuration's `data` part, type or the value that the flag alone sets, help.
_DATA_FLAGS: tuple[tuple[str, str, Any, str], ...] = (
    ("--user-column", "user_column", str, "Column of user ids in the interactions file [user_id]."),
    ("--item-column", "item_column", str, "Column of item ids in the interactions file [item_id]."),
    ("--timestamp-column", "timestamp_column", str, "Column of times: numbers or dates [timestamp]."),
    ("--time", "time", click.Choice(["column", "none"]), "none: no times, take the order of rows [column]."),
    ("--time-unit", "time_unit", click.Choice(["auto", "s", "ms", "us", "ns"]), "Unit of times in numbers [auto]."),
    ("--order-column", "order_column", str, "Column that orders events of a user at one time [a hash does]."),
    ("--repeats", "repeats", click.Choice(["drop", "keep"]), "Rows with user, item and time of another [drop]."),
    ("--catalogue-item-column", "catalogue_item_column", str, "Column of item ids in the items file [--item-column]."),
    ("--title-column", "title_column", str, "Column of titles in the items file [title, else the first text column]."),
    ("--text-column", "text_columns", str, "Text column of the items file; repeat for more [all text columns]."),
    ("--category-column", "category_column", str, "Column of categories that requests may filter by [none]."),
    ("--vector-column", "vector_column", str, "Column of vectors in the items file [none]."),
    *text_flags("--", "", "interactions"),
    *text_flags("--catalogue-", "catalogue_", "items"),
    ("--min-user-interactions", "min_user_interactions", int, "k-core: drop users with fewer [0]."),
    ("--min-item-interactions", "min_item_interactions", int, "k-core: drop items with fewer [0]."),
    ("--split", "split", click.Choice(["leave_one_out", "temporal"]), "How to hold out test data [leave_one_out]."),
    ("--validation-fraction", "validation_fraction", float, "Temporal split: share held out for validation [0.1]."),
    ("--test-fraction", "test_fraction", float, "Temporal split: share held out for the test [0.1]."),
    ("--max-bad-rows", "max_bad_rows", int, "Rejected rows to accept, all files together [0]."),
)


def data_options(command: Command, *, folder: bool = False) -> Command:
    """Gives a command the options that name and describe the user's files.

    The command takes `files: DataFiles` and `config: Config` (the YAML file of `--config` with the flags over it) in
    place of the options.

    Args:
        command: the command's function.
        folder: also takes `--data DIR`, a folder with files of the usual names, in place of the files.

    Raises:
        InputError: when the command runs, the configuration is not valid, or the folder lacks a file.
    """

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        interactions: str | None,
        items: str | None,
        embeddings: str | None,
        config: str | None,
        data: str | None = None,
        **rest: Any,
    ) -> Any:
        flags = {key: rest.pop(key) for key in dict.fromkeys(key for _, key, _, _ in _DATA_FLAGS)}
        files = _data_files(data, interactions, items, embeddings)
        return command(*args, files=files, config=merged_config(config, flags), **rest)

    decorated: Any = wrapped
    decorated = with_flags(decorated, _DATA_FLAGS)
    decorated = click.option("--config", metavar="FILE.yaml", help="Configuration; flags override it.")(decorated)
    for flag, required, text in (
        ("--embeddings", False, "Item vectors: .npz with item_id and embedding, or Parquet."),
        ("--items", not folder, "Items: file, folder or 'pattern*' of CSV, TSV, JSONL (these also .gz) or Parquet."),
        ("--interactions", not folder, "Who took which item when: likewise."),
    ):
        decorated = click.option(flag, required=required, metavar="FILE", help=text)(decorated)
    if folder:
        text = "Folder with interactions.*, items.* and, if there are any, embeddings.*; in place of the files."
        decorated = click.option("--data", metavar="DIR", help=text)(decorated)
    return decorated


def with_flags(command: Command, flags: tuple[tuple[str, str, Any, str], ...]) -> Command:
    """The command with options as `text_flags` describes them."""
    for flag, key, kind, text in reversed(flags):
        if isinstance(kind, str):
            option = click.option(flag, key, flag_value=kind, default=None, help=text)
        else:
            option = click.option(flag, key, type=kind, multiple=key == "text_columns", help=text)
        command = option(command)
    return command


def dataset_options(command: Command) -> Command:
    """`data_options` that also take a folder."""
    return data_options(command, folder=True)


def _data_files(data: str | None, interactions: str | None, items: str | None, embeddings: str | None) -> DataFiles:
    if data is not None:
        from h2rec_tf.data.folder import find_files

        found = find_files(data, interactions=interactions, items=items, embeddings=embeddings)
        return DataFiles(*found)
    if interactions is None or items is None:
        raise click.UsageError("name the data: --data DIR, or --interactions FILE and --items FILE")
    return DataFiles(interactions, items, embeddings)


def merged_config(path: str | None, data_flags: dict[str, Any]) -> Config:
    """The configuration file, or the defaults without one, with the flags that were given over its `data` part.

    Args:
        path: YAML file or None.
        data_flags: key of `DataConfig` -> value; None and empty tuples mean not given.

    Raises:
        InputError: the file or a value is not valid.
    """
    given = {f"data.{key}": value for key, value in data_flags.items() if value is not None and value != ()}
    return (Config.load(path) if path else Config()).replace(**given)
