"""The demo: the commands of the README in order, on generated data."""

from __future__ import annotations

import argparse
import collections
import contextlib
import csv
import gzip
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator

H2REC = [sys.executable, "-m", "h2rec_tf.cli.main"]


def main() -> None:
    """Makes the data, runs the pipeline, serves the model, asks it, and measures it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("demo"))
    root = parser.parse_args().root
    began = time.perf_counter()
    interactions, items = root / "data" / "interactions.csv.gz", root / "data" / "items.jsonl"
    files = ["--interactions", str(interactions), "--items", str(items), "--config", "configs/demo.yaml"]
    step("generated data", "data", "synthesize", str(root / "data"))
    step("the pipeline: files to a pushed model", "pipeline", "run", *files, "--root", str(root / "run"))
    serving = ["--model-dir", str(root / "run" / "serving")]
    with server(serving) as target:
        for user, history in three_users(interactions):
            step(f"recommendations for {user}, over gRPC", "recommend", "--target", target, "--history", history)
    step("the pushed model on the test split, beside the floors", "evaluate", *serving, *files)
    print(f"\ndemo done in {time.perf_counter() - began:.0f} s; everything is in {root}/")


def step(title: str, *arguments: str) -> None:
    """Prints and runs one command; a failure ends the demo with the command's exit code."""
    print(f"\n== {title}\n$ h2rec {' '.join(arguments)}", flush=True)
    code = subprocess.run([*H2REC, *arguments]).returncode
    if code:
        sys.exit(code)


@contextlib.contextmanager
def server(arguments: list[str]) -> Iterator[str]:
    """Runs `h2rec serve` on a free port while the block runs; gives its address."""
    command = ["serve", *arguments, "--port", "0"]
    print(f"\n== the model server\n$ h2rec {' '.join(command)}", flush=True)
    process = subprocess.Popen([*H2REC, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        print(line, end="", flush=True)
        found = re.search(r"(\S+:\d+)\s*$", line)
        if not found:
            sys.exit(process.wait() or 1)
        yield found.group(1)
    finally:
        process.terminate()
        process.wait()


def three_users(interactions: pathlib.Path) -> list[tuple[str, str]]:
    """Users with a short, a median and a long history: id, and item ids joined by commas."""
    histories: dict[str, list[tuple[int, str]]] = collections.defaultdict(list)
    with gzip.open(interactions, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            histories[row["user_id"]].append((int(row["timestamp"]), row["item_id"]))
    users = sorted(histories, key=lambda user: (len(histories[user]), user))
    chosen = [users[0], users[len(users) // 2], users[len(users) * 9 // 10]]
    return [(user, ",".join(item for _, item in sorted(histories[user]))) for user in chosen]


if __name__ == "__main__":
    main()
