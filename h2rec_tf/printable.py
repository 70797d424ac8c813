"""Text from files and from callers, made harmless for terminals and logs."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

# Control characters (escape sequences begin with one), formats (among them those that turn the direction of writing),
# halves of surrogate pairs, and separators of lines and paragraphs.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Formats that belong to words: emoji and several scripts join characters with them.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    """The text, with an escape as `\\x1b` for each character that moves the cursor, ends a line or hides others."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) if _is_unprintable(character) else character for character in text)


def printable_lines(text: str) -> str:
    """The same for text whose line ends are its own."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(value: Any) -> str:
    """JSON in one line that says the same, with such characters as JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False)
    # Outside of strings JSON has none of them.
    return "".join(json.dumps(character)[1:-1] if _is_unprintable(character) else character for character in text)


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
