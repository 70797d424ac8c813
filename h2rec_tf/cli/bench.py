"""`h2rec bench`: its commands are found through the entry-point group `h2rec.bench`."""

from __future__ import annotations

import importlib.metadata

import click


class _EntryPoints(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry.name for entry in importlib.metadata.entry_points(group="h2rec.bench"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in importlib.metadata.entry_points(group="h2rec.bench", name=cmd_name):
            return entry.load()
        return None


@click.group(cls=_EntryPoints)
def bench() -> None:
    """Measure quality and speed."""
