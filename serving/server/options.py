"""What a model server may be told; light to import, so that the command line can show the defaults."""

from __future__ import annotations

import dataclasses
import os

MEBIBYTE = 1024 * 1024
CORES = os.cpu_count() or 1
METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclasses.dataclass(frozen=True)
class Limits:
    """The largest request that is answered. Each one bounds the memory or time that one request can take.

    Attributes:
        message_bytes: size of a request or a response on the wire.
        request_bytes: what the inputs of a request take decoded, all together: numbers by the width of their type,
            strings by their length and 24 bytes each; a serialized example by what is in it, each row as long as the
            longest. The JSON of a REST request is held to it too.
        held_bytes: the same for all requests that wait or run at a time; more are told to try again.
        batch_size: rows of a request.
        history_length: columns of the `history` input, padding included.
        list_length: columns of any other input of strings, such as `exclude`, padding included.
        k: largest `k`; a model may have a smaller limit of its own.
        seconds: longest time from a request's arrival to its answer, where the caller gives no shorter deadline; also
            the time that a request body has to arrive.
        concurrent: requests in the server at a time; more are refused at once. Health checks are not counted.
    """

    message_bytes: int = 16 * MEBIBYTE
    request_bytes: int = 64 * MEBIBYTE
    held_bytes: int = 1024 * MEBIBYTE
    batch_size: int = 1024
    history_length: int = 1000
    list_length: int = 1 << 14
    k: int = 1000
    seconds: float = 30.0
    concurrent: int = 1024


@dataclasses.dataclass(frozen=True)
class HttpOptions:
    """Connections of the HTTP port, and a port for health alone.

    Attributes:
        health_port: TCP port that has `/healthz` and `/readyz` alone, without encryption and token; 0 takes a free one,
            None has no such port.
        connections: open at a time; 0 is twice `Limits.concurrent`. A new one beyond takes the place of the one that
            has been without a running request longest.
        peer_connections: the same for one peer's address; 0 is half of `Limits.concurrent`, so that no peer alone can
            fill the server.
        head_seconds: time that the head of each request has to arrive, and the rest of a body that was refused.
        keep_alive_seconds: time that a connection may wait for its next request. Longer than a balancer in front keeps
            connections open (AWS 60 s; Google Cloud 600 s), which would otherwise use one that is being closed.
    """

    health_port: int | None = None
    connections: int = 0
    peer_connections: int = 0
    head_seconds: float = 10.0
    keep_alive_seconds: float = 75.0


@dataclasses.dataclass(frozen=True)
class Batching:
    """How requests that run at the same time share a call of the model.

    A request that finds the model idle runs at once. While calls run, requests queue; a call that ends takes what has
    queued with it.

    Attributes:
        max_rows: rows of a shared call; a single request may have more and then runs alone.
        max_bytes: what the inputs of a shared call take, filled to one width; likewise.
        timeout_seconds: longest time a queued request waits for company although another call could start beside
            the running ones.
        max_queued: requests that may wait for one signature; more are answered UNAVAILABLE.
        parallel: calls of one signature at a time, each on one core. The server needs a core to read and answer.
        enabled: False runs every request alone, `parallel` at a time.
        any_model: requests to models that this package did not export share calls too. Whether their rows have
            nothing to do with each other is for whoever serves them to know.
    """

    max_rows: int = 64
    max_bytes: int = 64 * MEBIBYTE
    timeout_seconds: float = 0.0
    max_queued: int = 1000
    parallel: int = max(1, CORES - 1)
    enabled: bool = True
    any_model: bool = False


@dataclasses.dataclass(frozen=True)
class Security:
    """Who may connect. Paths are PEM files.

    Attributes:
        certificate: the server's certificate chain; with `key`, gRPC and REST are encrypted.
        key: its private key.
        client_ca: callers must show a certificate that this authority has signed (mutual TLS).
        token_file: a file with one bearer token a line; callers must send one of them.
        admin_token_file: the same for callers who change what is served; none of them is good for anything else.
        insecure_public: listen on an address that other machines can reach with none of these.
    """

    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    token_file: str = ""
    admin_token_file: str = ""
    insecure_public: bool = False


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Where and how to serve models.

    Attributes:
        model_dir: folder with one sub-folder a version, named by an integer, that holds a SavedModel.
        model_name: name that requests give for it.
        model_config_file: a file with a `model_config_list` instead of those two.
        host: address to listen on.
        port: TCP port of gRPC; 0 takes a free one.
        rest_port: TCP port of REST, health and metrics; 0 takes a free one, None has none of them.
        http: connections of that port, and a port for health alone.
        security: who may connect.
        poll_seconds: time between looks for new versions and a changed model_config_file; 0 never looks again.
        grace_seconds: time that running requests get to finish at shutdown.
        limits: the largest request that is answered.
        batching: how requests share calls.
        op_threads: threads that one op may spread over, in all models of the process; 0 takes all cores. Handing the
            small ops of a recommender from thread to thread costs more than it gains, and calls run in parallel
            already.
        metrics_path: where Prometheus finds the metrics; "" for none.
        access_log: file for one JSON line a request; "-" is stderr, "" none.
        log_inputs: also log what was asked, user histories included.
        allow_reload: answer HandleReloadConfigRequest, by which callers change what is served.
        model_roots: folders below which it may name models; none: those that the server was started with.
        allow_ops: TensorFlow ops that models may hold although they reach files, processes or machines; see
            `h2rec_tf.export.unsafe_ops`.
    """

    model_dir: str = ""
    model_name: str = "h2rec"
    model_config_file: str = ""
    host: str = "127.0.0.1"
    port: int = 8500
    rest_port: int | None = None
    http: HttpOptions = HttpOptions()
    security: Security = Security()
    poll_seconds: float = 1.0
    grace_seconds: float = 10.0
    limits: Limits = Limits()
    batching: Batching = Batching()
    op_threads: int = 1
    metrics_path: str = METRICS_PATH
    access_log: str = ""
    log_inputs: bool = False
    allow_reload: bool = False
    model_roots: tuple[str, ...] = ()
    allow_ops: tuple[str, ...] = ()
