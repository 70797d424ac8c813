"""A retrieval server as a process: starts, says where it listens, ends cleanly on a signal."""

from __future__ import annotations

import contextlib
import signal
import threading

from h2rec_tf import environment
from h2rec_tf.progress import moving
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer
from serving.server.run import log_to_stderr, raise_file_limit


def run(options: RetrievalOptions) -> None:
    """Serves until SIGTERM or SIGINT; running requests end first.

    The first line on stdout, once requests are answered, is `retrieval of N items on HOST:PORT`; the second, with REST,
    `REST on URL`. Events go to stderr.

    Raises:
        InputError: as `RetrievalServer.start`.
    """
    environment.quiet()
    log_to_stderr()
    raise_file_limit()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *unused: ended.set())
    with contextlib.ExitStack() as stack:
        with moving("loading items"):
            server = stack.enter_context(RetrievalServer(options))
        print(f"retrieval of {server.engine.status().items} items on {server.target}", flush=True)
        if server.rest_url:
            print(f"REST on {server.rest_url}", flush=True)
        ended.wait()
