"""Plain-text and Markdown tables of numbers."""

from __future__ import annotations

import math


def render(header: list[str], rows: list[list[str]], *, markdown: bool = False) -> str:
    """One line a row; the first column is aligned left, the others right.

    Args:
        header: column names.
        rows: cells as text, each row as long as `header`.
        markdown: a Markdown table instead of plain columns.
    """
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * width if column == 0 else "-" * (max(width, 2) - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def number(metric: str, value: float) -> str:
    """A metric's value as text: counts whole, bits with two digits, the rest with four; "-" where undefined."""
    if math.isnan(value):
        return "-"
    if metric == "users":
        return f"{value:.0f}"
    return f"{value:.2f}" if metric.startswith("novelty") else f"{value:.4f}"
