"""What a text file seems to be, for messages about a file that was not understood; nothing is read by a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence

from h2rec_tf.data.text_format import TextFormat

_CANDIDATES = ("\t", ";", "::", "|", ",", "\x01")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\b")
_TYPED = re.compile(r"(.+):(token|token_seq|float|float_seq)")
# Lines that must agree.
_LINES = 5


def is_data(fields: Sequence[str]) -> bool:
    """Whether a row is data rather than names: some field is a number or begins with a date."""
    return any(_NUMBER.fullmatch(field.strip()) or _DATE.match(field.strip()) for field in fields)


def in_quotes(fields: Sequence[str]) -> bool:
    """Whether all fields that are not blank stand in quotes."""
    filled = [field.strip() for field in fields if field.strip()]
    return bool(filled) and all(len(field) > 1 and field[0] == field[-1] == '"' for field in filled)


def without_types(names: list[str]) -> list[str]:
    """Names without RecBole's types: `user_id:token` is `user_id`, if all names have one."""
    matches = [_TYPED.fullmatch(name) for name in names]
    return [match[1] for match in matches if match] if all(matches) else names


def shape_hint(lines: Sequence[str], *, delimiter: str, names: Sequence[str], text: TextFormat) -> str:
    """What may be wrong with how the file is read, and the options that mend it; "" without an idea.

    Args:
        lines: the first ones, without line ends.
        delimiter: that the file is read with.
        names: what was taken for the header.
        text: what the user said.
    """
    hints = []
    better = _delimiter(lines, delimiter)
    if better:
        spelled = {"\t": "\\t", "\x01": "\\x01"}.get(better, better)
        named = {"\t": "a tab", ";": "`;` (semicolon)", " ": "a space"}.get(better, f"`{spelled}`")
        hints.append(f"the separator looks like {named}: pass {text.flags}delimiter '{spelled}'")
    if names and names[0].lstrip().startswith(("{", "[{")):
        hints.append("the content looks like JSON: name the file .jsonl, with one object a line")
    elif not text.columns and is_data(lines[0].split(better) if better else names):
        hints.append(
            f"there is no header line, the first row is data: name the columns with {text.flags}columns A,B,..."
        )
    if in_quotes(names):
        hints.append(f"the names stand in quotes: pass {text.flags}quoting double")
    return "; ".join(hints)


def _delimiter(lines: Sequence[str], used: str) -> str:
    """What stands equally often, and oftener than the delimiter used, in each of the first lines."""
    lines = [line for line in lines if line.strip()][:_LINES]
    if not lines:
        return ""
    now = lines[0].count(used)
    for candidate in _CANDIDATES:
        counts = {line.count(candidate) for line in lines}
        if candidate != used and counts == {lines[0].count(candidate)} and lines[0].count(candidate) > now:
            return candidate
    spaces = {len(line.split()) for line in lines}
    return " " if not now and len(lines) > 1 and spaces == {len(lines[0].split())} and len(lines[0].split()) > 2 else ""
