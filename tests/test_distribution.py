"""The wheel, which is what images install: nothing of the packages is left out of it."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("h2rec_tf", "tfx_pipeline", "serving")


def test_the_wheel_has_every_module_and_template_and_the_commands(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    # As pip builds it, without the isolated environment, for which a network is needed.
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        (entry_points,) = [name for name in inside if name.endswith("/entry_points.txt")]
        assert "h2rec=h2rec_tf.cli.main:main" in archive.read(entry_points).decode().replace(" ", "")
    # Deployment files are for whoever has the repository.
    wanted = {
        str(path.relative_to(source))
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file() and (path.suffix == ".py" or package != "serving")
    }
    assert wanted - inside == set()
    assert [name for name in inside if name.endswith(".jinja")]
