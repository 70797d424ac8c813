"""Training speed as ratios measured in one run: batches, losses, and a maintained PyTorch library on the same data.

    python benchmarks/train.py --data DIR
    python benchmarks/train.py --users 2000 --without-peer

Without a data folder it runs on generated data. Figures are training sequences per second of the second epoch: the
first one also traces the graph. The peer, the SASRec of RecTools, is installed into a venv of its own in the cache
folder, with the Python given by --peer-python.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np

from h2rec_tf import environment
from h2rec_tf.bench import environment as machine
from h2rec_tf.config import Config
from h2rec_tf.data.batches import TrainingBatches
from h2rec_tf.data.folder import find_files
from h2rec_tf.data.load import load_dataset
from h2rec_tf.data.sequences import Catalogue, Dataset, Holdout, Sequences
from h2rec_tf.data.synthetic import write_synthetic
from h2rec_tf.metrics import table
from h2rec_tf.semantic_ids import SemanticIds, build_semantic_ids
from h2rec_tf.training import loop
from h2rec_tf.training.configured import train_configured

# Sequences per second of the authors' early PyTorch code: hidden 64, length 50, batch 128, its own defaults otherwise
# (cross-attention, dynamic gate, both alignments, binary cross-entropy with one negative), on Amazon Beauty with two
# cores of the kind of machine that docs/results.md names. Measured once; a ratio to it holds on such a machine only.
AUTHORS_EARLY_CODE = 291.0
PEER_PACKAGES = ("torch==2.13.0", "rectools[torch]==0.19.0")
# Without the limit of positions every variant, padded ones and the peer too, takes 128 sequences a step.
COMMON = {
    "model.hidden_size": 64,
    "model.max_length": 50,
    "training.batch_size": 128,
    "training.batch_positions": 0,
}
SASREC = {
    "model.branches": "hid",
    "model.hid_start": "random",
    "model.score": "dot",
    "model.temperature": 1.0,
    "model.layers": 2,
    "model.heads": 2,
    "model.dropout": 0.2,
    "model.seen_slots": 0,
    "loss.next_item": "full_softmax",
    "loss.teacher": 0.0,
}
DEFAULTS = "H2Rec, the defaults"
# All without the teacher, which not every loss can take.
LOSSES = {
    "full softmax": {"loss.next_item": "full_softmax", "loss.teacher": 0.0},
    "sampled softmax, 512 negatives": {"loss.next_item": "sampled_softmax", "loss.negatives": 512, "loss.teacher": 0.0},
    "in-batch softmax": {"loss.next_item": "in_batch", "loss.teacher": 0.0},
    "binary cross-entropy, 1 negative": {"loss.next_item": "bce", "loss.negatives": 1, "loss.teacher": 0.0},
}


def main() -> None:
    """Parses the arguments, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(os.environ.get("H2REC_DATA", "../shared/data")) / "beauty"
    parser.add_argument("--data", type=pathlib.Path, default=default, help="folder with interactions.* and items.*")
    parser.add_argument("--users", type=int, default=0, help="random users and their items; 0 takes all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--peer-python", default="python3.11", help="a Python that PyTorch has packages for")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "h2rec-tf" / "bench")
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures there")
    arguments = parser.parse_args()
    environment.quiet()
    dataset, name = data(arguments.data)
    dataset = sample(dataset, arguments.users) if arguments.users else dataset
    figures = ours(dataset, arguments.epochs)
    if not arguments.without_peer:
        figures["SASRec, RecTools (PyTorch)"] = peer(dataset, arguments)
    print(report(figures, dataset, name))
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"data": name, "figures": figures, **machine.describe()}), encoding="utf-8"
        )


