"""A server as a process: starts, says where it listens, ends cleanly on a signal."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from h2rec_tf import environment
from serving.server.model_server import ModelServer
from serving.server.options import ServerOptions


def run(options: ServerOptions) -> None:
    """Serves until SIGTERM or SIGINT; running requests end first.

    The first line on stdout, once requests are answered, is `serving model NAME version N on HOST:PORT` (with commas
    between models); the second, with REST, `REST on URL`. Events go to stderr.

    Raises:
        InputError: as `ModelServer.start`.
    """
    environment.quiet()
    log_to_stderr()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *unused: ended.set())
    with ModelServer(options) as server:
        served = ", ".join(
            f"model {name} version {', '.join(map(str, versions))}" for name, versions in server.models.served().items()
        )
        print(f"serving {served} on {server.target}", flush=True)
        if server.rest_url:
            print(f"REST on {server.rest_url}", flush=True)
        ended.wait()
    logging.getLogger("h2rec.serving").info("stopped")


def log_to_stderr() -> None:
    """Sends the log of the serving package to stderr, one line an event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("h2rec.serving")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
