"""`h2rec recommend`."""

from __future__ import annotations

import csv
import json
import pathlib
from typing import TYPE_CHECKING

import click

from h2rec_tf.errors import InputError
from serving.server.options import ServerOptions

if TYPE_CHECKING:
    from serving.client import Recommendation

_DEFAULTS = ServerOptions()
_DEFAULT_TARGET = f"{_DEFAULTS.host}:{_DEFAULTS.port}"


@click.command()
@click.option("--target", default=_DEFAULT_TARGET, show_default=True, metavar="HOST:PORT", help="The model server.")
@click.option(
    "--history",
    "histories",
    required=True,
    multiple=True,
    metavar="ID,ID,...",
    help='Item ids, oldest first; "" is a new user. May be given again for more users.',
)
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1), help="Items for each user.")
@click.option(
    "--model-name", default=_DEFAULTS.model_name, show_default=True, help="Name that the model is served under."
)
@click.option("--version", type=click.IntRange(min=0), help="Ask this version; default: the newest.")
@click.option("--label", default="", help="Ask the version with this label.")
@click.option("--tls", is_flag=True, help="The server's connection is encrypted.")
@click.option("--ca", default="", metavar="FILE", help="PEM file of the authority that signed its certificate.")
@click.option("--certificate", default="", metavar="FILE", help="PEM file of your certificate, where it is asked for.")
@click.option("--key", default="", metavar="FILE", help="PEM file of its private key.")
@click.option("--token-file", default="", metavar="FILE", help="File whose first line is the bearer token.")
@click.option(
    "--timeout", default=10.0, show_default=True, type=click.FloatRange(min=0.001), help="Seconds for a call."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a user instead of tables.")
def recommend(
    histories: tuple[str, ...],
    target: str,
    k: int,
    model_name: str,
    version: int | None,
    label: str,
    tls: bool,
    ca: str,
    certificate: str,
    key: str,
    token_file: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Ask a model server for recommendations."""
    if version is not None and label:
        raise click.UsageError("give one of --version and --label")
    rows = [_item_ids(history) for history in histories]
    from serving.client import Client, Connection

    connection = Connection(
        target, tls=tls, ca=ca, certificate=certificate, key=key, token=_token(token_file) if token_file else ""
    )
    with Client(connection, model_name=model_name, version=version, label=label, timeout=timeout) as client:
        answers = client.recommend(rows, k)
        known = sorted({item for row in rows for item in row})
        titles = dict(zip(known, client.titles(known), strict=True))
    for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        if as_json:
            click.echo(json.dumps(_as_dict(row, titles, answer), ensure_ascii=False))
            continue
        if number:
            click.echo()
        click.echo(_table(row, titles, answer))


def _token(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--token-file {path}: cannot be read ({error})") from error


def _item_ids(text: str) -> list[str]:
    """Splits on commas; an id that holds one is put in double quotes, as in CSV."""
    return [item for row in csv.reader([text], skipinitialspace=True) for item in map(str.strip, row) if item]


def _as_dict(history: list[str], titles: dict[str, str], answer: list[Recommendation]) -> dict[str, object]:
    return {
        "history": [{"item_id": item, "title": titles[item]} for item in history],
        "recommendations": [
            {"rank": rank, "item_id": item.item_id, "title": item.title, "score": item.score}
            for rank, item in enumerate(answer, start=1)
        ],
    }


def _table(history: list[str], titles: dict[str, str], answer: list[Recommendation]) -> str:
    width = max([len("item"), *(len(item) for item in history), *(len(item.item_id) for item in answer)])
    lines = ["history (oldest first)" if history else "history: none, a new user"]
    lines += [f"  {'':4}  {'':8}  {item:{width}}  {titles[item] or '(no title)'}" for item in history]
    lines.append(f"  {'rank':>4}  {'score':>8}  {'item':{width}}  title")
    lines += [
        f"  {rank:>4}  {item.score:>8.4f}  {item.item_id:{width}}  {item.title or '(no title)'}"
        for rank, item in enumerate(answer, start=1)
    ]
    return "\n".join(lines)
