"""Every option of every command that names an output is looked at before the command does anything."""

import json

import click
import pytest
from support import run_python

from h2rec_tf.cli.main import cli
from h2rec_tf.cli.outputs import OutputPath
from h2rec_tf.errors import InputError

# Names under which commands of this package take what they write.
OUTPUTS = {"output", "root", "json_path", "access_log", "data_dir", "directory"}
# Options of those names that are read, or name a place on other machines.
READ = {
    ("pipeline", "status", "root"),
    ("pipeline", "compile", "root"),
    ("semantic-ids", "report", "directory"),
}

_RUN = """
import json, sys
from h2rec_tf.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main.main()
    except SystemExit as ended:
        print("CODE", ended.code, flush=True)
print("HEAVY", sorted({"tensorflow", "tfx", "pandas"} & set(sys.modules)))
"""


def commands(command=cli, path=(), context=None):
    """All commands without sub-commands, with their path."""
    context = click.Context(command, parent=context)
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*path, name), context)


def outputs():
    for path, command in commands():
        for parameter in command.params:
            is_flag = getattr(parameter, "is_flag", False)
            if parameter.name in OUTPUTS and not is_flag and (*path, parameter.name) not in READ:
                yield path, parameter


def test_all_outputs_are_known_as_such():
    found = list(outputs())
    assert len(found) >= 16
    assert [(path, one.name) for path, one in found if not isinstance(one.type, OutputPath)] == []
    # And none under another name.
    typed = {one.name for _, command in commands() for one in command.params if isinstance(one.type, OutputPath)}
    assert typed <= OUTPUTS


@pytest.mark.parametrize("place", ["{file}/below/it", "/proc/no-such-folder/it"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, place):
    (tmp_path / "file").write_text("not a folder")
    bad = place.format(file=tmp_path / "file")
    found = list(outputs())
    calls = [
        [*path, bad] if isinstance(parameter, click.Argument) else [*path, parameter.opts[0], bad]
        for path, parameter in found
    ]
    result = run_python(_RUN, json.dumps(calls))
    lines = result.stdout.splitlines()
    assert lines[:-1] == ["CODE 2"] * len(calls)
    # Nothing was even imported for the work.
    assert lines[-1] == "HEAVY []"
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(calls) == len(result.stderr.splitlines())
    for (_, parameter), line in zip(found, errors, strict=True):
        named = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.opts[0].upper()
        assert line.startswith(f"error: {named} {bad}: cannot be written (") and line.endswith("choose another place")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_what_is_there_decides(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    file, folder = str(tmp_path / "file"), str(tmp_path / "folder")
    for good, kind in (
        (folder, OutputPath(folder=True)),
        (f"{folder}/new/deep", OutputPath(folder=True)),
        (file, OutputPath(folder=False)),
        (f"{folder}/new/deep", OutputPath(folder=False)),
        (file, OutputPath(folder=False, appended=True)),
        ("/dev/null", OutputPath(folder=False, appended=True)),
        ("-", OutputPath(folder=False)),
        ("gs://bucket/it", OutputPath(folder=True)),
    ):
        assert kind.convert(good, None, None) == good
    for bad, is_folder in ((file, True), (folder, False), ("x" * 300, True)):
        with pytest.raises(InputError, match="cannot be written"):
            OutputPath(folder=is_folder).convert(bad, None, None)
    assert (tmp_path / "file").read_text() == "kept" and not list((tmp_path / "folder").iterdir())
