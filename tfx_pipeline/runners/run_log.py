"""Sends what the libraries say to the run's log file and leaves the terminal to the command."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator

# Loggers with handlers of their own, which would write past the root logger's.
_LOGGERS = ("absl", "apache_beam", "tensorflow")


@contextlib.contextmanager
def run_log(path: str) -> Iterator[None]:
    """Inside the block Python logging, warnings and the C++ libraries' stderr go to the file `path`.

    `sys.stderr` still reaches the terminal, so that progress bars show.
    """
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in _LOGGERS)]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    with warnings.catch_warnings(), _native_stderr(path):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.handlers[:] = []
            logger.setLevel(logging.INFO)
            logger.propagate = True
        root.handlers[:] = [handler]
        try:
            yield
        finally:
            for logger, handlers, level, propagate in before:
                logger.handlers[:], logger.propagate = handlers, propagate
                logger.setLevel(level)
            handler.close()


@contextlib.contextmanager
def _native_stderr(path: str) -> Iterator[None]:
    """File descriptor 2 goes to the file; `sys.stderr`, where it was descriptor 2, to where that pointed before."""
    sys.stderr.flush()
    saved = os.dup(2)
    before = sys.stderr
    try:
        is_native = before.fileno() == 2
    except (OSError, ValueError, AttributeError):
        is_native = False
    with open(path, "a", encoding="utf-8") as log, os.fdopen(saved, "w", buffering=1, closefd=False) as terminal:
        os.dup2(log.fileno(), 2)
        if is_native:
            sys.stderr = terminal
        try:
            yield
        finally:
            sys.stderr = before
            os.dup2(saved, 2)
            os.close(saved)
