"""Shares of an endpoint's requests, in whole percent."""

from __future__ import annotations

from collections.abc import Mapping

from h2rec_tf.errors import InputError


def with_newcomer(split: Mapping[str, int], newcomer: str, percent: int) -> dict[str, int]:
    """`newcomer` gets `percent`, the others share the rest in the proportions they had.

    Args:
        split: deployed model id -> percent; sums to 100, or is empty.
        newcomer: id that may be in `split`; Vertex AI calls a model that a request deploys "0".
        percent: 0..100; the first model of an endpoint gets 100 in any case.

    Returns:
        Shares that sum to 100. Largest remainders are rounded up, so that no share drifts by more than one.
    """
    others = {key: value for key, value in split.items() if key != newcomer}
    total = sum(others.values())
    if not total:
        return {**dict.fromkeys(others, 0), newcomer: 100}
    rest = 100 - percent
    exact = {key: value * rest / total for key, value in others.items()}
    shares = {key: int(value) for key, value in exact.items()}
    short = rest - sum(shares.values())
    for key in sorted(exact, key=lambda key: (shares[key] - exact[key], key))[:short]:
        shares[key] += 1
    return {**shares, newcomer: percent}


def parsed(parts: tuple[str, ...]) -> dict[str, int]:
    """Shares as written on a command line, `ID=PERCENT` each.

    Raises:
        InputError: not of that form, a share out of range, an id given twice, or a sum other than 100.
    """
    split: dict[str, int] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if not key or not value.isdigit() or int(value) > 100:
            raise InputError(f"--split {part}: give it as DEPLOYED_MODEL_ID=PERCENT, with a percent from 0 to 100")
        if key in split:
            raise InputError(f"--split {part}: {key} is given twice")
        split[key] = int(value)
    if sum(split.values()) != 100:
        raise InputError(f"--split: the shares sum to {sum(split.values())}, they must sum to 100")
    return split