def data(folder: pathlib.Path) -> tuple[Dataset, str]:
    """The folder's data set and its name; generated data where there is no such folder."""
    if folder.is_dir():
        interactions, items, embeddings = find_files(str(folder))
        config = Config().data
        return load_dataset(interactions, items, embeddings_path=embeddings, config=config)[0], folder.name
    print(f"{folder}: no such folder; measuring on generated data", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        interactions, items = map(str, write_synthetic(scratch, items=3000, users=6000))
        return load_dataset(interactions, items, config=Config().data)[0], "generated"


def sample(dataset: Dataset, users: int) -> Dataset:
    """Random users, with a catalogue of what they took in training, so that all models see the same items."""
    rows = np.sort(np.random.default_rng(0).permutation(len(dataset.train))[:users])
    histories = [dataset.train.history(row) for row in rows]
    items = np.unique(np.concatenate(histories))
    new_index = np.zeros(len(dataset.catalogue) + 1, np.int64)
    new_index[items] = np.arange(1, len(items) + 1)
    train = Sequences.from_lists([new_index[history].tolist() for history in histories])
    train = dataclasses.replace(train, timestamps=np.concatenate([np.arange(len(history)) for history in histories]))
    catalogue = dataset.catalogue
    arrays = {name: getattr(catalogue, name)[items - 1] for name in ("item_ids", "titles", "texts")}
    vectors = None if catalogue.vectors is None else catalogue.vectors[items - 1]
    return Dataset(Catalogue(**arrays, vectors=vectors), train, dataset.validation, dataset.test)


def ours(dataset: Dataset, epochs: int) -> dict[str, float]:
    """Sequences per second of every variant."""
    base = Config().replace(**COMMON)
    semantic_ids = build_semantic_ids(dataset.catalogue, text=base.text, quantizer=base.quantizer)
    figures = {DEFAULTS: speed(base, dataset, semantic_ids, epochs)}
    for loss, changes in LOSSES.items():
        figures[f"H2Rec, {loss}"] = speed(base.replace(**changes), dataset, semantic_ids, epochs)
    # Every batch as long as the longest history allowed, as most code pads them.
    with mock.patch.object(loop, "TrainingBatches", functools.partial(TrainingBatches, bucketed=False)):
        figures[f"{DEFAULTS}, padded"] = speed(base, dataset, semantic_ids, epochs)
        figures["SASRec, padded"] = speed(base.replace(**SASREC), dataset, semantic_ids, epochs)
    figures["SASRec"] = speed(base.replace(**SASREC), dataset, semantic_ids, epochs)
    return figures


def speed(config: Config, dataset: Dataset, semantic_ids: SemanticIds, epochs: int) -> float:
    """Sequences per second of the fastest epoch after the first; `train` is the function that every command calls."""
    # Speed alone is asked for: a few users to validate on, any will do.
    rows = np.flatnonzero(dataset.train.lengths > 1)[:50]
    histories = [dataset.train.history(row).tolist() for row in rows]
    validation = Holdout(
        Sequences.from_lists([history[:-1] for history in histories]),
        np.asarray([history[-1] for history in histories], np.int32),
    )
    config = config.replace(**{"training.epochs": epochs, "training.patience": epochs})
    result = train_configured(config, semantic_ids, dataset.train, validation)
    return max(figures["sequences_per_second"] for figures in result.history[1:] or result.history)


def peer(dataset: Dataset, arguments: argparse.Namespace) -> float:
    """Sequences per second of the peer on the training split, in its own Python."""
    python = peer_environment(arguments.cache, arguments.peer_python)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "train.npz"
        users = np.repeat(np.arange(len(dataset.train)), dataset.train.lengths)
        steps = np.arange(len(users)) - np.repeat(dataset.train.offsets[:-1], dataset.train.lengths)
        np.savez(path, users=users, items=dataset.train.items, steps=steps)
        options = {"hidden_size": 64, "layers": 2, "heads": 2, "dropout": 0.2, "max_length": 50, "batch_size": 128}
        script = pathlib.Path(__file__).with_name("peer_rectools.py")
        command = [python, str(script), str(path), str(arguments.epochs), json.dumps(options)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=scratch).stdout
    speeds = json.loads(printed.splitlines()[-1])
    return max(speeds[1:] or speeds)


def peer_environment(cache: pathlib.Path, python: str) -> str:
    """The Python of the peer's venv, made and filled once."""
    venv = cache / "-".join(PEER_PACKAGES).replace("[torch]", "").replace("==", "-")
    ready = venv / "ready"
    if not ready.exists():
        print(f"installing {', '.join(PEER_PACKAGES)} into {venv}", file=sys.stderr)
        subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
        # One after the other: the second then takes the PyTorch that is there.
        for package in PEER_PACKAGES:
            subprocess.run([str(venv / "bin" / "python"), "-m", "pip", "install", "-q", package], check=True)
        ready.touch()
    return str(venv / "bin" / "python")


def report(figures: dict[str, float], dataset: Dataset, name: str) -> str:
    """The figures as Markdown, with the ratios that are asked for."""
    h2rec, sasrec, softmax = figures[DEFAULTS], figures["SASRec"], figures["H2Rec, full softmax"]
    against = {f"H2Rec, {loss}": ("full softmax", softmax) for loss in LOSSES}
    against |= {f"{DEFAULTS}, padded": ("bucketed", h2rec), "SASRec, padded": ("bucketed", sasrec)}
    against |= {"SASRec, RecTools (PyTorch)": ("our SASRec", sasrec)}
    rows = []
    for variant, value in figures.items():
        word, reference = against.get(variant, ("", 0.0))
        rows.append([variant, f"{value:,.0f}", f"{value / reference:.2f} x {word}" if reference else "-"])
    best = max(figures[f"H2Rec, {loss}"] for loss in LOSSES)
    lines = [
        table.render(["hidden 64, length 50, batch 128", "sequences/s", "ratio"], rows, markdown=True),
        f"{name}: {len(dataset.train):,} sequences of median length {np.median(dataset.train.lengths):.0f},"
        f" {len(dataset.catalogue):,} items.",
    ]
    if name == "beauty":
        # On other data the figure says nothing.
        lines.append(
            f"The authors' early PyTorch code, {AUTHORS_EARLY_CODE:.0f} sequences/s on Amazon Beauty: ours is"
            f" {h2rec / AUTHORS_EARLY_CODE:.2f} times as fast with the defaults, {best / AUTHORS_EARLY_CODE:.2f} times"
            " with the fastest loss and no teacher."
        )
    if "SASRec, RecTools (PyTorch)" in figures:
        lines.append(f"Our SASRec is {sasrec / figures['SASRec, RecTools (PyTorch)']:.2f} times as fast as RecTools'.")
    described = machine.describe()
    lines.append(f"{described['processor']}, {described['cores']} cores, load average {machine.load_average():.1f}.")
    return "\n\n".join(lines)


if __name__ == "__main__":
    main()
