"""What a person at a terminal sees: near names, harmless text, a sign of life."""

import io
import json
import os
import pathlib
import pty
import select
import subprocess
import sys
import threading
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import run_python
from tqdm import tqdm

from h2rec_tf.errors import InputError
from h2rec_tf.printable import printable, printable_json, printable_lines
from h2rec_tf.progress import ticking
from h2rec_tf.pushed import versions_folder

_MAIN = "import sys; from h2rec_tf.cli.main import main; main()"
_WORK = """
from h2rec_tf.progress import moving
with moving("doing the work", after=0):
    input()
print("done")
"""


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["dat"], "data"),
        (["pipelin", "run"], "pipeline"),
        (["data", "chek"], "check"),
        (["bench", "qualty"], "quality"),
        (["retrieval", "upsrt"], "upsert"),
        (["deploy", "vertx"], "vertex"),
        (["deploy", "vertex", "rolback"], "rollback"),
        (["train", "--outptu", "x"], "--output"),
        (["serve", "--modl-dir", "x"], "--model-dir"),
    ],
)
def test_a_near_name_is_offered_for_one_that_is_unknown(arguments, near):
    result = run_python(_MAIN, *arguments, check=False)
    assert result.returncode == 2 and f"'{near}'" in result.stderr.partition("Did you mean")[2]


def test_nothing_is_offered_for_what_is_like_nothing():
    result = run_python(_MAIN, "xyzzy", check=False)
    assert result.returncode == 2 and result.stderr.endswith("Error: No such command 'xyzzy'.\n")


def test_names_in_messages_are_harmless():
    for arguments in (
        ["da\x1b[2J"],
        ["data", "check", "--interactions", "no\x1b]0;x\x07such", "--items", "\u202e.csv"],
    ):
        result = run_python(_MAIN, *arguments, check=False)
        assert result.returncode == 2 and ("\\x1b" in result.stderr or "\\u202e" in result.stderr)
        assert all(line.isprintable() for line in result.stderr.splitlines())


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_text_becomes_one_line_without_control_and_says_the_same_in_json(text):
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert json.loads(printable_json({text: [text, 1]})) == {text: [text, 1]}
    assert len(printable_lines(text).split("\n")) == text.count("\n") + 1


def test_words_stay_as_they_are():
    for text in ("Crème brûlée", "日本語", "👩‍👩‍👧", "می‌خواهم", "a\u00a0b", ""):
        assert printable(text) == text
    assert printable("\x1b[31mred\u202e\u2066\r\n\u2028\x9b\ud800") == (
        "\\x1b[31mred\\u202e\\u2066\\r\\n\\u2028\\x9b\\ud800"
    )


def test_a_sign_moves_on_a_terminal_and_nothing_shows_elsewhere():
    main, side = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _WORK], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=side, env=environment()
    ) as process:
        os.close(side)
        seen = b""
        while not (b"doing the work |" in seen and b"doing the work /" in seen):
            seen += read_some(main)
        process.stdin.write(b"\n")
        process.stdin.close()
        while not seen.endswith(b"\r\x1b[K"):
            seen += read_some(main)
        assert process.wait() == 0
    os.close(main)
    assert b"Traceback" not in seen
    quiet = subprocess.run([sys.executable, "-c", _WORK], input="\n", capture_output=True, text=True, env=environment())
    assert (quiet.stderr, quiet.stdout) == ("", "done\n")


def read_some(terminal: int) -> bytes:
    """What comes next; fails where nothing does."""
    ready, _, _ = select.select([terminal], [], [], 60)
    assert ready
    return os.read(terminal, 1024)


def environment():
    return {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[3])}


def test_the_versions_of_what_a_user_names(tmp_path):
    def make(place):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "saved_model.pb").write_bytes(b"")

    make("root/serving/7")
    make("root/artifacts/model/3")
    make("shops/one/1")
    make("two/a/1")
    make("two/b/1")
    (tmp_path / "other" / "notes").mkdir(parents=True)
    assert versions_folder(str(tmp_path / "root")) == str(tmp_path / "root" / "serving")
    assert versions_folder(str(tmp_path / "root/serving")) == str(tmp_path / "root/serving")
    assert versions_folder(str(tmp_path / "shops")) == str(tmp_path / "shops" / "one")
    assert versions_folder("gs://bucket/models") == "gs://bucket/models"
    for place, words in (
        ("two", "give one of a, b$"),
        ("other", "found notes$"),
        ("root/serving/7", f"is itself a SavedModel; .* {tmp_path}/root/serving$"),
        ("nowhere", "no such folder"),
    ):
        with pytest.raises(InputError, match=words):
            versions_folder(str(tmp_path / place))


class _Terminal(io.StringIO):
    """Notes when so many lines were drawn."""

    def __init__(self, wanted):
        super().__init__()
        self.drawn, self.wanted, self.enough = 0, wanted, threading.Event()

    def write(self, text):
        self.drawn += "step" in text
        if self.drawn >= self.wanted:
            self.enough.set()
        return len(text)


def test_a_bar_goes_on_while_no_step_is_done():
    terminal = _Terminal(wanted=5)
    with tqdm(total=3, unit="step", file=terminal, mininterval=0) as bar, ticking(bar, seconds=0.01):
        assert terminal.enough.wait(20)
        assert bar.n == 0
    with tqdm(total=3, disable=True) as bar, ticking(bar):
        assert "ticking-bar" not in {thread.name for thread in threading.enumerate()}
