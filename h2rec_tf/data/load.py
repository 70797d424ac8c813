"""From the user's files to a data set and a report, in one call."""

from __future__ import annotations

import dataclasses
import time

from h2rec_tf.config import DataConfig, TextConfig, ValidationConfig
from h2rec_tf.data.catalogue import read_catalogue
from h2rec_tf.data.dataset import PreparedEvents, prepare_events, split_events
from h2rec_tf.data.dataset_report import DatasetReport
from h2rec_tf.data.doubts import about_catalogue, about_interactions, voice
from h2rec_tf.data.interactions import Columns, read_interactions
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.readiness import refused_later
from h2rec_tf.data.sequences import Dataset
from h2rec_tf.data.tallies import EventTally
from h2rec_tf.data.text_format import catalogue_format, interactions_format
from h2rec_tf.errors import InputError


def load_dataset(
    interactions_path: str, items_path: str, *, embeddings_path: str | None = None, config: DataConfig
) -> tuple[Dataset, DatasetReport]:
    """Reads, checks, filters and splits; doubts are logged as warnings.

    Args:
        interactions_path: CSV, TSV, JSON Lines or Parquet, the text formats also gzipped: a file, or a folder or
            pattern of files.
        items_path: likewise.
        embeddings_path: `.npz`, or Parquet likewise, of item vectors.
        config: columns, filters and split. `max_bad_rows` holds for all files together.

    Raises:
        InputError: a file cannot be used, too many rows are rejected, or too little is left.
    """
    dataset, report, _ = _examined(interactions_path, items_path, embeddings_path, config)
    report.problems.enforce(config.max_bad_rows)
    voice(report.warnings)
    if dataset is None:
        raise InputError(report.failure)
    return dataset, report


def examine_dataset(
    interactions_path: str,
    items_path: str,
    *,
    embeddings_path: str | None = None,
    config: DataConfig,
    text: TextConfig | None = None,
    validation: ValidationConfig | None = None,
) -> tuple[Dataset | None, DatasetReport]:
    """As `load_dataset`, but with any number of rejected rows; what is left may be too little for a data set.

    The report's `failure` also has what training or the pipeline would refuse, by `text` and `validation` (None: the
    defaults), though there is a data set.

    Raises:
        InputError: a file cannot be used at all.
    """
    dataset, report, prepared = _examined(interactions_path, items_path, embeddings_path, config)
    if dataset is not None:
        failure = refused_later(
            dataset,
            prepared.matched,
            source=interactions_path,
            items=items_path,
            data=config,
            text=text or TextConfig(),
            validation=validation or ValidationConfig(),
        )
        report = dataclasses.replace(report, failure=failure)
    return dataset, report


def _examined(
    interactions_path: str, items_path: str, embeddings_path: str | None, config: DataConfig
) -> tuple[Dataset | None, DatasetReport, PreparedEvents]:
    catalogue, problems = read_catalogue(
        items_path,
        item_column=config.catalogue_item_column or config.item_column,
        title_column=config.title_column,
        text_columns=config.text_columns,
        category_column=config.category_column,
        vector_column=config.vector_column,
        embeddings_path=embeddings_path,
        text=catalogue_format(config),
        max_bad_rows=None,
    )
    columns = Columns.of(config)
    interactions = read_interactions(interactions_path, columns, text=interactions_format(config), max_bad_rows=None)
    prepared = prepare_events(
        interactions,
        catalogue,
        min_user_interactions=config.min_user_interactions,
        min_item_interactions=config.min_item_interactions,
        keep_repeats=config.repeats == "keep",
    )
    all_problems = Problems()
    all_problems.extend(problems)
    all_problems.extend(prepared.problems)
    dataset, failure = None, ""
    try:
        dataset = split_events(
            prepared.core,
            catalogue,
            split=config.split,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
        )
    except InputError as error:
        failure = str(error)
    report = DatasetReport.make(
        rows_in_file=interactions.rows_in_file,
        rows=len(interactions),
        prepared=prepared,
        catalogue=catalogue,
        dataset=dataset,
        problems=all_problems,
        warnings=[
            *about_interactions(
                EventTally.of(prepared.matched, now=time.time_ns()),
                interactions.spellings,
                item_ids=catalogue.item_ids,
                file=interactions.path,
                columns=columns,
                rows=interactions.spelling_rows,
            ),
            *about_catalogue(catalogue, file=items_path, title_column=config.title_column),
        ],
        failure=failure,
    )
    return dataset, report, prepared
