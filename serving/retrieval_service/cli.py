"""The commands `h2rec retrieval ...`."""

from __future__ import annotations

from typing import Any

import click

from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.config import IndexConfig
from h2rec_tf.printable import printable
from h2rec_tf.progress import moving
from serving.cli.options import allow_op, check_ports, listening, listening_values, token
from serving.retrieval_service import client_cli
from serving.retrieval_service.options import RetrievalOptions, StoreOptions
from serving.server.options import MEBIBYTE

_DEFAULTS = RetrievalOptions(data_dir="")


@click.group()
def retrieval() -> None:
    """Items that come and go: a ScaNN index that takes upserts and deletes, and survives a crash."""


@retrieval.command()
@click.option("--data-dir", required=True, type=OUTPUT_FOLDER, help="Folder of log and snapshots; made if absent.")
@click.option("--model-dir", default="", help="Folder that the model is pushed to; it is loaded into the service.")
@click.option("--model-server", default="", metavar="HOST:PORT", help="A model server to ask instead.")
@click.option("--model-ca", default="", metavar="FILE", help="PEM file of the authority of that server's certificate.")
@click.option("--model-token-file", default="", metavar="FILE", help="File with the bearer token for that server.")
@click.option("--model-name", default=_DEFAULTS.model_name, show_default=True, help="Name of the model there.")
@click.option(
    "--text-encoder",
    default="",
    help="Folder of the text encoder, or of the pushed model, for upserts of texts; else the one in --model-dir.",
)
@click.option("--dimensions", default=0, type=click.IntRange(0, 65536), help="Width of the vectors, without a model.")
@listening(_DEFAULTS)
@allow_op
@click.option("--name", default=_DEFAULTS.name, show_default=True, help="Name that requests give.")
@click.option(
    "--index-kind",
    default=IndexConfig().kind,
    show_default=True,
    type=click.Choice(["auto", "brute", "ah", "tree_ah"]),
    help="Kind of searcher; auto goes by the number of items.",
)
@click.option(
    "--snapshot-log-mib",
    default=_DEFAULTS.store.snapshot_log_bytes // MEBIBYTE,
    show_default=True,
    type=click.IntRange(min=0),
    help="Log size at which a snapshot is taken; 0: never by itself.",
)
@click.option(
    "--rebalance-fraction",
    default=_DEFAULTS.store.rebalance_fraction,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Share of changed items at which the index is built anew; 0: never by itself.",
)
def serve(
    data_dir: str,
    model_dir: str,
    model_server: str,
    model_ca: str,
    model_token_file: str,
    model_name: str,
    text_encoder: str,
    dimensions: int,
    name: str,
    index_kind: str,
    snapshot_log_mib: int,
    rebalance_fraction: float,
    allow_ops: tuple[str, ...],
    **given: Any,
) -> None:
    """Run the retrieval service on a data folder.

    It recovers every acknowledged write, then answers over TensorFlow Serving's gRPC and REST APIs. Ends on SIGTERM or
    Ctrl-C.
    """
    options = RetrievalOptions(
        data_dir=data_dir,
        model_dir=model_dir,
        model_server=model_server,
        model_name=model_name,
        text_encoder=text_encoder,
        width=dimensions,
        name=name,
        allow_ops=allow_ops,
        model_ca=model_ca,
        model_token=token(model_token_file) if model_token_file else "",
        **listening_values(given, _DEFAULTS.limits),
        store=StoreOptions(
            index=IndexConfig(kind=index_kind),
            snapshot_log_bytes=snapshot_log_mib * MEBIBYTE,
            rebalance_fraction=rebalance_fraction,
        ),
    )
    check_ports(options)
    click.echo(f"loading {printable(data_dir)} ...", err=True)
    with moving("loading TensorFlow"):
        from serving.retrieval_service.run import run

    run(options)


@retrieval.command()
@click.option("--from", "source", required=True, metavar="SNAPSHOT", help="Folder of a snapshot.")
@click.option("--data-dir", required=True, type=OUTPUT_FOLDER, help="New or empty folder, for a service to run on.")
def restore(source: str, data_dir: str) -> None:
    """Make a data folder from a snapshot."""
    from serving.retrieval_service.restore import restore as restore_snapshot

    items = restore_snapshot(source, data_dir)
    click.echo(f"{items} items in {data_dir}; run `h2rec retrieval serve --data-dir {data_dir}`")


for _command in client_cli.COMMANDS:
    retrieval.add_command(_command)
