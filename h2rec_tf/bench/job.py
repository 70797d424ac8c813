"""One run of a benchmark, in a process of its own so that its peak memory is its own.

    python -m h2rec_tf.bench.job JOB.json

The parent writes the job's file and reads the record's; nothing else passes between them. The process ends with its
standard input, which its parent holds open and never writes to: no run outlives what started it, however that ended.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from typing import Any

import numpy as np

from h2rec_tf.config import Config


@dataclasses.dataclass(frozen=True)
class Job:
    """What to run and where things are.

    Attributes:
        config: all sections, as plain values; `training.seed` is the run's.
        splits: directory of `Splits`.
        semantic_ids: directory of `SemanticIds`.
        work_dir: checkpoints of the training; a job that was killed goes on from there.
        record_path: where the record goes, whole or not at all.
        ranks_path: where the ranks of the test users go, `.npz`.
    """

    config: dict[str, Any]
    splits: str
    semantic_ids: str
    work_dir: str
    record_path: str
    ranks_path: str

    def save(self, path: str) -> None:
        """Writes the job's file."""
        from h2rec_tf.atomic import write_atomically

        write_atomically(path, json.dumps(dataclasses.asdict(self)).encode())

    @classmethod
    def load(cls, path: str) -> Job:
        """Reads what `save` wrote."""
        with open(path, encoding="utf-8") as file:
            return cls(**json.load(file))


def run_job(job: Job, *, progress: bool = False) -> dict[str, Any]:
    """Trains or fits, evaluates on the test split once under all protocols, and saves the ranks.

    Returns:
        The record's part that the run knows, ready for JSON.
    """
    from h2rec_tf.atomic import write_atomically
    from h2rec_tf.bench import environment
    from h2rec_tf.bench.prepared import Splits
    from h2rec_tf.evaluation import Protocol, evaluate_protocols
    from h2rec_tf.metrics.protocol import EXCLUDE, INCLUDE, REPEATS
    from h2rec_tf.semantic_ids import SemanticIds

    config = Config.from_dict(job.config)
    load_before = environment.load_average()
    splits, semantic_ids = Splits.load(job.splits), SemanticIds.load(job.semantic_ids)
    fit = _fit_floor if config.floor.kind != "none" else _train
    recommender, figures = fit(config, splits, semantic_ids, job.work_dir, progress)
    began = time.perf_counter()
    # First the one that serving gives.
    policies = sorted((EXCLUDE, INCLUDE), key=lambda seen: seen != config.serving.seen)
    protocols = [*(Protocol(seen) for seen in (*policies, REPEATS)), Protocol(sampled_negatives=100)]
    if splits.num_items < int(splits.test.histories.lengths.max(initial=0)) + 101:
        # The longest history may leave too few unseen items.
        protocols.pop()
    results = evaluate_protocols(
        recommender,
        splits.test,
        protocols,
        popularity=splits.popularity,
        ks=config.evaluation.ks,
        head_fraction=config.evaluation.head_fraction,
        seed=config.evaluation.seed,
        progress=progress,
    )
    evaluation_seconds = time.perf_counter() - began
    _save_ranks(job.ranks_path, results[0].ranks)
    record = {
        **figures,
        "protocol": results[0].protocol,
        "results": {result.protocol: _rounded(result.to_dict()) for result in results},
        "evaluation_seconds": round(evaluation_seconds, 3),
        "peak_memory_mb": round(environment.peak_memory_mb(), 1),
        "data": {
            "items": splits.num_items,
            "train_users": len(splits.train),
            "train_interactions": len(splits.train.items),
            "test_users": len(splits.test),
        },
        "environment": environment.describe() | {"load": [load_before, environment.load_average()]},
    }
    write_atomically(job.record_path, json.dumps(record, allow_nan=False).encode())
    return record


def _fit_floor(
    config: Config, splits: Any, semantic_ids: Any, work_dir: str, progress: bool
) -> tuple[Any, dict[str, Any]]:
    from h2rec_tf.evaluation import Protocol, evaluate
    from h2rec_tf.models.floors import make_floor

    began = time.perf_counter()
    recommender = make_floor(config.floor, train=splits.train, vectors=semantic_ids.vectors)
    seconds = time.perf_counter() - began
    validation = evaluate(
        recommender,
        splits.validation,
        popularity=splits.popularity,
        ks=(10,),
        protocol=Protocol(config.serving.seen),
        recommendation_k=0,
        progress=progress,
    )
    training = {"seconds": round(seconds, 3), "validation_ndcg@10": round(validation.metric("ndcg@10"), 6)}
    return recommender, {"parameters": 0, "training": training}


def _train(config: Config, splits: Any, semantic_ids: Any, work_dir: str, progress: bool) -> tuple[Any, dict[str, Any]]:
    from h2rec_tf.bench.pictures import codebook_usage, gate_by_popularity
    from h2rec_tf.models.vector_recommender import VectorRecommender
    from h2rec_tf.training.configured import train_configured

    result = train_configured(
        config, semantic_ids, splits.train, splits.validation, directory=work_dir, progress=progress
    )
    epochs = [_rounded(figures) for figures in result.history]
    figures: dict[str, Any] = {
        "parameters": int(sum(np.prod(variable.shape) for variable in result.model.trainable_variables)),
        "training": {
            "seconds": round(result.seconds, 3),
            "seconds_to_best": round(sum(epoch["seconds"] for epoch in result.history[: result.best_epoch]), 3),
            "epochs": len(epochs),
            "best_epoch": result.best_epoch,
            "sequences_per_second": round(result.sequences_per_second, 1),
            "validation_ndcg@10": round(result.best_ndcg_at_10, 6),
            "history": epochs,
        },
    }
    # Where the gate leans and how codes are used is told by what early stopping saw, not by the test users.
    gate = gate_by_popularity(result.model, splits.validation.histories, splits.popularity, config.model.max_length)
    if gate is not None:
        figures["gate"] = _rounded(gate)
    if config.model.branches != "hid":
        figures["codebook"] = codebook_usage(semantic_ids.report)
    recommender = VectorRecommender(result.model, max_length=config.model.max_length, popularity=splits.popularity)
    return recommender, figures


def _save_ranks(path: str, ranks: np.ndarray) -> None:
    import io

    from h2rec_tf.atomic import write_atomically

    buffer = io.BytesIO()
    np.savez_compressed(buffer, ranks=ranks.astype(np.uint16 if ranks.max() < 2**16 else np.uint32))
    write_atomically(path, buffer.getvalue())


def _rounded(values: Any) -> Any:
    """Floats at seven significant digits, NumPy's own ones as Python's, inside dicts and lists."""
    if isinstance(values, dict):
        return {name: _rounded(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_rounded(value) for value in values]
    return float(f"{values:.7g}") if isinstance(values, (float, np.floating)) else values


def _end_with_parent() -> None:
    # Not through `sys.stdin`: its lock, held while it waits, would abort the interpreter at a normal end.
    while os.read(0, 1024):
        pass
    # Nothing to clean up: files are written whole or not at all, and whoever runs the job again goes on from them.
    os._exit(1)


def main() -> None:
    """Runs the job named on the command line; an error that the user can mend is one line and exit code 2."""
    from h2rec_tf import environment
    from h2rec_tf.errors import H2RecError

    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    environment.quiet()
    try:
        run_job(Job.load(sys.argv[1]), progress=True)
    except H2RecError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
