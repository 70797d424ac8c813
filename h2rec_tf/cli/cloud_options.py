"""Options of the commands that talk to Vertex AI."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from h2rec_tf.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])


def vertex_options(command: Command) -> Command:
    """Gives a command `--project`, `--region` and `--dry-run`; it takes `vertex: Vertex` in their place.

    In a dry run each request that would change something goes to stdout as JSON, and nothing is sent.

    Raises:
        InputError: when the command runs, project or region is not a valid name.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, project: str, region: str, dry_run: bool, **rest: Any) -> Any:
        from h2rec_tf import environment
        from h2rec_tf.cloud.vertex import Vertex

        environment.quiet()
        return command(*args, vertex=Vertex(project, region, click.echo if dry_run else None), **rest)

    decorated: Any = wrapped
    for option in (
        click.option("--dry-run", is_flag=True, help="Print the requests as JSON; change nothing."),
        click.option("--region", required=True, envvar="CLOUDSDK_COMPUTE_REGION", help="As europe-west4."),
        click.option("--project", required=True, envvar="GOOGLE_CLOUD_PROJECT", help="Google Cloud project id."),
    ):
        decorated = option(decorated)
    return decorated


def labels_of(parts: tuple[str, ...]) -> dict[str, str]:
    """`("team=search", ...)` as a mapping.

    Raises:
        InputError: a part has no `=` or no key, or a key comes twice.
    """
    labels: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise InputError(f"--label {part}: give it as KEY=VALUE")
        if key in labels:
            raise InputError(f"--label {part}: {key} is given twice")
        labels[key] = value
    return labels
