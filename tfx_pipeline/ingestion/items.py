"""The catalogue on Beam: one worker reads and checks it, as duplicates and vector widths need all rows at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from tfx.dsl.io import fileio

from h2rec_tf.config import DataConfig
from h2rec_tf.data.catalogue import catalogue_of, read_items, required_columns
from h2rec_tf.data.doubts import about_catalogue
from h2rec_tf.data.part_files import part_files
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.data.text_format import catalogue_format
from h2rec_tf.errors import InputError
from tfx_pipeline.constants import QUERY_MARKER, is_query
from tfx_pipeline.examples import encode_items
from tfx_pipeline.ingestion.findings import FINDINGS, REJECTED_FILES, TALLIES, Finding, summarize
from tfx_pipeline.ingestion.rows import query_piece, renamed
from tfx_pipeline.ingestion.shards import write_shard
from tfx_pipeline.ingestion.sources import local_files

# Counter of written examples.
ITEMS = "items"
# Batches of `encode_items` in a file.
_BATCHES = 8


def add_items(
    pipeline: beam.Pipeline,
    source: str,
    files: list[str],
    *,
    embeddings: str,
    data: DataConfig,
    uri: str,
    split_uri: str,
    temporary: str,
) -> None:
    """Adds all steps to a pipeline; the results are those of `h2rec_tf.data.catalogue.read_catalogue`.

    Args:
        pipeline: to add to.
        source: path or query, for messages.
        files: that the path means; the query itself.
        embeddings: path of item vectors, or "".
        data: columns and limits.
        uri: directory of the artifact; rejected rows go there.
        split_uri: directory of the split.
        temporary: directory for growing files and the summary.
    """
    if is_query(files[0]):
        rows = (
            pipeline
            | "Query" >> beam.io.ReadFromBigQuery(query=files[0][len(QUERY_MARKER) :], use_standard_sql=True)
            | "AllRows" >> beam.combiners.ToList()
        )
    else:
        rows = pipeline | "File" >> beam.Create([None])
    read = rows | "ReadItems" >> beam.ParDo(_ReadItems(source, files, embeddings, data)).with_outputs(
        FINDINGS, TALLIES, main="items"
    )
    written = (
        read["items"]
        | "Spread" >> beam.Reshuffle()
        | "WriteShards"
        >> beam.ParDo(_WriteItems(split_uri, os.path.join(temporary, "shards"))).with_outputs(FINDINGS, main="counts")
    )
    summarize(
        pipeline,
        [read[FINDINGS], written[FINDINGS]],
        [written["counts"]],
        listed=data.max_bad_rows + 1,
        rejected_prefix=os.path.join(uri, REJECTED_FILES),
        summary_dir=temporary,
        doubts=read[TALLIES],
    )


class _ReadItems(beam.DoFn):
    """Rows of a query, or None for the file -> `(shard, shards, batches of examples)`, findings, and doubts."""

    def __init__(self, source: str, files: list[str], embeddings: str, data: DataConfig):
        self._source = source
        self._files = files
        self._embeddings = embeddings
        self._data = data

    def process(self, rows: list[dict[str, Any]] | None) -> Iterator[Any]:
        try:
            catalogue, problems = self._read(rows)
        except InputError as error:
            yield pvalue.TaggedOutput(FINDINGS, Finding(self._source, fatal=str(error)))
            return
        if problems.total or problems.notes:
            yield pvalue.TaggedOutput(FINDINGS, Finding(self._source, problems))
        for doubt in about_catalogue(catalogue, file=self._source, title_column=self._data.title_column):
            yield pvalue.TaggedOutput(TALLIES, doubt)
        batches = list(encode_items(catalogue))
        shards = -(-len(batches) // _BATCHES)
        for shard in range(shards):
            yield shard, shards, batches[shard * _BATCHES : (shard + 1) * _BATCHES]

    def _read(self, rows: list[dict[str, Any]] | None) -> tuple[Catalogue, Problems]:
        data = self._data
        columns: dict[str, Any] = {
            "item_column": data.catalogue_item_column or data.item_column,
            "title_column": data.title_column,
            "text_columns": data.text_columns,
            "category_column": data.category_column,
            "vector_column": data.vector_column,
        }
        files = self._files if rows is None else []
        vectors = part_files(self._embeddings, system=fileio) if self._embeddings else []
        with local_files(files) as copies, local_files(vectors) as vector_copies:
            copies |= vector_copies
            # A folder of copies stands for the folder.
            moved = vectors != [copies[path] for path in vectors]
            embeddings = self._embeddings
            if moved:
                embeddings = copies[vectors[0]] if len(vectors) == 1 else os.path.dirname(copies[vectors[0]])
            names = {copy: path for path, copy in copies.items() if copy != path}
            if moved and len(vectors) > 1:
                names[embeddings] = self._embeddings
            problems = Problems()
            try:
                if rows is None:
                    local = [copies[path] for path in files]
                    table = read_items(local, self._source, problems, text=catalogue_format(data), **columns)
                else:
                    available = tuple(dict.fromkeys(name for row in rows for name in row))
                    required = required_columns(item_column=columns["item_column"], vector_column=data.vector_column)
                    table = query_piece(rows, self._source, available).table(problems, required)
                catalogue = catalogue_of(
                    table, problems, **columns, embeddings_path=embeddings or None, max_bad_rows=data.max_bad_rows
                )
            except InputError as error:
                text = str(error)
                for copy, path in names.items():
                    text = text.replace(copy, path)
                raise InputError(text) from error
        return catalogue, renamed(problems, names)


class _WriteItems(beam.DoFn):
    """`(shard, shards, batches)` -> a file; gives the number of examples as a counter."""

    def __init__(self, split_uri: str, temporary: str):
        self._split_uri = split_uri
        self._temporary = temporary

    def process(self, element: tuple[int, int, list[list[bytes]]]) -> Iterator[Any]:
        shard, shards, batches = element
        try:
            write_shard(batches, self._split_uri, shard, shards, self._temporary)
        except InputError as error:
            yield pvalue.TaggedOutput(FINDINGS, Finding(self._split_uri, fatal=str(error)))
        yield {ITEMS: sum(map(len, batches))}
