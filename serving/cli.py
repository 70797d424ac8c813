"""The commands `h2rec serve` and `h2rec recommend`."""

from __future__ import annotations

import csv
import json
import pathlib
from typing import TYPE_CHECKING

import click

from h2rec_tf.errors import InputError
from serving.server.options import Limits, ServerOptions

if TYPE_CHECKING:
    from serving.client import Recommendation

_DEFAULTS = ServerOptions(model_dir="")
_DEFAULT_TARGET = f"{_DEFAULTS.host}:{_DEFAULTS.port}"


@click.command()
@click.option(
    "--model-dir", required=True, help="Folder with a sub-folder for each version, as the pipeline pushes it."
)
@click.option("--port", default=_DEFAULTS.port, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--host", default=_DEFAULTS.host, show_default=True, help="Address to listen on.")
@click.option("--insecure", is_flag=True, help="Allow a --host that other machines can reach; nothing is encrypted.")
@click.option("--model-name", default=_DEFAULTS.model_name, show_default=True, help="Name that requests give.")
@click.option(
    "--poll-seconds",
    default=_DEFAULTS.poll_seconds,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Time between looks for a new version; 0: never.",
)
@click.option(
    "--threads",
    default=_DEFAULTS.threads,
    show_default="2 a core",
    type=click.IntRange(min=1),
    help="Requests at a time.",
)
@click.option(
    "--max-message-mib",
    default=_DEFAULTS.limits.message_bytes // 2**20,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Largest request or response.",
)
@click.option(
    "--max-batch-size",
    default=_DEFAULTS.limits.batch_size,
    show_default=True,
    type=click.IntRange(min=1),
    help="Most histories in a request.",
)
@click.option(
    "--max-history",
    default=_DEFAULTS.limits.history_length,
    show_default=True,
    type=click.IntRange(min=1),
    help="Longest history in a request.",
)
@click.option(
    "--grace-seconds",
    default=_DEFAULTS.grace_seconds,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Time for running requests at shutdown.",
)
def serve(
    model_dir: str,
    port: int,
    host: str,
    insecure: bool,
    model_name: str,
    poll_seconds: float,
    threads: int,
    max_message_mib: int,
    max_batch_size: int,
    max_history: int,
    grace_seconds: float,
) -> None:
    """Serve a pushed model over TensorFlow Serving's gRPC API.

    The newest version under --model-dir answers; a newer one takes over when it appears, without a failed request.
    Ends on SIGTERM or Ctrl-C, after the running requests.
    """
    options = ServerOptions(
        model_dir=model_dir,
        model_name=model_name,
        host=host,
        port=port,
        insecure=insecure,
        poll_seconds=poll_seconds,
        threads=threads,
        grace_seconds=grace_seconds,
        limits=Limits(message_bytes=max_message_mib * 2**20, batch_size=max_batch_size, history_length=max_history),
    )
    if not pathlib.Path(model_dir).is_dir() and "://" not in model_dir:
        # Before the seconds that TensorFlow takes to import.
        raise InputError(f"--model-dir {model_dir}: no such folder; push a model with `h2rec pipeline run`")
    from serving.server.run import run

    run(options)


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
@click.option(
    "--timeout", default=10.0, show_default=True, type=click.FloatRange(min=0.001), help="Seconds for a call."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a user instead of tables.")
def recommend(histories: tuple[str, ...], target: str, k: int, model_name: str, timeout: float, as_json: bool) -> None:
    """Ask a model server for recommendations."""
    rows = [_item_ids(history) for history in histories]
    from serving.client import Client

    with Client(target, model_name=model_name, timeout=timeout) as client:
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
