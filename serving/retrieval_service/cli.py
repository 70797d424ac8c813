"""The commands `h2rec retrieval ...`."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any

import click

from h2rec_tf.config import IndexConfig
from h2rec_tf.errors import InputError
from serving.cli.options import connecting, connection_of, listening, listening_values, token
from serving.retrieval_service.options import RetrievalOptions, StoreOptions
from serving.server.options import MEBIBYTE

if TYPE_CHECKING:
    from serving.client import Recommendation
    from serving.retrieval_service.client import RetrievalClient

_DEFAULTS = RetrievalOptions(data_dir="")
_BATCH = 1000


@click.group()
def retrieval() -> None:
    """Items that come and go: a ScaNN index that takes upserts and deletes, and survives a crash."""


@retrieval.command()
@click.option("--data-dir", required=True, help="Folder of log and snapshots; made if absent.")
@click.option("--model-dir", default="", help="Folder that the model is pushed to; it is loaded into the service.")
@click.option("--model-server", default="", metavar="HOST:PORT", help="A model server to ask instead.")
@click.option("--model-ca", default="", metavar="FILE", help="PEM file of the authority of that server's certificate.")
@click.option("--model-token-file", default="", metavar="FILE", help="File with the bearer token for that server.")
@click.option("--model-name", default=_DEFAULTS.model_name, show_default=True, help="Name of the model there.")
@click.option(
    "--text-encoder",
    default="",
    help="Folder of the text encoder, for upserts of texts; else the one in --model-dir.",
)
@click.option("--dimensions", default=0, type=click.IntRange(0, 65536), help="Width of the vectors, without a model.")
@listening(_DEFAULTS)
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
        model_ca=model_ca,
        model_token=token(model_token_file) if model_token_file else "",
        **listening_values(given),
        store=StoreOptions(
            index=IndexConfig(kind=index_kind),
            snapshot_log_bytes=snapshot_log_mib * MEBIBYTE,
            rebalance_fraction=rebalance_fraction,
        ),
    )
    from serving.retrieval_service.run import run

    run(options)


def _connection(command: Any) -> Any:
    """The options of every command that talks to a service; it gets a client in their place."""

    @functools.wraps(command)
    def connected(name: str, timeout: float, **given: Any) -> None:
        from serving.retrieval_service.client import RetrievalClient

        with RetrievalClient(connection_of(given), name=name, timeout=timeout) as client:
            command(client, **given)

    connected = click.option(
        "--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0.001), help="Seconds for a call."
    )(connected)
    connected = click.option("--name", default=_DEFAULTS.name, show_default=True, help="Name of the service.")(
        connected
    )
    return connecting(f"{_DEFAULTS.host}:{_DEFAULTS.port}")(connected)


@retrieval.command()
@_connection
@click.option("--items", "path", default="", help="CSV, TSV, JSON Lines or Parquet of items.")
@click.option("--item-column", default="item_id", show_default=True, help="Of the file: ids.")
@click.option("--title-column", default="title", show_default=True, help="Of the file: titles.")
@click.option("--text-column", "text_columns", multiple=True, help="Of the file: texts to join; all, if not given.")
@click.option("--vector-column", default="", help="Of the file: vectors.")
@click.option(
    "--vectors-of",
    default="items",
    show_default=True,
    type=click.Choice(["items", "texts"]),
    help="What the vectors are: ready item vectors, or vectors of texts as the model was trained with.",
)
@click.option("--item-id", default="", help="One item instead of a file.")
@click.option("--title", default="", help="Its title.")
@click.option("--text", default="", help="Its text.")
def upsert(
    client: RetrievalClient,
    path: str,
    item_column: str,
    title_column: str,
    text_columns: tuple[str, ...],
    vector_column: str,
    vectors_of: str,
    item_id: str,
    title: str,
    text: str,
) -> None:
    """Add items or replace them.

    An item that the model was trained on gets the vector that training gave it; a new one gets its vector from its
    text. With --vector-column and --vectors-of items the given vectors are taken as they are.
    """
    if bool(path) == bool(item_id):
        raise InputError("give either --items FILE or --item-id ID")
    if item_id:
        written = client.upsert([item_id], texts=[text] if text else None, titles=[title] if title else None)
        click.echo(f"{'replaced' if written.existed[0] else 'added'} {item_id} (write {written.sequence})")
        return
    from h2rec_tf.data.catalogue import read_catalogue

    catalogue, _ = read_catalogue(
        path,
        item_column=item_column,
        title_column=title_column,
        text_columns=text_columns,
        vector_column=vector_column,
    )
    replaced = 0
    for start in range(0, len(catalogue.item_ids), _BATCH):
        rows = slice(start, start + _BATCH)
        told: dict[str, Any] = {"texts": catalogue.texts[rows].tolist()}
        if catalogue.vectors is not None:
            told = {"vectors" if vectors_of == "items" else "text_vectors": catalogue.vectors[rows]}
        written = client.upsert(catalogue.item_ids[rows].tolist(), titles=catalogue.titles[rows].tolist(), **told)
        replaced += sum(written.existed)
    total = len(catalogue.item_ids)
    click.echo(f"added {total - replaced} items, replaced {replaced} (write {written.sequence})")


@retrieval.command()
@_connection
@click.argument("item_ids", nargs=-1, required=True)
def delete(client: RetrievalClient, item_ids: tuple[str, ...]) -> None:
    """Take items out; an id that is not there changes nothing."""
    written = client.delete(item_ids)
    click.echo(f"deleted {sum(written.existed)} of {len(item_ids)} (write {written.sequence})")


@retrieval.command()
@_connection
@click.option("--history", metavar="ID,ID,...", help='A user\'s item ids, oldest first; "" is a new user.')
@click.option("--similar-to", default="", metavar="ID", help="An item instead of a user.")
@click.option("--exclude", default="", metavar="ID,ID,...", help="Items that must not come back.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1), help="Most items.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def query(
    client: RetrievalClient,
    history: str | None,
    similar_to: str,
    exclude: str,
    k: int,
    as_json: bool,
) -> None:
    """Ask for the best items for a user, or the most similar ones to an item."""
    if (history is None) == (not similar_to):
        raise InputError("give either --history or --similar-to")
    barred = [_ids(exclude)]
    if history is None:
        hits = client.similar_items([similar_to], k, exclude=barred)[0]
    else:
        hits = client.recommend([_ids(history)], k, exclude=barred)[0]
    click.echo(json.dumps([dataclasses.asdict(hit) for hit in hits], ensure_ascii=False) if as_json else _table(hits))


@retrieval.command()
@_connection
def snapshot(client: RetrievalClient) -> None:
    """Have all items written to a snapshot, which makes the log short."""
    sequence, path = client.snapshot()
    click.echo(f"snapshot up to write {sequence} in {path}")


@retrieval.command()
@_connection
def rebalance(client: RetrievalClient) -> None:
    """Have the index built anew for the items that are there now."""
    client.rebalance()
    status = client.status()
    click.echo(f"index of kind {status.kind} for {status.items} items")


@retrieval.command()
@_connection
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def status(client: RetrievalClient, as_json: bool) -> None:
    """Show what the service holds."""
    values = dataclasses.asdict(client.status())
    click.echo(json.dumps(values) if as_json else "\n".join(f"{key:18} {value}" for key, value in values.items()))


@retrieval.command()
@click.option("--from", "source", required=True, metavar="SNAPSHOT", help="Folder of a snapshot.")
@click.option("--data-dir", required=True, help="New or empty folder, for a service to run on.")
def restore(source: str, data_dir: str) -> None:
    """Make a data folder from a snapshot."""
    from serving.retrieval_service.restore import restore as restore_snapshot

    items = restore_snapshot(source, data_dir)
    click.echo(f"{items} items in {data_dir}; run `h2rec retrieval serve --data-dir {data_dir}`")


def _ids(text: str) -> list[str]:
    """Splits on commas; an id that holds one is put in double quotes, as in CSV."""
    return [item for row in csv.reader([text], skipinitialspace=True) for item in map(str.strip, row) if item]


def _table(hits: list[Recommendation]) -> str:
    width = max([len("item"), *(len(hit.item_id) for hit in hits)])
    lines = [f"{'rank':>4}  {'score':>9}  {'item':{width}}  title"]
    lines += [
        f"{rank:>4}  {hit.score:>9.4f}  {hit.item_id:{width}}  {hit.title or '(no title)'}"
        for rank, hit in enumerate(hits, start=1)
    ]
    return "\n".join(lines)
