"""`h2rec bench serve`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.errors import InputError


@click.command()
@click.option("--model-dir", help="Serve this folder in a process of its own, and compare with calls in this process.")
@click.option("--target", metavar="HOST:PORT", help="Load this running server instead, or take it for --model-dir.")
@click.option("--model-name", default="h2rec", show_default=True, help="Name that the model is served under.")
@click.option(
    "--rate",
    "rates",
    multiple=True,
    default=(100.0, 500.0),
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second; may be given again.",
)
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(min=0.1), help="Time of each rate.")
@click.option(
    "--reload-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Meanwhile the version comes again under the next number, every so many seconds; needs --model-dir alone.",
)
@click.option("--calls", default=1000, show_default=True, type=click.IntRange(min=1), help="Calls one after the other.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1), help="Items in an answer.")
@click.option(
    "--history", "longest", default=20, show_default=True, type=click.IntRange(min=1), help="Longest history; from 1."
)
@click.option("--item-ids", type=click.File(), help="Ids for the histories, one a line; default: what the model names.")
@click.option("--timeout", default=10.0, show_default=True, type=click.FloatRange(min=0.001), help="Seconds a request.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of arrivals and histories.")
@click.option(
    "--output", type=OUTPUT_FOLDER, metavar="DIR", help="Also write serve.json, serve.md and serve.png there."
)
def serve(
    model_dir: str | None,
    target: str | None,
    model_name: str,
    rates: tuple[float, ...],
    seconds: float,
    reload_seconds: float | None,
    calls: int,
    k: int,
    longest: int,
    item_ids: TextIO | None,
    timeout: float,
    seed: int,
    output: str | None,
) -> None:
    """Measure latency and throughput of a model server.

    Requests arrive at random at the given rates, whether or not earlier ones have been answered, and latency counts
    from the moment a request was due.
    """
    if not (model_dir or target):
        raise click.UsageError("give --model-dir or --target")
    if reload_seconds and (target or not model_dir):
        raise click.UsageError("--reload-seconds needs a server of its own: give --model-dir and no --target")
    if reload_seconds and seconds < 2 * reload_seconds:
        raise click.UsageError(f"--seconds {seconds:g}: give at least two of --reload-seconds {reload_seconds:g}")
    import grpc

    from h2rec_tf import environment
    from serving import protocol
    from serving.bench import histories as drawn
    from serving.bench import reloads, report
    from serving.bench.in_process import compare
    from serving.bench.load import poisson_arrivals, run_load
    from serving.client import Client, Connection

    environment.quiet()
    with contextlib.ExitStack() as stack:
        versions = stack.enter_context(reloads.VersionFolder(str(model_dir))) if reload_seconds else None
        served = versions.path if versions else str(model_dir)
        address = target or stack.enter_context(_server(served, model_name))
        client = stack.enter_context(Client(address, model_name=model_name, timeout=timeout))
        ids = [line.strip() for line in item_ids if line.strip()] if item_ids else drawn.known_items(client, k, seed)
        rows = drawn.draw_histories(ids, longest, 256, seed)
        requests = drawn.encoded(rows, model_name, k)
        # Its own channel without retries: each request counts once, with what came of it.
        channel = stack.enter_context(grpc.insecure_channel(address, Connection(address, attempts=1).channel_options()))
        method = channel.unary_unary(protocol.PREDICT)
        ways = None
        if model_dir:
            ways = compare(model_dir, lambda number: client.recommend([rows[number]], k), rows, k, calls)
        warm_up = poisson_arrivals(rates[0], min(1.0, seconds), seed + 1)
        run_load(method, requests, warm_up, rate=rates[0], timeout=timeout)
        loads, reloaded = [], []
        for rate in rates:
            arrivals = poisson_arrivals(rate, seconds, seed)
            if not (versions and reload_seconds):
                loads.append(run_load(method, requests, arrivals, rate=rate, timeout=timeout))
                continue
            with versions.growing(reload_seconds, seconds) as appeared:
                loads.append(
                    run_load(method, requests, arrivals, rate=rate, timeout=timeout, version_of=_answering_version)
                )
            reloaded.append(reloads.as_dict(loads[-1], appeared))
    setting = {"k": k, "history": f"1 to {longest}", "seconds": seconds, "seed": seed, "items": len(ids)}
    if reload_seconds:
        setting["reload seconds"] = reload_seconds
    result = report.as_dict(setting, loads, ways, reloaded)
    click.echo(report.as_markdown(result), nl=False)
    if output:
        for path in report.write(output, result, loads):
            click.echo(path)


def _answering_version(response: bytes) -> int:
    from serving import protocol

    return int(protocol.PredictResponse.FromString(response).model_spec.version.value)


@contextlib.contextmanager
def _server(model_dir: str, model_name: str) -> Iterator[str]:
    """A server process over the folder; yields its `host:port`."""
    main = "from h2rec_tf.cli.main import main; main()"
    command = [sys.executable, "-c", main, "serve", "--model-dir", model_dir, "--model-name", model_name]
    process = subprocess.Popen([*command, "--port", "0", "--no-rest"], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise InputError(f"--model-dir {model_dir}: the server did not start; see its message above")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait()
