"""The quality benchmark: every configuration with every seed, each run once, results kept as they come."""

from __future__ import annotations

import datetime
import json
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from h2rec_tf.bench.configurations import NamedConfiguration
from h2rec_tf.bench.environment import source_hash
from h2rec_tf.bench.job import Job, run_job
from h2rec_tf.bench.prepared import PreparedData
from h2rec_tf.bench.records import Record, append_record, read_records, run_key
from h2rec_tf.data.sequences import Dataset
from h2rec_tf.errors import H2RecError, InputError

RESULTS_FILE = "results.jsonl"


def run_quality(
    configurations: Sequence[NamedConfiguration],
    dataset: Dataset,
    *,
    seeds: Sequence[int],
    output: str,
    dataset_name: str,
    own_process: bool = True,
    say: Callable[[str], None] = print,
) -> list[Record]:
    """Runs what is not in the results file yet and appends to it.

    A run is known by configuration hash, data hash and seed; that it was made with other code of the library is said,
    and its line must be removed to run it again. One that was killed goes on from its last epoch. A floor runs with the
    first seed alone. A run that fails does not stop the others.

    Args:
        configurations: models by name.
        dataset: what all are trained and measured on.
        seeds: at least one, distinct.
        output: folder of `results.jsonl`, `ranks/` and `cache/`.
        dataset_name: for headings.
        own_process: gives each run a process, so that its peak memory is its own; it ends when this one does. False
            runs in this one.
        say: takes a line of progress.

    Returns:
        The records of all asked-for runs.

    Raises:
        InputError: no seed, one given twice, or an unusable results file.
        H2RecError: some runs failed; the others are kept.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds: give distinct seeds, got {', '.join(map(str, seeds)) or 'none'}")
    results, source = pathlib.Path(output) / RESULTS_FILE, source_hash()
    finished: dict[tuple[str, str, int], dict[str, Record]] = {}
    for record in read_records(results):
        finished.setdefault(run_key(record), {})[record["model"]] = record
    prepared = PreparedData(dataset, f"{output}/cache")
    # All models with the first seed, then with the next: whoever stops early has a whole table.
    runs = [(one, seed) for seed in seeds for one in configurations if seed == seeds[0] or not one.is_floor]
    records, failures = [], []
    for number, (one, seed) in enumerate(runs, 1):
        label = f"{one.name}, seed {seed} ({number} of {len(runs)})"
        key = (one.hash, prepared.hash, seed)
        known = finished.setdefault(key, {})
        if one.name in known:
            record = known[one.name]
            same_code = record["environment"]["source"] == source
            say(f"{label}: done before{'' if same_code else ', with other code of the library'}")
            records.append(record)
            continue
        if known:
            same = next(iter(known.values()))
            say(f"{label}: the same configuration as {same['model']}")
            record = same | {"model": one.name}
        else:
            say(label)
            try:
                record = {"model": one.name, "dataset": dataset_name, **_run(one, seed, prepared, output, own_process)}
            except H2RecError as error:
                failures.append(f"{label}: {error}")
                say(f"failed: {error}")
                continue
            say(_line(record))
        append_record(results, record)
        known[one.name] = record
        records.append(record)
    if failures:
        raise H2RecError(f"{len(failures)} of {len(runs)} runs failed; the others are in {results}. {failures[0]}")
    return records


def _run(one: NamedConfiguration, seed: int, prepared: PreparedData, output: str, own_process: bool) -> Record:
    config = one.config.replace(**{"training.seed": seed})
    folder = pathlib.Path(output)
    stem = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', one.name)}-{one.hash[:8]}-{prepared.hash[:8]}-{seed}"
    work_dir = folder / "cache" / "runs" / stem
    job = Job(
        config=config.to_dict(),
        splits=prepared.splits(),
        semantic_ids=prepared.semantic_ids(config, seed=seed, progress=True),
        work_dir=str(work_dir),
        record_path=str(work_dir / "record.json"),
        ranks_path=str(folder / "ranks" / f"{stem}.npz"),
    )
    if own_process:
        job_path = str(work_dir / "job.json")
        job.save(job_path)
        code = _run_process([sys.executable, "-m", "h2rec_tf.bench.job", job_path])
        if code:
            raise H2RecError(f"its process ended with exit code {code}; see the lines above")
    else:
        run_job(job)
    record = json.loads(pathlib.Path(job.record_path).read_text(encoding="utf-8"))
    shutil.rmtree(work_dir)
    return {
        "seed": seed,
        "config_hash": one.hash,
        "data_hash": prepared.hash,
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "config": config.to_dict(),
        **record,
        "ranks": f"ranks/{stem}.npz",
    }


def _run_process(command: list[str]) -> int:
    """Runs a command to its end, with a standard input that ends when this process does; gives its exit code."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr) as process:
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise


def _line(record: Record) -> str:
    overall = record["results"][record["protocol"]]["slices"]["overall"]
    shown = [f"{metric} {overall[metric]:.4f}" for metric in ("hr@10", "ndcg@10") if metric in overall]
    validation = record["training"]["validation_ndcg@10"]
    seconds = record["training"]["seconds"]
    return f"  validation ndcg@10 {validation:.4f}; test {', '.join(shown)}; {seconds:.0f} s"
