"""`h2rec`: one command, its subcommands loaded when they are asked for."""

from __future__ import annotations

import io
import os
import sys

import click

from h2rec_tf import __version__, environment
from h2rec_tf.cli.lazy import LazyGroup, Plugin
from h2rec_tf.errors import H2RecError
from h2rec_tf.printable import printable, printable_lines

# Name -> (module, attribute, one line of help). The lines stand here so that `--help` imports nothing.
_COMMANDS = {
    "data": ("h2rec_tf.cli.data", "data", "Check interaction and item files; write a synthetic data set."),
    "semantic-ids": ("h2rec_tf.cli.semantic_ids", "semantic_ids", "Build semantic IDs and report on the codebooks."),
    "train": ("h2rec_tf.cli.train", "train", "Train a model from files, without a pipeline."),
    "index": ("h2rec_tf.cli.index", "index", "Build, evaluate and tune a ScaNN index of a model's items."),
    "evaluate": ("h2rec_tf.cli.evaluate", "evaluate", "Measure a trained model beside popularity and item-kNN."),
    "tune": ("h2rec_tf.cli.tune", "tune", "Search a model's hyperparameters on the validation split."),
    "bench": ("h2rec_tf.cli.bench", "bench", "Compare named configurations; load a model server."),
}
# Commands of the other two packages, found through the entry-point group `h2rec.commands`.
_PLUGIN_HELP = {
    "pipeline": "Run the TFX pipeline from files to a pushed model.",
    "serve": "Serve a pushed model over TensorFlow Serving's gRPC API.",
    "recommend": "Ask a model server for recommendations.",
    "retrieval": "Run and use the service for large or fast-changing catalogues.",
    "deploy": "Deploy a pushed model on Vertex AI.",
}
_PLUGIN_EXTRAS = {
    "pipeline": "tfx",
    "serve": "serving",
    "recommend": "serving",
    "retrieval": "serving",
    "deploy": "cloud",
}


@click.group(
    cls=LazyGroup,
    commands_at=_COMMANDS,
    plugins={name: Plugin(text, _PLUGIN_EXTRAS[name]) for name, text in _PLUGIN_HELP.items()},
    plugin_group="h2rec.commands",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="h2rec")
def cli() -> None:
    """Sequential recommendation with semantic IDs and hash IDs: data, training, pipeline, serving."""


def main() -> None:
    """Runs the command line; an error that the user can mend is one line on stderr and exit code 2."""
    environment.quiet_warnings()
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as request:
        code = request.exit_code
    except click.Abort:
        click.echo("aborted", err=True)
        code = 130
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        click.echo(printable_lines(text.getvalue()), err=True, nl=False)
        code = 2
    except H2RecError as error:
        click.echo(f"error: {printable(' '.join(str(error).split()))}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        # The reader (head, less) went away: point stdout at nothing, so that the interpreter's last flush is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    else:
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    main()
