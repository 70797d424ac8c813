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

    The one line on stdout, once requests are answered, is `serving model NAME version N on HOST:PORT`; events go to
    stderr.

    Raises:
        InputError: as `ModelServer.start`.
    """
    environment.quiet()
    log_to_stderr()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *unused: ended.set())
    with ModelServer(options) as server:
        print(f"serving model {options.model_name} version {server.version} on {server.target}", flush=True)
        ended.wait()
    logging.getLogger("h2rec.serving").info("stopped")


def log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("h2rec.serving")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
