"""`h2rec semantic-ids`: codes from item text, and what the codebooks look like."""

from __future__ import annotations

import functools
from typing import Any

import click

from h2rec_tf.cli.options import merged_config, text_flags, with_flags
from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.printable import printable_lines
from h2rec_tf.progress import moving


@click.group("semantic-ids")
def semantic_ids() -> None:
    """Build semantic IDs and report on the codebooks."""


@semantic_ids.command()
@click.option("--items", required=True, metavar="FILE", help="Items: CSV, TSV, JSONL (these also .gz) or Parquet.")
@click.option("--embeddings", metavar="FILE", help="Item vectors: .npz with item_id and embedding, or Parquet.")
@click.option(
    "--output",
    required=True,
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Where to write; an earlier build there is replaced.",
)
@click.option("--config", "config_path", metavar="FILE.yaml", help="Configuration; flags override it.")
@click.option("--item-column", "catalogue_item_column", help="Column of item ids [item_id].")
@click.option("--title-column", help="Column of titles [title, else the first text column].")
@click.option("--text-column", "text_columns", multiple=True, help="Text column; repeat for more [all text columns].")
@click.option("--category-column", help="Column of categories [none].")
@click.option("--vector-column", help="Column of vectors [none].")
@click.option("--max-bad-rows", type=int, help="Rejected rows to accept, all files together [0].")
@click.option("--encoder", type=click.Choice(["auto", "vectors", "tfidf", "sentence"]), help="Text to vectors [auto].")
@click.option("--quantizer", "kind", type=click.Choice(["rq_kmeans", "rq_vae", "pq"]), help="Quantizer [rq_kmeans].")
@click.option("--levels", type=int, help="Codes per item [4].")
@click.option("--codes", type=int, help="Codes per level [256].")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all random choices [0].")
@functools.partial(with_flags, flags=text_flags("--catalogue-", "catalogue_", "items"))
def build(
    items: str,
    embeddings: str | None,
    output: str,
    config_path: str | None,
    encoder: str | None,
    kind: str | None,
    levels: int | None,
    codes: int | None,
    seed: int | None,
    **data_flags: Any,
) -> None:
    """Turn item text or vectors into codes, write them to DIR and print the codebook report."""
    config = merged_config(config_path, data_flags)
    flags = {
        "text.encoder": encoder,
        "quantizer.kind": kind,
        "quantizer.levels": levels,
        "quantizer.codes": codes,
        "training.seed": seed,
    }
    config = config.replace(**{name: value for name, value in flags.items() if value is not None})

    with moving("loading TensorFlow"):
        from h2rec_tf.data.catalogue import read_catalogue
        from h2rec_tf.data.text_format import catalogue_format
        from h2rec_tf.quantizers.codebook_gate import codebook_faults
        from h2rec_tf.semantic_ids import build_semantic_ids

    with moving("reading items"):
        catalogue, _ = read_catalogue(
            items,
            item_column=config.data.catalogue_item_column or config.data.item_column,
            title_column=config.data.title_column,
            text_columns=config.data.text_columns,
            category_column=config.data.category_column,
            vector_column=config.data.vector_column,
            embeddings_path=embeddings,
            text=catalogue_format(config.data),
            max_bad_rows=config.data.max_bad_rows,
        )
    built = build_semantic_ids(
        catalogue, text=config.text, quantizer=config.quantizer, seed=config.training.seed, progress=True
    )
    built.save(output)
    click.echo(printable_lines(built.report.table()))
    for fault in codebook_faults(built.report, config.codebooks):
        click.echo(f"codebooks: {fault}")
    click.echo(f"written to {output}")


@semantic_ids.command()
@click.argument("directory")
@click.option("--groups", default=5, show_default=True, type=click.IntRange(min=0), help="Colliding groups to list.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON instead of a table.")
def report(directory: str, groups: int, as_json: bool) -> None:
    """Print the codebook report of semantic IDs in DIRECTORY."""
    import json

    from h2rec_tf.semantic_ids import load_report

    found = load_report(directory)
    click.echo(json.dumps(found.to_dict()) if as_json else printable_lines(found.table(groups=groups)))
