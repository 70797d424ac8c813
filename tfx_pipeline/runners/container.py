"""Entry point of the pipeline's image: runs one step of a compiled pipeline with TFX's own Kubeflow entry point."""

from __future__ import annotations

import os
import sys

# First: it sets what the pinned TensorFlow stack needs from the environment.
from h2rec_tf import environment

_INVOCATION = "--json_serialized_invocation_args"


def main(argv: list[str]) -> int:
    """Runs the step that the arguments describe.

    Args:
        argv: TFX's arguments (`--executor_class_path`, `--json_serialized_invocation_args`, ...), then Beam's.

    Returns:
        Exit code: 0, or that of an error which its input explains; its one line is the last of the step's log.
    """
    environment.quiet_warnings()
    from absl import flags
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    from h2rec_tf.errors import H2RecError

    arguments, invocation = list(argv), "{}"
    if _INVOCATION in arguments:
        place = arguments.index(_INVOCATION) + 1
        invocation = arguments[place] = without_absent(arguments[place])
        make_outputs(invocation)
    # Executors read absl flags; `app.run` would parse them, and exit the process on every error.
    flags.FLAGS(["h2rec"], known_only=True)
    try:
        verify_inputs(invocation)
        kubeflow_v2_run_executor.main(kubeflow_v2_run_executor._parse_flags(["h2rec", *arguments]))
        record_outputs(invocation)
    except H2RecError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    return 0


def make_outputs(invocation: str) -> None:
    """Makes the directories of local output artifacts: on a mounted volume nothing else does."""
    import json

    from tfx_pipeline.constants import is_remote

    for entry in json.loads(invocation).get("outputs", {}).get("artifacts", {}).values():
        for artifact in entry.get("artifacts", []):
            if not is_remote(artifact["uri"]):
                os.makedirs(artifact["uri"], exist_ok=True)


def verify_inputs(invocation: str) -> None:
    """Raises InputError where an input artifact is not what the step that made it wrote."""
    from tfx_pipeline.records import verify

    for uri in _uris(invocation, "inputs"):
        verify(uri)


def record_outputs(invocation: str) -> None:
    """Leaves the records of output artifacts whose executor did not, for `verify_inputs` of later steps."""
    from tfx_pipeline.records import has_record, write_record

    for uri in _uris(invocation, "outputs"):
        if not has_record(uri):
            write_record(uri)


def _uris(invocation: str, side: str) -> list[str]:
    import json

    entries = json.loads(invocation).get(side, {}).get("artifacts", {}).values()
    return [artifact["uri"] for entry in entries for artifact in entry.get("artifacts", []) if artifact.get("uri")]


def without_absent(invocation: str) -> str:
    """The invocation without input artifacts that stand for nothing, as a baseline before the first push.

    An orchestrator hands over whatever artifact a step declared; TFX's executors expect no artifact there.
    """
    import json

    from tfx_pipeline.components.served_model import ABSENT

    content = json.loads(invocation)
    inputs = content.get("inputs", {}).get("artifacts", {})
    for name, entry in list(inputs.items()):
        kept = [artifact for artifact in entry.get("artifacts", []) if not artifact.get("metadata", {}).get(ABSENT)]
        if len(kept) < len(entry.get("artifacts", [])):
            if kept:
                entry["artifacts"] = kept
            else:
                del inputs[name]
    return json.dumps(content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
