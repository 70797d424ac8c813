"""`h2rec index`: build, evaluate and tune the ScaNN index of an exported model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from h2rec_tf.cli.options import text_flags, with_flags
from h2rec_tf.cli.outputs import OUTPUT_FILE, OUTPUT_FOLDER
from h2rec_tf.config import Config, DataConfig, IndexConfig
from h2rec_tf.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from h2rec_tf.export.loaded import LoadedModel

_MODEL = click.option("--model-dir", required=True, metavar="DIR", help="SavedModel, or a folder of numbered versions.")
_CONFIG = click.option("--config", "config_path", metavar="FILE.yaml", help="Configuration; flags override it.")
_KIND = click.option("--kind", type=click.Choice(["auto", "brute", "ah", "tree_ah"]), help="Kind of index [auto].")
_QUERY_OPTIONS = (
    click.option("--interactions", metavar="FILE", help="Users whose histories are the queries [single items]."),
    click.option("--user-column", help="Column of user ids in the interactions file [user_id]."),
    click.option("--item-column", help="Column of item ids in the interactions file [item_id]."),
    click.option("--timestamp-column", help="Column of times: numbers or dates [timestamp]."),
    click.option("--queries", type=click.IntRange(min=1), help="Queries to ask [1000]."),
    click.option("--k", type=click.IntRange(min=1), help="List length [100]."),
    click.option("--target-recall", type=click.FloatRange(0.0, 1.0), help="Share of the exact list [0.98]."),
    click.option(
        "--allow-other-catalogue", "other", is_flag=True, help="Pass over interactions with items unknown to the model."
    ),
)

_TEXT_FLAGS = text_flags("--", "", "interactions")


def _queries(command: Any) -> Any:
    command = with_flags(command, _TEXT_FLAGS)
    for option in reversed(_QUERY_OPTIONS):
        command = option(command)
    return command


@click.group()
def index() -> None:
    """Build, evaluate and tune a ScaNN index of a model's items."""


@index.command()
@_MODEL
@click.option(
    "--output", required=True, type=OUTPUT_FOLDER, metavar="DIR", help="Writes DIR/index and DIR/serving/VERSION."
)
@_CONFIG
@_KIND
def build(model_dir: str, output: str, config_path: str | None, kind: str | None) -> None:
    """Build an index of the items of a model, and the model with ScaNN inside.

    DIR/index is for the retrieval service and for `h2rec index evaluate`; DIR/serving is for `h2rec serve`.
    """
    config = _config(config_path, kind=kind)
    from h2rec_tf.index.scann_index import build_index
    from h2rec_tf.index.servable import build_servable

    model = _model(model_dir)
    manifest = build_index(model.vectors(), model.item_ids, f"{output}/index", config=config)
    version = model.path.name if model.path.name.isdigit() else "1"
    build_servable(model, f"{output}/serving/{version}", config=config)
    settings = manifest.settings
    leaves = f", {settings.leaves_to_search} of {settings.leaves} leaves searched" if settings.leaves else ""
    click.echo(
        f"{settings.kind}: {manifest.items} items x {manifest.dimensions}{leaves}, "
        f"{manifest.bytes / 2**20:.1f} MiB, built in {manifest.build_seconds:.1f} s"
    )
    click.echo(f"index in {output}/index, to serve in {output}/serving")


