"""Writes the compiled pipeline specs that tests compare with: tests/tfx_pipeline/golden/*."""

from __future__ import annotations

import pathlib
import sys

from h2rec_tf import environment
from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config

TARGET = pathlib.Path(__file__).parents[1] / "tests" / "tfx_pipeline" / "golden"
# File -> target, changes of the configuration. The second has all that Vertex AI can do.
SPECS = {
    "kubeflow.yaml": ("kubeflow", {}),
    "vertex.json": (
        "vertex",
        {
            "cloud.project": "test-project",
            "cloud.region": "europe-west4",
            "cloud.memory_gib": 8.0,
            "cloud.trainer.run_as": "custom_job",
            "cloud.trainer.accelerator_type": "NVIDIA_TESLA_T4",
            "cloud.push.enabled": True,
        },
    ),
}


def compiled(name: str) -> str:
    """The text of one of `SPECS`."""
    from tfx_pipeline.cli_cloud import as_text, compile_for

    target, changes = SPECS[name]
    spec = compile_for(
        target,
        files=DataFiles("gs://bucket/data/interactions.csv.gz", "gs://bucket/data/items.jsonl"),
        config=Config().replace(**changes),
        root="gs://bucket/h2rec",
        image="europe-west4-docker.pkg.dev/test-project/h2rec/pipeline:0.1.0",
    )
    return as_text(spec, name)


if __name__ == "__main__":
    environment.quiet()
    for name in SPECS:
        (TARGET / name).write_text(compiled(name), encoding="utf-8")
        print(f"written {TARGET / name}", file=sys.stderr)
