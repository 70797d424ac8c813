"""Arrays of a NumPy `.npz` file from elsewhere: headers are compared with what is there before anything is read."""

from __future__ import annotations

import math
import os
import zipfile
from typing import IO

import numpy as np
from numpy.lib import format as npy

from h2rec_tf.data.declared_size import check_declared_size
from h2rec_tf.data.problems import MISSING_COLUMN, UNREADABLE_FILE, Problem
from h2rec_tf.data.source_file import reading
from h2rec_tf.errors import InputError

_ENDING = ".npy"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(path: str, names: tuple[str, ...], *, remedy: str) -> list[np.ndarray]:
    """Reads arrays of numbers or text by name.

    `numpy.load` takes the memory that an array's header asks for, whatever follows it.

    Args:
        path: a zip file.
        names: of the arrays.
        remedy: ends the messages.

    Raises:
        InputError: an array is missing, of Python objects, damaged, or says that it is larger than it is.
    """
    with reading(path):
        try:
            with zipfile.ZipFile(path) as archive:
                files = [name.removesuffix(_ENDING) for name in archive.namelist()]
                for name in names:
                    if name not in files:
                        message = f"no array `{name}`; the file has {', '.join(files) or 'none'}; {remedy}"
                        raise Problem(path, None, "", MISSING_COLUMN, message).error()
                return [_read(archive, path, name, remedy) for name in names]
        except (InputError, OSError):
            raise
        # A damaged archive or header raises from many places of zipfile, zlib, ast and tokenize.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise Problem(path, None, "", UNREADABLE_FILE, f"damaged ({reason}); {remedy}").error() from error


def _read(archive: zipfile.ZipFile, path: str, name: str, remedy: str) -> np.ndarray:
    member = archive.getinfo(name + _ENDING)
    check_declared_size(path, name, member.file_size, os.path.getsize(path))
    with archive.open(member) as file:
        shape, fortran_order, kind = _header(file)
        if kind.hasobject or not kind.itemsize or kind.names:
            message = f"an array of Python objects, records or nothing ({kind}); {remedy} as text and as floats"
            raise Problem(path, None, name, UNREADABLE_FILE, message).error()
        count, held = math.prod(shape), member.file_size - file.tell()
        if min(shape, default=0) < 0 or count * kind.itemsize != held:
            message = f"damaged: the header says {list(shape)} of {kind}, and {held:,} bytes follow; {remedy}"
            raise Problem(path, None, name, UNREADABLE_FILE, message).error()
        values = np.frombuffer(file.read(), kind, count)
    return values.reshape(shape, order="F" if fortran_order else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"array format {version[0]}.{version[1]}")
    return _HEADERS[version](file)
