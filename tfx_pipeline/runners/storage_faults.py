"""What a full disk or a damaged file looks like through TFX and Beam, told so that the user can mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tfx_pipeline.records import damaged_file

# Beam hands errors of its workers on as text, so text is all there is to go by.
_FULL = re.compile(r"(No space left on device|Disk quota exceeded|File too large)[^'\n]*('[^'\n]*')?", re.IGNORECASE)
_DAMAGED = re.compile(
    r"DataLoss|corrupted record|truncated record|not a valid TFRecord|inflate|decompress|end-of-stream|CRC check failed"
    r"|not a gzipped file",
    re.IGNORECASE,
)


def storage_fault(error: BaseException, inputs: Iterable[str]) -> str:
    """What to tell the user if the error comes from the disk or from a damaged file of examples; else "".

    Args:
        error: of a component, with its chain of causes.
        inputs: directories of the artifacts that the component reads.
    """
    text = "\n".join(str(cause) for cause in _causes(error))
    full = _FULL.search(text)
    if full:
        where = f"{full[2]}: " if full[2] else ""
        return f"{where}{full[1]}; free some space or choose another --root, then run again"
    return damaged_file(inputs) if _DAMAGED.search(text) else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
