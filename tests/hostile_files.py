"""Files that try to do more than hold data, made from first principles."""

from __future__ import annotations

import os
import pathlib
import pickle

import pyarrow as pa
from pyarrow import parquet


class _Touch:
    """Unpickled, it makes a file."""

    def __init__(self, marker: pathlib.Path):
        self._marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self._marker}'",)


def write_running_parquet(
    path: pathlib.Path, marker: pathlib.Path, columns: dict[str, list[str]], *, pickled: bytes = b""
) -> None:
    """A Parquet file whose schema says that its first column is a Python object; its pickle makes `marker`.

    Args:
        path: the file.
        marker: made by whoever runs the pickle.
        columns: name -> texts.
        pickled: another pickle.
    """
    kind = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickled or pickle.dumps(_Touch(marker)),
    }
    fields = [pa.field(name, pa.string(), metadata=None if place else kind) for place, name in enumerate(columns)]
    table = pa.table([pa.array(values, pa.string()) for values in columns.values()], schema=pa.schema(fields))
    parquet.write_table(table, path)
