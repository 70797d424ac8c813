"""Where rows come from: files by path, folder or pattern, spans of daily files, or a BigQuery query."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
from collections.abc import Iterator, Sequence

from tfx.components.example_gen import utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2

from h2rec_tf.data.part_files import is_hidden, part_files
from h2rec_tf.errors import InputError
from tfx_pipeline.constants import is_query, is_remote

# What a pattern may hold beside `*`: TFX replaces these.
_PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(:\d+)?\}")


def has_spans(pattern: str) -> bool:
    """Whether a path is a pattern of daily files: `day-{SPAN}/v{VERSION}.csv` or `{YYYY}-{MM}-{DD}.csv`."""
    return not is_query(pattern) and bool(_PLACEHOLDER.search(pattern))


def split_pattern(path: str) -> tuple[str, str]:
    """Directory and pattern below it, as TFX's file-based generators take them.

    The directory ends before the first part with a placeholder or a wildcard.
    """
    parts = path.split("/")
    variable = next((place for place, part in enumerate(parts) if re.search(r"[{*?]", part)), len(parts) - 1)
    place = min(variable, len(parts) - 1)
    return "/".join(parts[:place]) or ("/" if path.startswith("/") else "."), "/".join(parts[place:])


@dataclasses.dataclass(frozen=True)
class Span:
    """Files of one span.

    Attributes:
        number: as TFX counts: the number in the name, or days since 1970.
        files: sorted paths; of a folder, what is in it.
    """

    number: int
    files: list[str]


def spans(path: str, *, count: int, latest: int | None = None) -> list[Span]:
    """The newest spans of a pattern, oldest first, each in its newest version.

    Args:
        path: a path, a wildcard pattern, or a span pattern; without placeholders all files are span 0.
        count: how many spans back from the newest; 0 means all. Spans without a file count too, as days without data.
        latest: ignores spans after this one.

    Raises:
        InputError: no file matches, or the pattern is not valid.
    """
    if not has_spans(path):
        return [Span(0, _files(path))]
    base, pattern = split_pattern(path)
    split = example_gen_pb2.Input.Split(name="file", pattern=pattern)
    versions: dict[int, dict[int, list[str]]] = {}
    try:
        specs = utils.verify_split_pattern_specs(split)
        # TFX's driver finds the newest span by these two; it has no public way to name the ones before.
        glob, regex = utils._create_matching_glob_and_regex(base, split, *specs, None)
        for file in sorted(file for file in fileio.glob(glob) if not is_hidden(file, pattern)):
            _, number, _, version = utils._find_matched_span_version_from_path(file, regex, *specs)
            versions.setdefault(number, {}).setdefault(version or 0, []).append(file)
    except ValueError as error:
        raise InputError(
            f"{path}: {error}; write {{SPAN}}, or {{YYYY}}, {{MM}} and {{DD}}, where the files differ by day, and "
            "{VERSION} where a day has several"
        ) from error
    numbers = sorted(number for number in versions if latest is None or number <= latest)
    if not numbers:
        raise InputError(f"{path}: no file matches; check the path")
    first = numbers[-1] - count + 1 if count else numbers[0]
    return [
        Span(number, [file for match in versions[number][max(versions[number])] for file in _files(match)])
        for number in numbers
        if number >= first
    ]


def _files(pattern: str) -> list[str]:
    """The files that a path means, as the library has it."""
    remote = is_remote(pattern)
    files = part_files(pattern, system=fileio) if remote else part_files(pattern)
    if files == [pattern]:
        if not fileio.exists(pattern):
            raise InputError(f"{pattern}: no such file; check the path")
    elif remote and not set(files) <= set(fileio.glob(pattern)):
        # Orchestrators look at the sizes and times of what a pattern names, not at what is in a folder.
        raise InputError(
            f"{pattern}: names a folder, whose changes the orchestrator does not see; name the files by a pattern, as "
            f"{os.path.dirname(files[0])}/*"
        )
    return files


@contextlib.contextmanager
def local_file(path: str) -> Iterator[str]:
    """The path itself, or for a remote one (`gs://...`) the path of a copy that lasts as long as the block."""
    with local_files([path]) as copies:
        yield copies[path]


@contextlib.contextmanager
def local_files(paths: Sequence[str]) -> Iterator[dict[str, str]]:
    """Path -> what `local_file` gives for it; all copies are in one folder, in the order of the paths."""
    with tempfile.TemporaryDirectory() as folder:
        copies = {}
        for number, path in enumerate(paths):
            copies[path] = path
            if is_remote(path):
                # The name tells the format; two folders may have files of one name.
                copies[path] = os.path.join(folder, f"{number:06d}-{os.path.basename(path)}")
                try:
                    fileio.copy(path, copies[path])
                except fileio.NotFoundError as error:
                    raise InputError(f"{path}: no such file; check the path") from error
        yield copies
