"""What a retrieval service may be told; light to import, so that the command line can show the defaults."""

from __future__ import annotations

import dataclasses
import os

from h2rec_tf.config import IndexConfig

MEBIBYTE = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class StoreOptions:
    """How items are kept.

    Attributes:
        index: from which the number of items decides the kind of searcher.
        snapshot_log_bytes: log size at which a snapshot is taken by itself; 0 never takes one.
        rebalance_fraction: share of items changed since the last build at which the index is built anew by itself; 0
            never does.
        keep_snapshots: newest snapshots that stay on disk.
        poll_seconds: time between looks whether one of these is due.
    """

    index: IndexConfig = dataclasses.field(default_factory=IndexConfig)
    snapshot_log_bytes: int = 256 * MEBIBYTE
    rebalance_fraction: float = 0.3
    keep_snapshots: int = 2
    poll_seconds: float = 1.0


@dataclasses.dataclass(frozen=True)
class Limits:
    """The largest request that is answered. Each one bounds the memory that one request can take.

    Attributes:
        message_bytes: size of a request or a response on the wire.
        batch_size: rows of a search.
        write_size: items of one upsert or delete.
        history_length: columns of a history or of a list of excluded items, padding included.
        k: items a row.
        writers: writes that are answered at a time.
        waiting_writes: writes that wait for one of these; more are told to try again.
    """

    message_bytes: int = 16 * MEBIBYTE
    batch_size: int = 1024
    write_size: int = 10_000
    history_length: int = 1000
    k: int = 1000
    writers: int = 16
    waiting_writes: int = 256


@dataclasses.dataclass(frozen=True)
class RetrievalOptions:
    """Where and how to serve one data folder.

    Attributes:
        data_dir: folder of log and snapshots.
        model_dir: SavedModel, or folder of numbered versions, whose towers make the vectors; "" for none.
        model_server: `host:port` of a model server to ask instead.
        model_name: name that the model is served under there.
        text_encoder: folder of the text encoder that goes with the model; "" for none.
        width: D where there is no model; 0 with one.
        name: name that requests must give.
        host: address to listen on; anything but loopback needs `insecure`.
        port: TCP port; 0 takes a free one.
        insecure: listen without encryption on an address that other machines can reach.
        readers: searches answered at the same time.
        grace_seconds: time that running requests get to finish at shutdown.
        store: how items are kept.
        limits: the largest request that is answered.
    """

    data_dir: str
    model_dir: str = ""
    model_server: str = ""
    model_name: str = "h2rec"
    text_encoder: str = ""
    width: int = 0
    name: str = "h2rec"
    host: str = "127.0.0.1"
    port: int = 8510
    insecure: bool = False
    readers: int = 2 * (os.cpu_count() or 1)
    grace_seconds: float = 10.0
    store: StoreOptions = StoreOptions()
    limits: Limits = Limits()
