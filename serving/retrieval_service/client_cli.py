"""The commands that ask a running retrieval service."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any

import click

from h2rec_tf.errors import InputError
from h2rec_tf.printable import printable, printable_json
from serving.cli.options import comma_separated, connecting, connection_of, wait_for, waiting
from serving.retrieval_service.options import RetrievalOptions

if TYPE_CHECKING:
    from serving.client import Recommendation
    from serving.retrieval_service.client import RetrievalClient

_DEFAULTS = RetrievalOptions(data_dir="")
_BATCH = 1000


def _connection(command: Any) -> Any:
    """The options of every command that talks to a service; it gets a client in their place."""

    @functools.wraps(command)
    def connected(name: str, timeout: float, wait: float, **given: Any) -> None:
        from serving.retrieval_service.client import RetrievalClient

        where = connection_of(given)
        with RetrievalClient(where, name=name, timeout=timeout) as client:
            wait_for(client, where.target, wait)
            command(client, **given)

    connected = waiting(connected)
    connected = click.option(
        "--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0.001), help="Seconds for a call."
    )(connected)
    connected = click.option("--name", default=_DEFAULTS.name, show_default=True, help="Name of the service.")(
        connected
    )
    return connecting(f"{_DEFAULTS.host}:{_DEFAULTS.port}")(connected)


@click.command()
@_connection
@click.option("--items", "path", default="", help="CSV, TSV, JSON Lines or Parquet of items.")
@click.option("--item-column", default="item_id", show_default=True, help="Of the file: ids.")
@click.option("--title-column", default="title", show_default=True, help="Of the file: titles.")
@click.option("--text-column", "text_columns", multiple=True, help="Of the file: texts to join; all, if not given.")
@click.option("--vector-column", default="", help="Of the file: vectors.")
@click.option("--delimiter", default="", help="Of the file: between fields, as ';', '::', '\\t' [auto].")
@click.option("--encoding", default="utf-8", show_default=True, help="Of the file.")
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
    delimiter: str,
    encoding: str,
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
        click.echo(f"{'replaced' if written.existed[0] else 'added'} {printable(item_id)} (write {written.sequence})")
        return
    from h2rec_tf.data.catalogue import read_catalogue
    from h2rec_tf.data.text_format import TextFormat

    catalogue, _ = read_catalogue(
        path,
        item_column=item_column,
        title_column=title_column,
        text_columns=text_columns,
        vector_column=vector_column,
        text=TextFormat(delimiter=delimiter, encoding=encoding),
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


@click.command()
@_connection
@click.argument("item_ids", nargs=-1, required=True)
def delete(client: RetrievalClient, item_ids: tuple[str, ...]) -> None:
    """Take items out; an id that is not there changes nothing."""
    written = client.delete(item_ids)
    click.echo(f"deleted {sum(written.existed)} of {len(item_ids)} (write {written.sequence})")


@click.command()
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
    barred = [comma_separated(exclude)]
    if history is None:
        hits = client.similar_items([similar_to], k, exclude=barred)[0]
    else:
        hits = client.recommend([comma_separated(history)], k, exclude=barred)[0]
    click.echo(printable_json([dataclasses.asdict(hit) for hit in hits]) if as_json else _table(hits))


@click.command()
@_connection
def snapshot(client: RetrievalClient) -> None:
    """Have all items written to a snapshot, which makes the log short."""
    sequence, path = client.snapshot()
    click.echo(f"snapshot up to write {sequence} in {path}")


@click.command()
@_connection
def rebalance(client: RetrievalClient) -> None:
    """Have the index built anew for the items that are there now."""
    client.rebalance()
    status = client.status()
    click.echo(f"index of kind {status.kind} for {status.items} items")


@click.command()
@_connection
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def status(client: RetrievalClient, as_json: bool) -> None:
    """Show what the service holds."""
    values = dataclasses.asdict(client.status())
    click.echo(json.dumps(values) if as_json else "\n".join(f"{key:18} {value}" for key, value in values.items()))


def _table(hits: list[Recommendation]) -> str:
    ids = [printable(hit.item_id) for hit in hits]
    width = max(map(len, ["item", *ids]))
    lines = [f"{'rank':>4}  {'score':>9}  {'item':{width}}  title"]
    lines += [
        f"{rank:>4}  {hit.score:>9.4f}  {name:{width}}  {printable(hit.title) or '(no title)'}"
        for rank, (name, hit) in enumerate(zip(ids, hits, strict=True), start=1)
    ]
    return "\n".join(lines)


COMMANDS = (upsert, delete, query, snapshot, rebalance, status)
