"""Whether codebooks are good enough to train on."""

from __future__ import annotations

import math

from h2rec_tf.config import CodebookConfig
from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.codebook_report import CodebookReport

# Share of the variance below which the levels above have said all there is to say.
_NOTHING_LEFT = 1e-3


def codebook_faults(report: CodebookReport, config: CodebookConfig) -> list[str]:
    """What in a report is outside the limits, one line each, with the figures.

    Perplexity and dead codes are shares of the codes that the level could use: no more than there are items. A level
    that finds nothing left to tell apart is not judged. Only the first level is asked how many items one code has: on
    those below it, the items that are told apart already gather on one code.

    Args:
        report: of the codes.
        config: the limits.
    """
    # Comparisons with what is not a number are all false: no limit would hold it.
    if not (math.isfinite(report.error) and math.isfinite(report.cosine)):
        return [
            f"the reconstruction error is {report.error} and the mean cosine {report.cosine}: "
            "vectors or codebooks hold values that are not finite numbers"
        ]
    faults = []
    empty = f"; {report.empty_vectors} items are without text" if report.empty_vectors else ""
    if report.collision_rate > config.max_collision_rate:
        faults.append(
            f"{report.collision_rate:.1%} of the items share their code tuple with another one{empty}; "
            f"codebooks.max_collision_rate allows {config.max_collision_rate:.1%}"
        )
    if report.largest_tuple_share > max(config.max_tuple_share, 2 / report.items):
        faults.append(
            f"{report.largest_tuple_share:.1%} of the items have one and the same code tuple{empty}; "
            f"codebooks.max_tuple_share allows {config.max_tuple_share:.1%}"
        )
    reachable = min(report.codes, report.items)
    coarsest = report.levels[0].largest_share
    if coarsest > max(config.max_code_share, 2 / reachable):
        faults.append(
            f"{coarsest:.1%} of the items have one and the same code at level 1{empty}; "
            f"codebooks.max_code_share allows {config.max_code_share:.1%}"
        )
    before = 1.0
    for level in report.levels:
        # A disambiguation digit has no error, and few values on purpose.
        if level.error != level.error:
            continue
        if before > _NOTHING_LEFT:
            perplexity, dead = level.perplexity / reachable, (reachable - min(level.used, reachable)) / reachable
            if perplexity < config.min_perplexity:
                share = f"{perplexity:.1%}"
                faults.append(
                    f"level {level.level} has perplexity {level.perplexity:.1f} of {reachable} codes ({share}); "
                    f"codebooks.min_perplexity asks for {config.min_perplexity:.1%}"
                )
            if dead > config.max_dead_codes:
                faults.append(
                    f"level {level.level} has {reachable - level.used} dead codes of {reachable} ({dead:.1%}); "
                    f"codebooks.max_dead_codes allows {config.max_dead_codes:.1%}"
                )
        before = level.error
    return faults


def check_codebooks(report: CodebookReport, config: CodebookConfig) -> None:
    """Does nothing where the report is inside the limits.

    Raises:
        InputError: it is not; the message has each figure with its limit, and the remedy.
    """
    faults = codebook_faults(report, config)
    if faults:
        raise InputError(
            f"codebooks refused: {'; '.join(faults)}. Give items more text or better vectors, change quantizer.levels "
            f"(now {len(report.levels)}) or quantizer.codes (now {report.codes}), or change the limits"
        )
