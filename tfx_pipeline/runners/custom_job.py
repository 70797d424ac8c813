"""Entry point of a Vertex AI custom job: runs one executor, in every machine of the job."""

from __future__ import annotations

import json
import os
import sys
import tempfile

# First: it sets what the pinned TensorFlow stack needs from the environment.
from h2rec_tf import environment

_OUTPUTS = "--outputs"


def main(argv: list[str]) -> None:
    """Runs TFX's `run_executor` with these arguments; only the chief writes where the pipeline reads.

    All machines of a distributed training run the same code to its end, the export too, and would write over each
    other.
    """
    environment.quiet_warnings()
    from absl import app
    from tfx.scripts import run_executor

    from tfx_pipeline.storage import is_chief

    arguments = list(argv)
    if not is_chief(os.environ):
        place = arguments.index(_OUTPUTS) + 1
        arguments[place] = elsewhere(arguments[place], tempfile.mkdtemp())
    app.run(run_executor.main, ["h2rec", *arguments], flags_parser=run_executor.parse_flags)


def elsewhere(outputs: str, directory: str) -> str:
    """TFX's JSON of output artifacts with each one's URI below `directory`."""
    content = json.loads(outputs)
    for key, artifacts in content.items():
        for number, artifact in enumerate(artifacts):
            artifact["artifact"]["uri"] = os.path.join(directory, key, str(number))
    return json.dumps(content)


if __name__ == "__main__":
    main(sys.argv[1:])
