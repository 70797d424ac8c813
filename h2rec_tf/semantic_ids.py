"""Semantic IDs of a catalogue: built from text, saved and loaded as one directory."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np

from h2rec_tf.atomic import atomic_directory
from h2rec_tf.config import QuantizerConfig, TextConfig
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.base import Quantizer
from h2rec_tf.quantizers.codebook_report import CodebookReport
from h2rec_tf.quantizers.disambiguation import disambiguate
from h2rec_tf.quantizers.factory import load_quantizer, make_quantizer
from h2rec_tf.text.base import TextEncoder, normalised
from h2rec_tf.text.cache import encode_cached
from h2rec_tf.text.factory import load_text_encoder, make_text_encoder

ITEM_IDS_FILE = "item_ids.txt"
TITLES_FILE = "titles.json"
CATEGORIES_FILE = "categories.json"
CODES_FILE = "codes.npy"
CODEBOOKS_FILE = "codebooks.npy"
VECTORS_FILE = "vectors.npy"
REPORT_FILE = "report.json"
PLOT_FILE = "report.png"
QUANTIZER_DIR = "quantizer"
ENCODER_DIR = "text_encoder"

_ITEMS_PER_CODE = 4


@dataclasses.dataclass(frozen=True)
class SemanticIds:
    """The catalogue with its codes. Row `r` of every array is item index `r + 1`; index 0 pads and has no row.

    Attributes:
        item_ids: `[N]` strings.
        titles: `[N]` strings.
        codes: int32 `[N, L]`, coarse to fine; with disambiguation the last level is that digit.
        codebooks: float32 `[L, K, d_c]`; a disambiguation digit's codebook is all zeros.
        vectors: float32 `[N, D]`, what was quantized: rows of length 1, or 0 for items without text.
        report: codebook statistics.
        quantizer: the fitted quantizer, for items that come later.
        text_encoder: the fitted encoder, or None where the vectors were given by the user.
        categories: `[N]` strings as `Catalogue` has them, or None.
    """

    item_ids: np.ndarray
    titles: np.ndarray
    codes: np.ndarray
    codebooks: np.ndarray
    vectors: np.ndarray
    report: CodebookReport
    quantizer: Quantizer
    text_encoder: TextEncoder | None = None
    categories: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    def encode_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Codes of items that are not in the catalogue: float `[n, D]` -> int32 `[n, L]`.

        A disambiguation digit is 0: the item's neighbours are those that share the other codes.
        """
        codes = self.quantizer.encode(normalised(vectors))
        return np.pad(codes, ((0, 0), (0, self.codes.shape[1] - codes.shape[1])))

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Codes of new items from their text: int32 `[n, L]`.

        Raises:
            InputError: the catalogue's vectors were the user's own, so text cannot be encoded the same way.
        """
        if self.text_encoder is None:
            raise InputError("semantic IDs were built from given vectors: give new items' vectors, not texts")
        return self.encode_vectors(self.text_encoder.encode(texts))

    def save(self, directory: str) -> None:
        """Writes all files, whole or not at all, over an earlier save.

        `item_ids.txt` has one id per line in catalogue order, the vocabulary that TensorFlow Transform reads.

        Raises:
            InputError: an item id is empty or contains a line break, or the directory holds something else.
        """
        check_item_ids(self.item_ids)
        with atomic_directory(directory, marker=CODES_FILE) as path:
            ids = "".join(f"{item_id}\n" for item_id in self.item_ids.tolist())
            (path / ITEM_IDS_FILE).write_text(ids, encoding="utf-8", newline="")
            for name, texts in ((TITLES_FILE, self.titles), (CATEGORIES_FILE, self.categories)):
                if texts is not None:
                    lines = json.dumps(texts.tolist(), ensure_ascii=False, indent=0)
                    (path / name).write_text(lines, encoding="utf-8")
            np.save(path / CODES_FILE, self.codes)
            np.save(path / CODEBOOKS_FILE, self.codebooks)
            np.save(path / VECTORS_FILE, self.vectors)
            (path / REPORT_FILE).write_text(json.dumps(self.report.to_dict()), encoding="utf-8")
            self.report.plot(str(path / PLOT_FILE))
            self.quantizer.save(str(path / QUANTIZER_DIR))
            if self.text_encoder is not None:
                self.text_encoder.save(str(path / ENCODER_DIR))

    @classmethod
    def load(cls, directory: str) -> SemanticIds:
        """Reads what `save` wrote; `vectors` is a read-only memory map.

        Raises:
            InputError: the directory holds no semantic IDs.
        """
        path = pathlib.Path(directory)
        report = load_report(directory)
        return cls(
            item_ids=read_item_ids(directory),
            titles=_strings(path / TITLES_FILE),
            codes=np.load(path / CODES_FILE),
            codebooks=np.load(path / CODEBOOKS_FILE),
            vectors=np.load(path / VECTORS_FILE, mmap_mode="r"),
            report=report,
            quantizer=load_quantizer(str(path / QUANTIZER_DIR)),
            text_encoder=load_text_encoder(str(path / ENCODER_DIR)) if (path / ENCODER_DIR).is_dir() else None,
            categories=_strings(path / CATEGORIES_FILE) if (path / CATEGORIES_FILE).is_file() else None,
        )


def build_semantic_ids(
    catalogue: Catalogue,
    *,
    text: TextConfig | None = None,
    quantizer: QuantizerConfig | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SemanticIds:
    """Text (or given vectors) -> vectors of length 1 -> codes and report.

    Rows are scaled to length 1 so that a long vector does not weigh more in the codebooks than a short one; sentence
    encoders give unit vectors anyway, and for those nothing changes. Items without text have a zero vector and share
    one tuple; the report counts them and lists the group.

    Args:
        catalogue: N >= 1 items.
        text: how vectors come about; defaults when None.
        quantizer: how codes come about; defaults when None. A level has at most one code for each four items.
        seed: of both.
        progress: shows bars on stderr when that is a terminal.

    Raises:
        InputError: no items, an unusable item id, vectors asked for but absent, or vectors that are not finite.
    """
    text, quantizer = text or TextConfig(), quantizer or QuantizerConfig()
    if not len(catalogue):
        raise InputError("items: the catalogue is empty; give at least one item")
    check_item_ids(catalogue.item_ids)
    encoder = make_text_encoder(text, catalogue, seed=seed)
    cache_dir = "" if encoder.kind == "vectors" else text.cache_dir
    vectors = normalised(encode_cached(encoder, catalogue.texts.tolist(), cache_dir, progress=progress))
    # With fewer items than this a code, most codes of the finer levels would stand for one item or none.
    fitting = max(2, min(quantizer.codes, len(catalogue) // _ITEMS_PER_CODE))
    fitted = make_quantizer(dataclasses.replace(quantizer, codes=fitting), seed=seed).fit(vectors, progress=progress)
    codes, codebooks = fitted.encode(vectors), fitted.codebooks
    if quantizer.disambiguation:
        codes = disambiguate(codes, catalogue.item_ids.tolist(), limit=quantizer.codes)
        codebooks = np.concatenate([codebooks, np.zeros_like(codebooks[:1])])
    return SemanticIds(
        item_ids=catalogue.item_ids,
        titles=catalogue.titles,
        codes=codes,
        codebooks=codebooks,
        vectors=vectors,
        report=CodebookReport.measure(fitted, vectors, codes, catalogue.item_ids.tolist()),
        quantizer=fitted,
        text_encoder=None if encoder.kind == "vectors" else encoder,
        categories=catalogue.categories,
    )


def load_report(directory: str) -> CodebookReport:
    """The codebook report in a directory that `SemanticIds.save` wrote, without reading the rest.

    Raises:
        InputError: the directory holds no semantic IDs.
    """
    path = pathlib.Path(directory) / REPORT_FILE
    if not path.is_file():
        raise InputError(f"{directory}: no semantic IDs here; build them with `h2rec semantic-ids build`")
    return CodebookReport.from_dict(json.loads(path.read_text(encoding="utf-8")))


def _strings(path: pathlib.Path) -> np.ndarray:
    return np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=object)


def read_item_ids(directory: str) -> np.ndarray:
    """`[N]` item ids in a directory that `SemanticIds.save` wrote, without reading the rest.

    Raises:
        InputError: the directory holds no semantic IDs.
    """
    path = pathlib.Path(directory) / ITEM_IDS_FILE
    if not path.is_file():
        raise InputError(f"{directory}: no semantic IDs here; build them with `h2rec semantic-ids build`")
    return np.asarray(path.read_bytes().decode("utf-8").split("\n")[:-1], dtype=object)


def check_item_ids(item_ids: np.ndarray) -> None:
    """Raises InputError for an id that cannot be a line of a vocabulary file, with its row."""
    for row, item_id in enumerate(item_ids.tolist()):
        if not item_id or "\n" in item_id or "\r" in item_id:
            raise InputError(f"items: row {row}: item id {item_id!r} is empty or contains a line break; rename it")
