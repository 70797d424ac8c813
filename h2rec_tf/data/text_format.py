"""How a text file is written: what stands between fields, what quotes mean, names of columns, encoding."""

from __future__ import annotations

import codecs
import dataclasses
import re

from h2rec_tf.config import DataConfig
from h2rec_tf.errors import InputError

AUTO, NO_QUOTES, DOUBLE_QUOTES = "auto", "none", "double"
HEADER_PRESENT, HEADER_NONE = "present", "none"
UTF_8 = "utf-8"

_ESCAPE = re.compile(r"\\(t|x[0-9a-fA-F]{2})")
_LONGEST_DELIMITER = 8


@dataclasses.dataclass(frozen=True)
class TextFormat:
    """What the user says about a CSV or TSV file; the defaults find out by name and content.

    Attributes:
        delimiter: between fields, one or more characters; `\\t` and `\\x01` may be spelled so; "" for a comma, or a tab
            where the name or the content says so.
        quoting: `double` where a field may stand in quotes (and quotes in it twice), `none` where quotes are text,
            `auto` for `double`, but `none` between tabs (unless the header stands in quotes) and delimiters of several
            characters.
        header: `present`, `none`, or `auto`: the first row has the names, unless `columns` are given and it is data.
        columns: names in place of the header's.
        encoding: any of Python's; JSON Lines heed it too.
        flags: what the options that set these start with, for messages: `--` or `--catalogue-`.
    """

    delimiter: str = ""
    quoting: str = AUTO
    header: str = AUTO
    columns: tuple[str, ...] = ()
    encoding: str = UTF_8
    flags: str = "--"

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InputError: a delimiter or an encoding that cannot be, names without use, or a name twice.
        """
        delimiter = _ESCAPE.sub(_escaped, self.delimiter)
        object.__setattr__(self, "delimiter", delimiter)
        if set(delimiter) & set('"\r\n\0') or len(delimiter) > _LONGEST_DELIMITER:
            raise InputError(
                f"{self.flags}delimiter {delimiter!r}: must be 1 to {_LONGEST_DELIMITER} characters without quotes and "
                "line ends"
            )
        if len(delimiter.encode()) > 1 and self.quoting == DOUBLE_QUOTES:
            raise InputError(
                f"{self.flags}quoting double goes with a delimiter of one ASCII character, not with {delimiter!r}; "
                f"pass {self.flags}quoting none"
            )
        if self.header == HEADER_NONE and not self.columns:
            raise InputError(f"{self.flags}no-header: name the columns with {self.flags}columns NAME,NAME,...")
        for name in self.columns:
            if not name.strip() or self.columns.count(name) > 1:
                raise InputError(f"{self.flags}columns: the name '{name}' is blank or stands twice")
        try:
            known = codecs.lookup(self.encoding)
            # Some codecs turn bytes into bytes.
            b"a".decode(self.encoding, "ignore")
        except LookupError as error:
            raise InputError(
                f"{self.flags}encoding '{self.encoding}': no such text encoding; utf-8, latin-1, cp1252, utf-16, "
                "gbk, shift_jis are some"
            ) from error
        object.__setattr__(self, "encoding", known.name)

    @property
    def described(self) -> bool:
        """Whether something is said that only delimited text can have."""
        return bool(self.delimiter or self.columns) or self.header != AUTO


def _escaped(match: re.Match[str]) -> str:
    return "\t" if match[1] == "t" else chr(int(match[1][1:], 16))


# Nothing is said: all is found out.
UNSAID = TextFormat()


def interactions_format(data: DataConfig) -> TextFormat:
    """How the interactions file is written, by the configuration."""
    return TextFormat(
        delimiter=data.delimiter,
        quoting=data.quoting,
        header=data.header,
        columns=data.columns,
        encoding=data.encoding,
    )


def catalogue_format(data: DataConfig) -> TextFormat:
    """How the items file is written, by the configuration; its encoding is that of the interactions if none is set."""
    return TextFormat(
        delimiter=data.catalogue_delimiter,
        quoting=data.catalogue_quoting,
        header=data.catalogue_header,
        columns=data.catalogue_columns,
        encoding=data.catalogue_encoding or data.encoding,
        flags="--catalogue-",
    )


def not_decodable(byte: int, text: TextFormat) -> str:
    """What to say about bytes that are no text in the encoding that the file is read with, with the remedy."""
    if text.encoding == UTF_8:
        return (
            f"not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8, or name its encoding, as in "
            f"{text.flags}encoding latin-1"
        )
    return f"not {text.encoding} (byte 0x{byte:02x}); name the file's encoding with {text.flags}encoding"
