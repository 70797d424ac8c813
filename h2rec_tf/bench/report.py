"""The report of a results file: Markdown with pictures, and one self-contained HTML page."""

from __future__ import annotations

import base64
import json
import pathlib
import re
from typing import Any

from h2rec_tf.atomic import write_atomically
from h2rec_tf.bench.plots import all_plots
from h2rec_tf.bench.records import read_records
from h2rec_tf.bench.significance import against
from h2rec_tf.bench.summary import Comparison, ModelResults, comparisons
from h2rec_tf.bench.tables import ResultTable, all_tables
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError

MARKDOWN_FILE = "tables.md"
PAGE_FILE = "index.html"


def render(results: str, output: str, *, baseline: str | None = None) -> dict[str, list[ResultTable]]:
    """Writes `tables.md`, `index.html` and the pictures `DATASET-NAME.png`.

    Args:
        results: the results file; the ranks for the significance tests lie in `ranks/` beside it.
        output: folder; files of the same names are replaced.
        baseline: model that all are tested against; None takes the best floor or baseline on each data set.

    Returns:
        Data set -> its tables.

    Raises:
        InputError: no results there, no such baseline, or the folder cannot be written.
    """
    if not pathlib.Path(results).is_file():
        raise InputError(
            f"{results}: no results here; run `h2rec bench quality --output DIR` and give DIR/results.jsonl"
        )
    found = comparisons(read_records(results))
    folder, sections, tables = pathlib.Path(output), [], {}
    markdown = ["# Measured quality"]
    for comparison in found:
        significance = against(comparison, pathlib.Path(results).parent, baseline=baseline)
        anchor = re.sub(r"[^a-z0-9]+", "-", comparison.dataset.lower()).strip("-") or "data"
        if len([one for one in found if one.dataset == comparison.dataset]) > 1:
            anchor += f"-{comparison.data_hash[:6]}"
        plots, own_tables = all_plots(comparison), all_tables(comparison, significance)
        tables[anchor] = own_tables
        for name, (_, png) in plots.items():
            write_atomically(folder / f"{anchor}-{name}.png", png)
        about, configurations = _about(comparison), [(model.name, _changed(model)) for model in comparison.models]
        markdown += [f"## {comparison.dataset}", about]
        markdown += [f"![{caption}]({anchor}-{name}.png)" for name, (caption, _) in plots.items()]
        markdown += [one.markdown() for one in own_tables]
        markdown += ["### Configurations", "What differs from the defaults, seed apart."]
        markdown += ["\n".join(f"- **{name}**: `{values}`" for name, values in configurations)]
        sections.append(
            {
                "anchor": anchor,
                "dataset": comparison.dataset,
                "about": about,
                "plots": [
                    {"caption": caption, "base64": base64.b64encode(png).decode()} for caption, png in plots.values()
                ],
                "tables": [_for_page(one) for one in own_tables],
                "configurations": configurations,
            }
        )
    write_atomically(folder / MARKDOWN_FILE, ("\n\n".join(markdown) + "\n").encode())
    write_atomically(folder / PAGE_FILE, _page("Measured quality", sections).encode())
    return tables


def _page(title: str, sections: list[dict[str, Any]]) -> str:
    import jinja2

    source = (pathlib.Path(__file__).parent / "page.html.jinja").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True).from_string(source).render(title=title, sections=sections)


def _for_page(one: ResultTable) -> dict[str, Any]:
    rows = [list(zip(row, flags, strict=True)) for row, flags in zip(one.rows, one.best, strict=True)]
    return {"title": one.title, "note": one.note, "header": one.header, "rows": rows}


def _about(comparison: Comparison) -> str:
    data, machine = comparison.first["data"], comparison.first["environment"]
    records = [record for model in comparison.models for record in model.records]
    loads = [load for record in records for load in record["environment"]["load"]]
    seeds = sorted({record["seed"] for record in records})
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{data['items']:,} items, {data['train_users']:,} users and {data['train_interactions']:,} interactions in"
        f" training, {data['test_users']:,} test users; data hash {comparison.data_hash}. Seeds"
        f" {', '.join(map(str, seeds))} (models without training: the first). Machine: {machine['processor']},"
        f" {machine['cores']} cores, {machine['system']}, load average {min(loads):.1f} to {max(loads):.1f}."
        f" Python {machine['python']}, {versions}."
    )


def _changed(model: ModelResults) -> str:
    """The values that are not the defaults, as `section.key=value`."""
    defaults = _flat(Config().to_dict())
    own = _flat(model.records[0]["config"])
    skipped = ("data.", "training.seed", "gate.", "serving.", "evaluation.exclude_seen")
    changed = [
        f"{name}={json.dumps(value)}"
        for name, value in own.items()
        if not name.startswith(skipped) and defaults.get(name) != value
    ]
    seen = model.records[0]["config"]["serving"].get("seen", Config().serving.seen)
    if seen != Config().serving.seen:
        changed.append(f'serving.seen="{seen}"')
    return " ".join(changed) or "the defaults"


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
