"""A load test as JSON, as a page and as a picture."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from h2rec_tf.atomic import write_atomically
from serving.bench.load import LoadResult, percentiles_ms


def as_dict(
    setting: Mapping[str, Any],
    loads: Sequence[LoadResult],
    ways: Mapping[str, np.ndarray] | None,
    reloads: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Everything that was measured, as JSON holds it; latencies in milliseconds.

    Args:
        setting: what was asked for.
        loads: one a rate.
        ways: milliseconds of calls one after the other, by the way to call.
        reloads: of `reloads.as_dict`, one a rate; empty if no version came.
    """
    result: dict[str, Any] = {
        "setting": dict(setting),
        "loads": [
            {
                "rate": load.rate,
                "throughput": round(load.throughput, 1),
                "answered": len(load.answered),
                "errors": load.errors,
                "latency_ms": {name: round(value, 3) for name, value in percentiles_ms(load.answered).items()},
                "sent_late_ms_p99": round(float(np.percentile(load.late, 99) * 1e3), 3) if len(load.late) else 0.0,
            }
            for load in loads
        ],
    }
    for row, reload in zip(result["loads"], reloads, strict=False):
        row["reloads"] = dict(reload)
    if ways:
        result["one_at_a_time_ms"] = {
            name: {"p50": round(float(np.percentile(row, 50)), 3), "p99": round(float(np.percentile(row, 99)), 3)}
            for name, row in ways.items()
        }
    return result


def as_markdown(result: Mapping[str, Any]) -> str:
    """The same as tables."""
    lines = ["# Load test of the model server", ""]
    lines += [f"- {name}: {value}" for name, value in result["setting"].items()]
    lines += [
        "",
        "Open loop: requests arrive as a Poisson process; latency counts from the moment a request was due.",
        "",
        "| rate /s | answers /s | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms | errors | sent late p99 ms |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for load in result["loads"]:
        errors = ", ".join(f"{code} {count}" for code, count in sorted(load["errors"].items())) or "0"
        lines.append(
            f"| {load['rate']:g} | {load['throughput']:.0f} | {_cells(load['latency_ms'])} | {errors} | "
            f"{load['sent_late_ms_p99']:.2f} |"
        )
    if any("reloads" in load for load in result["loads"]):
        lines += _reload_lines(result["loads"])
    ways = result.get("one_at_a_time_ms")
    if ways:
        lines += ["", "One request after the other, batch 1:", "", "| way | p50 ms | p99 ms |", "|---|---:|---:|"]
        lines += [f"| {name} | {row['p50']:.2f} | {row['p99']:.2f} |" for name, row in ways.items()]
        first, *_, last = ways.values()
        lines += ["", f"Over gRPC, p50 is {last['p50'] - first['p50']:+.2f} ms from the signature in process."]
    return "\n".join(lines) + "\n"


def _reload_lines(loads: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "",
        "New versions while requests arrive. Beside a reload: from the moment that the version is in the folder to a "
        "second after its first answer.",
        "",
        "| rate /s | requests | number | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms | failed |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for load in loads:
        for key, name in (("beside", "beside a reload"), ("otherwise", "otherwise")):
            group = load["reloads"][key]
            cells = _cells(group["latency_ms"])
            lines.append(f"| {load['rate']:g} | {name} | {group['requests']} | {cells} | {group['failed']} |")
    lines += ["", "| rate /s | new versions | answers by version | seconds to the first answer |", "|---:|---|---|---|"]
    for load in loads:
        reloads = load["reloads"]
        answers = ", ".join(f"{version}: {count}" for version, count in reloads["answers_by_version"].items())
        waits = ", ".join("never" if wait is None else f"{wait:.2f}" for wait in reloads["seconds_to_first_answer"])
        lines.append(f"| {load['rate']:g} | {', '.join(map(str, reloads['appeared']))} | {answers} | {waits} |")
    return lines


def _cells(latency: Mapping[str, float]) -> str:
    return " | ".join(f"{latency[name]:.2f}" if latency else "-" for name in ("p50", "p90", "p99", "p99.9", "max"))


def write(directory: str, result: Mapping[str, Any], loads: Sequence[LoadResult]) -> list[pathlib.Path]:
    """Writes `serve.json`, `serve.md` and `serve.png` to a directory, which is made; returns their paths."""
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        folder / "serve.json": (json.dumps(result, indent=2) + "\n").encode(),
        folder / "serve.md": (as_markdown(result) + "\n![latency](serve.png)\n").encode(),
        folder / "serve.png": _picture(loads),
    }
    for path, content in files.items():
        write_atomically(str(path), content)
    return list(files)


def _picture(loads: Sequence[LoadResult]) -> bytes:
    """Latency by percentile, on a scale that gives each further nine the same room."""
    import io

    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for load in loads:
        if not len(load.answered):
            continue
        ordered = np.sort(load.answered) * 1e3
        above = 1 - np.arange(len(ordered)) / len(ordered)
        axes.plot(1 / above, ordered, label=f"{load.rate:g} requests/s")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1, 10, 100, 1000], ["0", "90", "99", "99.9"])
    axes.set_xlabel("percentile")
    axes.set_ylabel("latency from the due time, ms")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    pyplot.close(figure)
    return buffer.getvalue()
