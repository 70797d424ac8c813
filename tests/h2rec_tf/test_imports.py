"""What imports what: light entry points, and packages that depend one way."""

from __future__ import annotations

import ast
import json
import pathlib

import pytest
from support import run_python

ROOT = pathlib.Path(__file__).parents[2]
HEAVY = ("tensorflow", "tf_keras", "pandas", "sklearn", "scipy", "matplotlib", "tfx", "apache_beam", "grpc")


def _loaded_after(code: str) -> set[str]:
    report = "\nimport json, sys\nprint(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    return set(json.loads(run_python(code + report).stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import h2rec_tf",
        "import h2rec_tf.config, h2rec_tf.names, h2rec_tf.errors",
        "from click.testing import CliRunner\n"
        "from h2rec_tf.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0",
        "from click.testing import CliRunner\n"
        "from h2rec_tf.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['train', '--help']).exit_code == 0",
    ],
)
def test_light_entry_points_import_nothing_heavy(code: str) -> None:
    assert not _loaded_after(code) & set(HEAVY)


def test_public_names_load_on_first_use_and_wrong_ones_are_named() -> None:
    import h2rec_tf

    assert set(h2rec_tf.__all__) >= {"Config", "InputError", "__version__"}
    for name in h2rec_tf.__all__:
        assert getattr(h2rec_tf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Model'"):
        h2rec_tf.Model  # noqa: B018


def test_importing_the_package_keeps_what_the_user_set() -> None:
    code = "import os, h2rec_tf; print(os.environ['TF_CPP_MIN_LOG_LEVEL'], os.environ['TF_USE_LEGACY_KERAS'])"
    assert run_python(code, TF_CPP_MIN_LOG_LEVEL="1", TF_USE_LEGACY_KERAS="1").stdout.split() == ["1", "1"]


def _imported(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value.rstrip("."):
            # Imports by name, as lazy loaders and TFX's user code paths do them.
            found.add(node.value.split(".")[0] if node.value.replace(".", "").isidentifier() else "")
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("h2rec_tf", {"tfx_pipeline", "serving"}),
        ("tfx_pipeline", {"serving"}),
        ("serving", {"tfx_pipeline"}),
    ],
)
def test_packages_depend_one_way(package: str, forbidden: set[str]) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(path.relative_to(ROOT)): _imported(path) & forbidden for path in files}
    assert not {path: names for path, names in wrong.items() if names}
