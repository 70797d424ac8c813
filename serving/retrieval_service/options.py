"""What a retrieval service may be told; light to import, so that the command line can show the defaults."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config import IndexConfig
from serving.server.options import CORES, MEBIBYTE, METRICS_PATH, HttpOptions, Limits, Security


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
class RetrievalOptions:
    """Where and how to serve one data folder. What is not said here is as in `ServerOptions`.

    Attributes:
        data_dir: folder of log and snapshots.
        model_dir: SavedModel, or folder of numbered versions, whose towers make the vectors; "" for none.
        model_server: `host:port` of a model server to ask instead.
        model_name: name that the model is served under there.
        model_ca: PEM file of the authority that signed that server's certificate; "" for no encryption.
        model_token: bearer token for that server.
        text_encoder: folder of the text encoder that goes with the model, or of the pushed model that has it; "": the
            one in `model_dir`, if any.
        width: D where there is no model; 0 with one.
        name: that requests give.
        readers: searches at a time.
        writers: writes at a time.
        waiting_writes: writes that may wait for one of these; more are told to try again.
        search_rows: most rows of one search; `limits.batch_size` bounds the items of a write.
        store: how items are kept.
    """

    data_dir: str
    model_dir: str = ""
    model_server: str = ""
    model_name: str = "h2rec"
    model_ca: str = ""
    model_token: str = ""
    text_encoder: str = ""
    width: int = 0
    name: str = "h2rec"
    host: str = "127.0.0.1"
    port: int = 8510
    rest_port: int | None = None
    http: HttpOptions = dataclasses.field(default_factory=HttpOptions)
    security: Security = dataclasses.field(default_factory=Security)
    grace_seconds: float = 10.0
    limits: Limits = dataclasses.field(default_factory=lambda: Limits(batch_size=10_000, list_length=10_000))
    metrics_path: str = METRICS_PATH
    access_log: str = ""
    log_inputs: bool = False
    allow_ops: tuple[str, ...] = ()
    readers: int = 2 * CORES
    writers: int = 16
    waiting_writes: int = 256
    search_rows: int = 1024
    store: StoreOptions = StoreOptions()
