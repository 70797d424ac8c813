"""The model card: what a pushed model was trained on, how well it does where, and what it cannot do."""

from __future__ import annotations

import datetime
import json
import pathlib
from typing import Any

import numpy as np

from h2rec_tf import __version__
from h2rec_tf.baseline_gate import BaselineVerdict
from h2rec_tf.config import Config
from h2rec_tf.metrics.protocol import EXCLUDE, Protocol
from h2rec_tf.models.store import CONFIG_FILE, POPULARITY_FILE, SEMANTIC_IDS_DIR
from h2rec_tf.semantic_ids import load_report, read_item_ids
from tfx_pipeline import constants

Metrics = dict[str, dict[str, float]]

_COLUMNS = ("users", "ndcg_10", "hr_10", "mrr")


def model_card(
    *,
    trained: str,
    metrics: Metrics,
    baselines: BaselineVerdict | None,
    index: dict[str, Any] | None,
    version: str,
) -> dict[str, Any]:
    """The card as plain values.

    Args:
        trained: directory of the `TrainedModel`.
        metrics: slice -> metric -> value on the test split, `users` among them; {} where nothing was measured.
        baselines: how it stands to recommenders without training, or None where nothing was measured.
        index: figures of the index that is pushed with it, or None.
        version: number under which the model is pushed.
    """
    path = pathlib.Path(trained)
    config = Config.load(str(path / CONFIG_FILE)).to_dict()
    popularity = np.load(path / POPULARITY_FILE)[1:]
    codes = load_report(str(path / SEMANTIC_IDS_DIR))
    item_ids = read_item_ids(str(path / SEMANTIC_IDS_DIR))
    return {
        "model": "h2rec",
        "version": version,
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "package": f"h2rec-tf {__version__}",
        "data": {
            "items": len(item_ids),
            "training_interactions": int(popularity.sum()),
            "items_without_training_interactions": int((popularity == 0).sum()),
            "items_without_text": int(codes.empty_vectors),
            "code_collision_rate": float(codes.collision_rate),
            "largest_code_share": float(codes.levels[0].largest_share),
            "largest_code_tuple_share": float(codes.largest_tuple_share),
        },
        "protocol": Protocol(config["serving"]["seen"]).name,
        "metrics": metrics,
        "baselines": None if baselines is None else baselines.to_dict() | {"lines": baselines.lines()},
        "index": index,
        "limits": _limits(config, popularity),
        "config": {key: config[key] for key in ("model", "loss", "training", "evaluation", "serving")},
    }


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    lines = [f"# {card['model']}, version {card['version']}", "", f"Made {card['made']} by {card['package']}.", ""]
    lines += ["## Data", ""]
    lines += [f"- {name.replace('_', ' ')}: {_shown(value)}" for name, value in card["data"].items()]
    lines += ["", f"## Quality on the test split, ranked as it serves: {card['protocol']}", ""]
    if card["metrics"]:
        lines += ["| slice | " + " | ".join(name.replace("_", "@") for name in _COLUMNS) + " |"]
        lines += ["|---" * (len(_COLUMNS) + 1) + "|"]
        for name, row in card["metrics"].items():
            lines.append(f"| {name} | " + " | ".join(_shown(row.get(column)) for column in _COLUMNS) + " |")
    else:
        lines.append("Not measured.")
    lines += ["", "## Against baselines", ""]
    lines += [f"- {line}" for line in card["baselines"]["lines"]] if card["baselines"] else ["Not measured."]
    if card["index"]:
        lines += ["", "## Index", ""]
        lines += [f"- {name.replace('_', ' ')}: {_shown(value)}" for name, value in card["index"].items()]
    lines += ["", "## Limits", ""]
    lines += [f"- {limit}" for limit in card["limits"]]
    lines += ["", "## Configuration", "", "```json", json.dumps(card["config"], indent=2), "```", ""]
    return "\n".join(lines)


def write_card(card: dict[str, Any], folder: pathlib.Path) -> None:
    """`model_card.md` and `model_card.json` in a folder."""
    (folder / f"{constants.CARD_FILE}.md").write_text(render(card), encoding="utf-8")
    (folder / f"{constants.CARD_FILE}.json").write_text(json.dumps(card, indent=2), encoding="utf-8")


def _limits(config: dict[str, Any], popularity: np.ndarray) -> list[str]:
    limits = [
        f"It reads the last {config['model']['max_length']} known items of a history and ignores the rest.",
        f"A request gets at most {config['serving']['max_k']} items.",
        "It never recommends an item of the history."
        if config["serving"]["seen"] == EXCLUDE
        else "It recommends items of the history like others.",
        "A user without a known item gets the most popular items of the training split.",
        "It knows the items of the catalogue it was trained with; ids of others are ignored.",
    ]
    if (popularity == 0).any():
        limits.append("Items without training interactions are placed by their codes alone.")
    return limits


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and value > 1 else f"{value:.4f}"
    return str(value)
