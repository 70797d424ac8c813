"""The one door to Parquet: no other module opens such files, and nothing in one is ever run.

Arrow before 14.0.1 unpickles extension types out of a file's schema, and a pickle can run any command
(CVE-2023-47248). `pyarrow_hotfix` takes that away; importing it here, beside the only reader, means that no file is
opened without it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow_hotfix
from pyarrow import parquet

from h2rec_tf.data.problems import UNREADABLE_FILE, Problem
from h2rec_tf.data.source_file import reading

# Another package of the process may have taken it out again.
pyarrow_hotfix.install()
_PYTHON_OBJECT = "arrow.py_extension_type"


@contextlib.contextmanager
def open_parquet(path: str | os.PathLike[str]) -> Iterator[parquet.ParquetFile]:
    """Opens a file; errors of reading it within the block are turned into one that names it, too.

    Raises:
        InputError: no such file, not Parquet, damaged, or with a type that only code in the file could make.
    """
    name = os.fspath(path)
    with reading(name):
        file = _open(name)
        with file:
            try:
                yield file
            except (pa.ArrowException, UnicodeDecodeError) as error:
                raise _unreadable(name, error) from error


def write_parquet(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Writes a table.

    Raises:
        OSError: it could not be written.
    """
    parquet.write_table(table, os.fspath(path))


def _open(name: str) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(name)
    except OSError:
        raise
    # The schema is read here. What the hotfix raises on its way through a hostile one has no common type.
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> Exception:
    if _PYTHON_OBJECT in str(error):
        message = (
            "refused: a column's type is a Python object, which only code in the file could make; write the table "
            "again with plain types"
        )
    else:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"not readable as Parquet: {reason}; write or copy the file again"
    return Problem(name, None, "", UNREADABLE_FILE, message).error()
