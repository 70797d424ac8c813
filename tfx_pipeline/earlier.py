"""What earlier runs left below a pipeline's root.

Components that look back (codes that should stay, distributions that should not drift) find it here, not through a
channel: an input artifact that differs from run to run would keep TFX from ever taking the component, and all that
follows, from its cache.
"""

from __future__ import annotations

import os

from tfx.dsl.io import fileio


def earlier_outputs(root: str, channel: str, marker: str, *, own: str) -> list[str]:
    """Directories of a channel's artifacts, oldest first.

    Args:
        root: the pipeline's root.
        channel: name of the output.
        marker: file that is written last, so that an artifact without it is not whole.
        own: this run's artifact, which does not count.
    """
    # Local runs: NODE/CHANNEL/EXECUTION. Kubeflow and Vertex AI: PROJECT/RUN/NODE/CHANNEL, time in the run's name.
    patterns = (os.path.join("*", channel, "*"), os.path.join("*", "*", "*", channel))
    found = {os.path.dirname(file) for pattern in patterns for file in fileio.glob(os.path.join(root, pattern, marker))}
    return sorted((uri for uri in found if os.path.normpath(uri) != os.path.normpath(own)), key=_age)


def _age(uri: str) -> tuple[int, str]:
    name = os.path.basename(uri)
    return (int(name), "") if name.isdigit() else (0, uri)
