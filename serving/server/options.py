"""What a model server may be told; light to import, so that the command line can show the defaults."""

from __future__ import annotations

import dataclasses
import os

MEBIBYTE = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Limits:
    """The largest request that is answered. Each one bounds the memory that one request can take.

    Attributes:
        message_bytes: size of a request or a response on the wire.
        batch_size: rows of a request.
        history_length: columns of the `history` input, padding included.
    """

    message_bytes: int = 16 * MEBIBYTE
    batch_size: int = 1024
    history_length: int = 1000


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Where and how to serve one model.

    Attributes:
        model_dir: folder with one sub-folder a version, named by an integer, that holds a SavedModel.
        model_name: name that requests must give.
        host: address to listen on; anything but loopback needs `insecure`.
        port: TCP port; 0 takes a free one.
        insecure: listen without encryption on an address that other machines can reach.
        poll_seconds: time between looks for a new version; 0 never looks again.
        threads: requests answered at the same time.
        grace_seconds: time that running requests get to finish at shutdown.
        limits: the largest request that is answered.
    """

    model_dir: str
    model_name: str = "h2rec"
    host: str = "127.0.0.1"
    port: int = 8500
    insecure: bool = False
    poll_seconds: float = 1.0
    threads: int = 2 * (os.cpu_count() or 1)
    grace_seconds: float = 10.0
    limits: Limits = Limits()
