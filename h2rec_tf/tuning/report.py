"""What a search leaves to read: the best configuration as a file for `h2rec bench quality`, and its trials."""

from __future__ import annotations

import csv
import io
import pathlib
from typing import Any

from h2rec_tf.atomic import write_atomically
from h2rec_tf.config import Config
from h2rec_tf.metrics import table
from h2rec_tf.tuning.space import SearchSpace

BEST_FILE = "best.yaml"
TRIALS_TABLE = "trials.md"
TRIALS_FILE = "trials.csv"
# Attribute of a trial: seconds, epochs and best epoch so far.
PROGRESS = "progress"


def write_report(output: str, config: Config, space: SearchSpace, trials: list[Any]) -> None:
    """Writes `best.yaml` (once a trial is complete), `trials.md` and `trials.csv`, each whole or not at all.

    Args:
        output: folder.
        config: what the search began with.
        space: what it searched.
        trials: finished Optuna trials.
    """
    folder = pathlib.Path(output)
    keys = [dimension.key for dimension in space.dimensions]
    header = ["trial", "ndcg@10", "state", "epochs", "best epoch", "seconds", *keys]
    rows = [
        [
            str(number),
            "-" if trial.value is None else f"{trial.value:.5f}",
            trial.state.name.lower(),
            str(trial.user_attrs[PROGRESS].get("epochs", "-")),
            str(trial.user_attrs[PROGRESS].get("best_epoch", "-")),
            f"{trial.user_attrs[PROGRESS]['seconds']:.1f}",
            *(shown(trial.params.get(key, "-")) for key in keys),
        ]
        for number, trial in enumerate(trials, 1)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_atomically(folder / TRIALS_FILE, text.getvalue().encode())
    ranked = sorted(rows, key=lambda row: row[1] if row[2] == "complete" else "", reverse=True)
    write_atomically(folder / TRIALS_TABLE, (table.render(header, ranked, markdown=True) + "\n").encode())
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if complete:
        best = max(complete, key=lambda trial: trial.value)
        write_atomically(folder / BEST_FILE, _best_file(config, best, len(trials)).encode())


def shown(value: Any) -> str:
    """A value as tables show it: floats at four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best_file(config: Config, best: Any, trials: int) -> str:
    """YAML: what the model's own file changed, and every searched value even where it equals the default."""
    import yaml

    values = _difference(config.to_dict(), Config().to_dict())
    for name in ("data", "evaluation"):
        values.pop(name, None)
    values.get("training", {}).pop("seed", None)
    for key, value in best.params.items():
        *parents, leaf = key.split(".")
        node = values
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    values = {name: part for name, part in values.items() if part}
    head = f"# Best of {trials} trials, validation NDCG@10 {best.value:.4f}.\n"
    return head + yaml.safe_dump(values, sort_keys=False)


def _difference(own: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in own.items():
        if isinstance(value, dict):
            nested = _difference(value, defaults[name])
            if nested:
                found[name] = nested
        elif value != defaults[name]:
            found[name] = value
    return found
