"""`h2rec recommend`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from serving.cli.options import comma_separated, connecting, connection_of
from serving.server.options import ServerOptions

if TYPE_CHECKING:
    from serving.client import Recommendation

_DEFAULTS = ServerOptions()
_DEFAULT_TARGET = f"{_DEFAULTS.host}:{_DEFAULTS.port}"


@click.command()
@connecting(_DEFAULT_TARGET)
@click.option(
    "--history",
    "histories",
    required=True,
    multiple=True,
    metavar="ID,ID,...",
    help='Item ids, oldest first; "" is a new user. May be given again for more users.',
)
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1), help="Items for each user.")
@click.option("--exclude", default="", metavar="ID,ID,...", help="Items that must not come back.")
@click.option(
    "--allow-categories", default="", metavar="NAME,NAME,...", help="Categories of which alone items may come back."
)
@click.option(
    "--model-name", default=_DEFAULTS.model_name, show_default=True, help="Name that the model is served under."
)
@click.option("--version", type=click.IntRange(min=0), help="Ask this version; default: the newest.")
@click.option("--label", default="", help="Ask the version with this label.")
@click.option(
    "--timeout", default=10.0, show_default=True, type=click.FloatRange(min=0.001), help="Seconds for a call."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a user instead of tables.")
def recommend(
    histories: tuple[str, ...],
    k: int,
    exclude: str,
    allow_categories: str,
    model_name: str,
    version: int | None,
    label: str,
    timeout: float,
    as_json: bool,
    **connection: Any,
) -> None:
    """Ask a model server for recommendations."""
    if version is not None and label:
        raise click.UsageError("give one of --version and --label")
    rows = [comma_separated(history) for history in histories]
    filters = {"exclude": comma_separated(exclude), "allow_categories": comma_separated(allow_categories)}
    from serving.client import Client

    where = connection_of(connection)
    with Client(where, model_name=model_name, version=version, label=label, timeout=timeout) as client:
        answers = client.recommend(rows, k, **{name: [listed] for name, listed in filters.items() if listed})
        known = sorted({item for row in rows for item in row})
        titles = dict(zip(known, client.titles(known), strict=True))
    for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        if as_json:
            click.echo(json.dumps(_as_dict(row, titles, answer), ensure_ascii=False))
            continue
        if number:
            click.echo()
        click.echo(_table(row, titles, answer))


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
