"""An object store in memory for TFX and Beam: TensorFlow's `ram://`, where a folder is there while it has a file.

TensorFlow's own listing of a `ram://` folder also gives the children of others whose names begin alike (`model`,
`model_run`), its rename of a folder leaves the files behind, and its writer appends to an old file; here none is so.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tensorflow as tf
from apache_beam.io import filesystem
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem

_DEPTH = 12
# TensorFlow's own, also where `register` has replaced them.
_exists, _isdir = tf.io.gfile.exists, tf.io.gfile.isdir


class MemoryFilesystem(TensorflowFilesystem):
    """For `tfx.dsl.io.fileio`."""

    SUPPORTED_SCHEMES = ("ram://",)

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        if "w" in mode:
            _remove(name)
        return tf.io.gfile.GFile(name, mode)

    @staticmethod
    def copy(src: str, dst: str, overwrite: bool = False) -> None:
        if overwrite:
            _remove(dst)
        tf.io.gfile.copy(src, dst)

    @staticmethod
    def exists(path: str) -> bool:
        return _is_file(path) or MemoryFilesystem.isdir(path)

    @staticmethod
    def isdir(path: str) -> bool:
        return any(True for _ in _below(path))

    @staticmethod
    def listdir(path: str) -> list[str]:
        start = len(path.rstrip("/")) + 1
        return sorted({file[start:].split("/")[0] for file in _below(path)})

    @staticmethod
    def makedirs(path: str) -> None:
        del path

    @staticmethod
    def rmtree(path: str) -> None:
        for file in list(_below(path)):
            tf.io.gfile.remove(file)

    @staticmethod
    def rename(src: str, dst: str, overwrite: bool = False) -> None:
        for file in [src] if _is_file(src) else list(_below(src)):
            MemoryFilesystem.copy(file, dst + file[len(src) :], overwrite)
            tf.io.gfile.remove(file)

    @staticmethod
    def walk(top: str, topdown: bool = True, onerror: Any = None) -> Iterator[tuple[str, list[str], list[str]]]:
        folders: dict[str, list[str]] = {}
        for file in sorted(_below(top)):
            folder, _, name = file.rpartition("/")
            folders.setdefault(folder, []).append(name)
            while folder != top.rstrip("/"):
                folder = folder.rpartition("/")[0]
                folders.setdefault(folder, [])
        for folder in sorted(folders):
            inner = sorted(name.rpartition("/")[2] for name in folders if name.rpartition("/")[0] == folder)
            yield folder, inner, folders[folder]


class BeamMemoryFileSystem(filesystem.FileSystem):
    """For Beam, which finds it as a subclass."""

    @classmethod
    def scheme(cls) -> str:
        return "ram"

    def join(self, basepath: str, *paths: str) -> str:
        return posixpath.join(basepath, *paths)

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        del path

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[filesystem.FileMetadata]:
        folder = dir_or_prefix.rpartition("/")[0]
        for path in _below(folder):
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path: str, mime_type: str = "", compression_type: Any = "auto") -> Any:
        return self._file(_Written(path), path, compression_type)

    def open(self, path: str, mime_type: str = "", compression_type: Any = "auto") -> Any:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = _Read(file.read())
        return self._file(content, path, compression_type)

    def _file(self, raw: io.BytesIO, path: str, compression_type: Any) -> Any:
        kind = self._get_compression_type(path, compression_type)
        if kind == filesystem.CompressionTypes.UNCOMPRESSED:
            return raw
        return filesystem.CompressedFile(raw, compression_type=kind)

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            MemoryFilesystem.copy(source, target, overwrite=True)

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            MemoryFilesystem.rename(source, target, overwrite=True)

    def exists(self, path: str) -> bool:
        return MemoryFilesystem.exists(path)

    def size(self, path: str) -> int:
        return tf.io.gfile.stat(path).length

    def last_updated(self, path: str) -> float:
        return tf.io.gfile.stat(path).mtime_nsec / 1e9

    def checksum(self, path: str) -> str:
        return str(self.size(path))

    def metadata(self, path: str) -> filesystem.FileMetadata:
        return filesystem.FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            MemoryFilesystem.rmtree(path)
            _remove(path)


class _Read(io.BytesIO):
    """A file's content."""

    mode = "rb"


class _Written(io.BytesIO):
    """A new file, there when it is closed."""

    mode = "wb"

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            with MemoryFilesystem.open(self._path, "wb") as file:
                file.write(self.getvalue())
        super().close()


def _is_file(path: str) -> bool:
    return _exists(path) and not _isdir(path)


def _below(folder: str) -> Iterator[str]:
    """Paths of the files at any depth."""
    for depth in range(1, _DEPTH):
        yield from filter(_is_file, tf.io.gfile.glob("/".join([folder.rstrip("/"), *["*"] * depth])))


def _remove(path: str) -> None:
    if _is_file(path):
        tf.io.gfile.remove(path)


def register(patch: pytest.MonkeyPatch) -> None:
    """Makes TFX know `ram://`, and those who go to `tf.io.gfile` find the same files as those who do not."""
    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(MemoryFilesystem, priority=5)
    for name in ("exists", "isdir", "listdir", "makedirs", "rename", "rmtree", "walk"):
        patch.setattr(tf.io.gfile, name, _either(getattr(MemoryFilesystem, name), getattr(tf.io.gfile, name)))


def _either(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(path: Any, *arguments: Any, **options: Any) -> Any:
        return (ours if str(path).startswith("ram://") else theirs)(path, *arguments, **options)

    return chosen
