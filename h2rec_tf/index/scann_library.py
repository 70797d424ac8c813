"""The one door to ScaNN: its import, and what its version 1.3 needs to be told."""

from __future__ import annotations

import json
import pathlib
import re
import zlib
from typing import Any

from h2rec_tf import environment
from h2rec_tf.errors import InputError, MissingDependencyError

_ASSETS_FILE = "scann_assets.pbtxt"
_CHECKSUMS_FILE = "checksums.json"


def pybind() -> Any:
    """The module `scann.scann_ops_pybind`.

    Raises:
        MissingDependencyError: ScaNN is not installed.
    """
    # ScaNN loads TensorFlow, so the environment has to be set first.
    environment.quiet()
    try:
        from scann import scann_ops_pybind
    except ImportError as error:
        raise MissingDependencyError("the index needs ScaNN: pip install 'h2rec-tf[serving]'") from error
    return scann_ops_pybind


def operations() -> Any:
    """The module `scann.scann_ops`, whose searchers are TensorFlow ops.

    Raises:
        MissingDependencyError: ScaNN is not installed.
    """
    pybind()
    from scann import scann_ops

    return scann_ops


def save_searcher(searcher: Any, directory: pathlib.Path) -> None:
    """Writes a searcher's files so that the directory can be moved.

    ScaNN 1.3 writes the absolute path of each file into its list of files; here the list has bare names. It also dies
    of a damaged file, so there are checksums that `load_searcher` compares.
    """
    directory.mkdir(parents=True, exist_ok=True)
    searcher.serialize(str(directory))
    assets = directory / _ASSETS_FILE
    text = assets.read_text(encoding="utf-8")
    assets.write_text(re.sub(r'asset_path: ".*/', 'asset_path: "', text), encoding="utf-8")
    (directory / _CHECKSUMS_FILE).write_text(json.dumps(_checksums(directory)), encoding="utf-8")


def load_searcher(directory: pathlib.Path, *, docids: list[str] | None = None) -> Any:
    """A `ScannSearcher` over the files that `save_searcher` wrote.

    Args:
        directory: of the files.
        docids: ids in row order, where the searcher was built with ids and is to be changed; a list that the searcher
            takes over.

    Raises:
        InputError: there is no searcher, or it is damaged.
    """
    library = pybind()
    try:
        if json.loads((directory / _CHECKSUMS_FILE).read_text(encoding="utf-8")) != _checksums(directory):
            raise InputError(f"{directory}: a file of the index is damaged; build it anew")
        text = (directory / _ASSETS_FILE).read_text(encoding="utf-8")
        absolute = text.replace('asset_path: "', f'asset_path: "{directory.absolute()}/')
        searcher = library.scann_pybind.ScannNumpy(str(directory.absolute()), absolute)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{directory}: cannot load the index: {error}; build it anew") from error
    return library.ScannSearcher(searcher, docids)


def _checksums(directory: pathlib.Path) -> dict[str, int]:
    """CRC-32 of each file but the list of checksums itself."""
    sums = {}
    for file in sorted(directory.iterdir()):
        if file.name == _CHECKSUMS_FILE:
            continue
        value = 0
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                value = zlib.crc32(chunk, value)
        sums[file.name] = value
    return sums
