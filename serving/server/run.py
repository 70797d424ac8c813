"""A server as a process: starts, says where it listens, ends cleanly on a signal."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import sys
import threading
from typing import Any

from h2rec_tf import environment
from h2rec_tf.printable import printable, printable_lines
from h2rec_tf.progress import moving
from serving.server.model_server import ModelServer
from serving.server.options import ServerOptions

_FILES = 65536


def run(options: ServerOptions) -> None:
    """Serves until SIGTERM or SIGINT; running requests end first.

    The first line on stdout, once requests are answered, is `serving model NAME version N on HOST:PORT` (with commas
    between models); the second, with REST, `REST on URL`. Events go to stderr.

    Raises:
        InputError: as `ModelServer.start`.
    """
    environment.quiet()
    log_to_stderr()
    raise_file_limit()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *unused: ended.set())
    with contextlib.ExitStack() as stack:
        with moving("loading models"):
            server = stack.enter_context(ModelServer(options))
        served = ", ".join(
            f"model {name} version {', '.join(map(str, versions))}" for name, versions in server.models.served().items()
        )
        print(f"serving {served} on {server.target}", flush=True)
        if server.rest_url:
            print(f"REST on {server.rest_url}", flush=True)
        ended.wait()
    logging.getLogger("h2rec.serving").info("stopped")


def raise_file_limit() -> None:
    """Lets the process open more files, where it may: connections are files, and shells often allow a thousand."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(most, _FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def log_to_stderr() -> None:
    """Sends the log of the serving package to stderr, one line an event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(message)s"))
    logger = logging.getLogger("h2rec.serving")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False


class _OneLine(logging.Formatter):
    """An event is one line, whatever the names in it hold; the lines of a trace follow."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, info: Any) -> str:
        return printable_lines(super().formatException(info))
