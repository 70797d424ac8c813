"""`h2rec recommend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from h2rec_tf.printable import printable, printable_json
from serving.cli.options import comma_separated, connecting, connection_of, wait_for, waiting
from serving.server.options import ServerOptions

if TYPE_CHECKING:
    from serving.client import Client, Recommendation

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
@waiting
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
    wait: float,
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
        wait_for(client, where.target, wait)
        answers = client.recommend(rows, k, **{name: [listed] for name, listed in filters.items() if listed})
        asked = sorted({item for row in rows for item in row})
        titles = dict(zip(asked, client.titles(asked), strict=True))
        unknown = unknown_items(client, [*asked, *filters["exclude"]])
    if unknown:
        click.echo(f"unknown item ids, passed over: {', '.join(map(printable, sorted(unknown)))}", err=True)
    for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        if as_json:
            click.echo(printable_json(_as_dict(row, titles, unknown, answer)))
            continue
        if number:
            click.echo()
        click.echo(_table(row, titles, unknown, answer))


def unknown_items(client: Client, item_ids: list[str]) -> set[str]:
    """Those of the ids that the model's catalogue does not have; empty where the model cannot tell."""
    from serving.client import ServerError

    if not item_ids:
        return set()
    try:
        (ranked,) = client.rank_candidates([[""]], [item_ids])
    except ServerError:
        # A model with other signatures, or with a smaller limit: nothing is said then.
        return set()
    return {one.item_id for one in ranked if not one.known}


def _as_dict(
    history: list[str], titles: dict[str, str], unknown: set[str], answer: list[Recommendation]
) -> dict[str, object]:
    return {
        "history": [{"item_id": item, "title": titles[item], "known": item not in unknown} for item in history],
        "recommendations": [
            {"rank": rank, "item_id": item.item_id, "title": item.title, "score": item.score}
            for rank, item in enumerate(answer, start=1)
        ],
    }


def _table(history: list[str], titles: dict[str, str], unknown: set[str], answer: list[Recommendation]) -> str:
    ids = [printable(item.item_id) for item in answer]
    width = max(map(len, ["item", *map(printable, history), *ids]))
    lines = ["history (oldest first)" if history else "history: none, a new user"]
    for item in history:
        title = "(unknown)" if item in unknown else printable(titles[item]) or "(no title)"
        lines.append(f"  {'':4}  {'':8}  {printable(item):{width}}  {title}")
    if history and unknown.issuperset(history):
        lines.append("none of these items is known: what follows are the most popular items, as for a new user")
    lines.append(f"  {'rank':>4}  {'score':>8}  {'item':{width}}  title")
    lines += [
        f"  {rank:>4}  {item.score:>8.4f}  {name:{width}}  {printable(item.title) or '(no title)'}"
        for rank, (name, item) in enumerate(zip(ids, answer, strict=True), start=1)
    ]
    return "\n".join(lines)
