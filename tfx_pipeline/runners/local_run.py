"""One local run: files and a configuration in, a summary out."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from h2rec_tf import __version__, environment
from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config
from h2rec_tf.errors import H2RecError, InputError
from h2rec_tf.printable import printable, printable_lines
from h2rec_tf.progress import moving
from tfx_pipeline import constants
from tfx_pipeline.constants import is_query, is_remote
from tfx_pipeline.runners.fingerprint import fingerprint, source_fingerprint
from tfx_pipeline.runners.root import ARTIFACTS_DIR, METADATA_FILE, check_root
from tfx_pipeline.runners.run_lock import run_lock
from tfx_pipeline.runners.run_log import run_log

if TYPE_CHECKING:
    from tfx_pipeline.runners.summary import RunSummary

PIPELINE_NAME = "h2rec"
# Components that show what they do themselves.
_WITH_BARS = (constants.SEMANTIC_ID_GEN, constants.TUNER, constants.TRAINER)


def run_local(*, files: DataFiles, config: Config, root: str, beam_args: Sequence[str] = ()) -> RunSummary:
    """Runs the pipeline in `root`, a line of progress for each component on stderr.

    Layout of `root`: `artifacts/`, `metadata.db`, `logs/<run>.log`, `serving/<version>/`.

    Args:
        files: the user's files.
        config: the whole configuration.
        root: directory; created. A second run there reuses what did not change, and compares with the last blessed
            model.
        beam_args: flags of the Beam runner, over those of the local one.

    Raises:
        InputError: an input is not usable, another run uses `root`, or its metadata is damaged or speaks of another
            root.
        ComponentError: a component failed; the message names the log.
    """
    environment.quiet()
    if is_remote(root):
        raise InputError(
            f"--root {root}: a run on this machine keeps its metadata in a local file; name a local directory, or"
            " compile the pipeline for Kubeflow or Vertex AI"
        )
    # Paths are part of the cache key and of what the artifacts remember.
    base = pathlib.Path(root).resolve()
    interactions, items, embeddings = (
        path if not path or is_query(path) or is_remote(path) else os.path.abspath(path)
        for path in (files.interactions, files.items, files.embeddings or "")
    )
    # Before anything is made: this is where a missing file shows.
    interactions_fingerprint = source_fingerprint(interactions)
    items_fingerprint = source_fingerprint(items) + fingerprint(embeddings)
    # Another release of this package reads files its own way, so its runs share nothing with earlier ones.
    release = f"{__version__}:"
    base.mkdir(parents=True, exist_ok=True)
    log = base / "logs" / f"{datetime.datetime.now():%Y%m%d-%H%M%S}.log"
    with run_lock(str(base)), run_log(str(log)):
        check_root(str(base))
        progress = _Lines()
        # Imported here: it takes seconds, and what it prints belongs in the log.
        begin = time.perf_counter()
        with moving("loading TFX"):
            from ml_metadata import metadata_store
            from tfx.orchestration.metadata import sqlite_metadata_connection_config

            from tfx_pipeline.pipeline import create_pipeline
            from tfx_pipeline.runners.gone import mark_gone
            from tfx_pipeline.runners.local import LocalRunner, beam_pipeline_args
            from tfx_pipeline.runners.summary import summarize

        progress.say(f"TFX loaded in {time.perf_counter() - begin:.1f} s; log: {log}")
        metadata = sqlite_metadata_connection_config(str(base / METADATA_FILE))
        if (base / METADATA_FILE).exists():
            for line in mark_gone(metadata_store.MetadataStore(metadata), str(base)):
                progress.say(line)
        definition = create_pipeline(
            pipeline_name=PIPELINE_NAME,
            pipeline_root=str(base / ARTIFACTS_DIR),
            interactions=interactions,
            items=items,
            embeddings=embeddings,
            config=config,
            serving_dir=str(base / "serving"),
            metadata_connection=metadata,
            beam_pipeline_args=beam_pipeline_args(beam_args),
            interactions_fingerprint=release + interactions_fingerprint,
            items_fingerprint=release + items_fingerprint,
            infra_validation=_infra_validation(config.gate.infra_validation),
            docker_host=os.environ.get("DOCKER_HOST", ""),
        )
        # What these do depends on more than their inputs: on the serving directory, on a daemon and the image that it
        # has, on a log that grows.
        uncached = (
            constants.PUSHER,
            constants.INFRA_VALIDATOR,
            *([constants.EXAMPLE_VALIDATOR] if config.validation.serving_requests else []),
        )
        runner = LocalRunner(progress, uncached=uncached)
        shown = [logging.getLogger(name) for name in ("h2rec_tf.training", "h2rec_tf.data.doubts")]
        for logger in shown:
            logger.addHandler(progress)
        try:
            runner.run(definition)
        except H2RecError as error:
            progress.say("")
            raise type(error)(f"{error} (log: {log})") from error
        finally:
            progress.end()
            for logger in shown:
                logger.removeHandler(progress)
        progress.say(f"total {time.perf_counter() - begin:.1f} s")
        return summarize(runner.runs)


def _infra_validation(choice: str) -> bool:
    """Whether the pipeline gets an InfraValidator.

    Raises:
        InputError: it is asked for and there is no Docker daemon.
    """
    if choice == "off":
        return False
    import docker

    try:
        client = docker.from_env(timeout=5)
        client.ping()
        client.close()
    except docker.errors.DockerException as error:
        if choice == "on":
            raise InputError(
                f"gate.infra_validation is on, but no Docker daemon answers ({error}); start it, or set it to off"
            ) from error
        return False
    return True


class _Lines(logging.Handler):
    """One line a component on stderr, under it warnings about data, and epochs where no progress bar shows them."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._bars = sys.stderr.isatty()
        self._line = ""
        self._sign = contextlib.ExitStack()

    def say(self, text: str) -> None:
        self._sign.close()
        click.echo(printable_lines(text), err=True)

    def started(self, number: int, total: int, node_id: str) -> None:
        self._line = f"[{number}/{total}] {node_id} ..."
        click.echo(self._line, err=True, nl=False)
        if node_id not in _WITH_BARS:
            self._sign.enter_context(moving(self._line))

    def finished(self, number: int, total: int, node_id: str, seconds: float, cached: bool) -> None:
        self._sign.close()
        # Epoch lines ended the line that `started` began; on a terminal a progress bar may have taken it.
        start = f"\r{self._line}" if self._bars else "" if self._line else f"[{number}/{total}] {node_id} ..."
        click.echo(f"{start} cached" if cached else f"{start} {seconds:.1f} s", err=True)

    def end(self) -> None:
        """Stops the sign of a component that did not end well."""
        self._sign.close()

    def emit(self, record: logging.LogRecord) -> None:
        """An epoch's figures, as the training function logs them, and warnings about the data."""
        if self._bars and record.levelno < logging.WARNING:
            return
        self._sign.close()
        click.echo(("\n" if self._line else "") + f"    {printable(record.getMessage())}", err=True)
        self._line = ""
