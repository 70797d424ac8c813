"""Numbers of any spelling as whole numbers and billionths, exact: no digit passes through a float."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
from pyarrow import compute

BILLION = 10**9
INTEGER = r"^[+-]?[0-9]{1,18}$"
DECIMAL = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_PARTS = r"^(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]+))?$"
# Powers of ten that are written out; no time or rank needs more.
_LARGEST_EXPONENT = 40
_PLACES = 9
_LARGEST = str(2**63 - 1)


@dataclasses.dataclass(frozen=True)
class Decimals:
    """`n` numbers, each `whole + billionths / 10^9`.

    Attributes:
        whole: int64 `[n]`, rounded down; 0 where the number does not fit, or -1 if it is negative.
        billionths: int64 `[n]`, 0 to 999,999,999.
        finer: bool `[n]`, True where digits below a billionth were cut.
        fits: bool `[n]`, False where the whole number is beyond int64.
    """

    whole: np.ndarray
    billionths: np.ndarray
    finer: np.ndarray
    fits: np.ndarray

    @classmethod
    def from_integers(cls, values: np.ndarray) -> Decimals:
        """Numbers without a fraction: integers `[n]` of any width."""
        fits = values <= np.uint64(2**63 - 1) if values.dtype == np.uint64 else np.ones(len(values), bool)
        nothing = np.zeros(len(values), np.int64)
        return cls(np.where(fits, values, 0).astype(np.int64), nothing, nothing.astype(bool), fits)

    @classmethod
    def from_text(cls, column: pa.ChunkedArray) -> Decimals:
        """Strings that all match `DECIMAL`."""
        parts = compute.extract_regex(column, pattern=_PARTS)
        sign, whole, fraction, exponent = (compute.struct_field(parts, [place]).combine_chunks() for place in range(4))
        whole, fraction, fits = _shifted(whole, fraction, exponent)
        whole = compute.utf8_ltrim(whole, characters="0")
        digits = compute.utf8_length(whole).to_numpy(zero_copy_only=False)
        longest = compute.greater(whole, _LARGEST).to_numpy(zero_copy_only=False)
        fits &= (digits < len(_LARGEST)) | ((digits == len(_LARGEST)) & ~longest)
        whole = compute.if_else(pa.array(fits), whole, "")
        values = compute.utf8_lpad(whole, width=1, padding="0").cast(pa.int64()).to_numpy()
        kept = compute.utf8_slice_codeunits(fraction, 0, _PLACES)
        billionths = compute.utf8_rpad(kept, width=_PLACES, padding="0").cast(pa.int64()).to_numpy()
        rest = compute.utf8_slice_codeunits(compute.utf8_rtrim(fraction, characters="0"), _PLACES, 1 << 30)
        finer = compute.utf8_length(rest).to_numpy(zero_copy_only=False) > 0
        negative = compute.equal(sign, "-").to_numpy(zero_copy_only=False)
        # Rounded down: -1.25 is -2 and 750 millionths; what is below a billionth makes it a billionth less.
        below = (billionths + finer)[negative]
        values, billionths = values.copy(), billionths.copy()
        values[negative] = -values[negative] - ((below > 0) | ~fits[negative])
        billionths[negative] = -below % BILLION
        return cls(values, billionths, finer, fits)


def _shifted(whole: pa.Array, fraction: pa.Array, exponent: pa.Array) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """Digits before and after the point once the powers of ten are written out, and where these are not too large."""
    fits = np.ones(len(whole), bool)
    powers = compute.utf8_ltrim(exponent, characters="+")
    for power in compute.unique(powers).to_pylist():
        # An exponent of many digits is far out of range, whatever it is.
        shift = int(power) if power and len(power) <= 4 else 0 if not power else _LARGEST_EXPONENT + 1
        if not shift:
            continue
        here = compute.equal(powers, power)
        if abs(shift) > _LARGEST_EXPONENT:
            fits[here.to_numpy(zero_copy_only=False)] = False
        elif shift > 0:
            digits = compute.utf8_rpad(fraction, width=shift, padding="0")
            before = compute.binary_join_element_wise(whole, compute.utf8_slice_codeunits(digits, 0, shift), "")
            whole = compute.if_else(here, before, whole)
            fraction = compute.if_else(here, compute.utf8_slice_codeunits(digits, shift, 1 << 30), fraction)
        else:
            digits = compute.utf8_lpad(whole, width=-shift, padding="0")
            after = compute.utf8_slice_codeunits(digits, shift, 1 << 30)
            fraction = compute.if_else(here, compute.binary_join_element_wise(after, fraction, ""), fraction)
            whole = compute.if_else(here, compute.utf8_slice_codeunits(digits, 0, shift), whole)
    return whole, fraction, fits