@index.command()
@_MODEL
@click.option("--index-dir", required=True, metavar="DIR", help="What `h2rec index build` wrote to DIR/index.")
@_queries
@click.option("--json", "json_path", type=OUTPUT_FILE, metavar="FILE", help="Write the report there.")
@_CONFIG
def evaluate(
    model_dir: str, index_dir: str, json_path: str | None, config_path: str | None, other: bool, **flags: Any
) -> None:
    """Compare an index with exact search: recall, time of a query, memory.

    Ends with exit code 1 if it misses a limit of the `index` section.
    """
    config, data, interactions = _asked(config_path, flags)
    from h2rec_tf.index.evaluate import check_same_items, evaluate_index
    from h2rec_tf.index.scann_index import load_index

    # First, so that its memory is not mixed with the model's.
    loaded = load_index(index_dir)
    model = _model(model_dir)
    check_same_items(loaded, model.item_ids, where=f"--index-dir {index_dir}")
    queries = _user_vectors(model, config, data, interactions, other=other)
    report = evaluate_index(loaded, model.vectors(), queries, k=config.k)
    if json_path:
        report.save(json_path)
    click.echo(report.table())
    problems = report.problems(config)
    for line in problems or ["blessed"]:
        click.echo(line)
    if problems:
        raise click.exceptions.Exit(1)


@index.command()
@_MODEL
@click.option("--output", type=OUTPUT_FILE, metavar="FILE.yaml", help="Write the configuration with the setting found.")
@_KIND
@_queries
@_CONFIG
def tune(
    model_dir: str, output: str | None, kind: str | None, config_path: str | None, other: bool, **flags: Any
) -> None:
    """Find the fastest setting at a recall: prints what was tried, the best one marked."""
    config, data, interactions = _asked(config_path, flags, kind=kind)
    from h2rec_tf.index.tune import tune_index

    model = _model(model_dir)
    tuning = tune_index(model.vectors(), _user_vectors(model, config, data, interactions, other=other), config=config)
    click.echo(tuning.table())
    if not tuning.reached:
        click.echo(f"no setting reaches recall {config.target_recall}; the best one is marked")
    if output:
        import dataclasses

        base = Config.load(config_path) if config_path else Config()
        dataclasses.replace(base, index=tuning.config).save(output)
        click.echo(f"written to {output}")


def _config(path: str | None, **flags: Any) -> IndexConfig:
    base = Config.load(path) if path else Config()
    return base.replace(**{f"index.{key}": value for key, value in flags.items() if value is not None}).index


def _asked(path: str | None, flags: dict[str, Any], **more: Any) -> tuple[IndexConfig, DataConfig, str | None]:
    """The index section, the data section, which says how the interactions file is read, and that file."""
    interactions = flags.pop("interactions")
    keys = ["user_column", "item_column", "timestamp_column", *dict.fromkeys(key for _, key, _, _ in _TEXT_FLAGS)]
    columns = {f"data.{key}": flags.pop(key) for key in keys}
    base = Config.load(path) if path else Config()
    data = base.replace(**{key: name for key, name in columns.items() if name}).data
    return _config(path, **flags, **more), data, interactions


def _model(model_dir: str) -> LoadedModel:
    from h2rec_tf import environment
    from h2rec_tf.index import scann_library

    environment.quiet()
    # Before TensorFlow Recommenders, which looks for ScaNN when it is imported.
    scann_library.pybind()
    from h2rec_tf.export.loaded import LoadedModel

    return LoadedModel(model_dir)


def _user_vectors(
    model: LoadedModel, config: IndexConfig, data: DataConfig, interactions: str | None, *, other: bool
) -> np.ndarray:
    """Raises:
    InputError: the interactions have items that the model does not know, and `other` does not accept it.
    """
    from h2rec_tf.index.queries import histories_of_items, histories_of_users

    if interactions:
        histories = histories_of_users(interactions, config.queries, data)
        asked = {item for history in histories for item in history}
        unknown = len(asked - set(model.item_ids))
        if unknown:
            said = f"{unknown / len(asked):.1%} of its items ({unknown} of {len(asked)}) are unknown to the model"
            if not other:
                raise InputError(
                    f"--interactions {interactions}: {said}; give interactions of the model's catalogue, or"
                    " --allow-other-catalogue to pass over those"
                )
            click.echo(f"{said} and are passed over", err=True)
        return model.queries(histories)
    return model.queries(histories_of_items(model.item_ids, config.queries))
