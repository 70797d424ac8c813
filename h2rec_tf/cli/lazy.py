"""Command groups whose subcommands are imported when they are asked for."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import click


@dataclasses.dataclass(frozen=True)
class Plugin:
    """A subcommand of another package, found through an entry point.

    Attributes:
        help: one line; it stands here so that `--help` imports nothing.
        extra: the extra of this distribution that installs what it needs.
    """

    help: str
    extra: str


class LazyGroup(click.Group):
    """Imports a subcommand's module only when it is used.

    Args:
        commands_at: name -> (module, attribute, one line of help).
        plugins: name -> subcommand of another package.
        plugin_group: entry-point group that the plugins are found in.
    """

    def __init__(
        self,
        *args: Any,
        commands_at: Mapping[str, tuple[str, str, str]],
        plugins: Mapping[str, Plugin],
        plugin_group: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at
        self._plugins = plugins
        self._plugin_group = plugin_group

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._commands_at, *self._plugins]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._commands_at:
            module, attribute, _ = self._commands_at[cmd_name]
            return getattr(importlib.import_module(module), attribute)
        if cmd_name in self._plugins:
            for entry in importlib.metadata.entry_points(group=self._plugin_group, name=cmd_name):
                return entry.load()
            extra = self._plugins[cmd_name].extra
            raise click.ClickException(f"`{cmd_name}` is not installed; run: pip install 'h2rec-tf[{extra}]'")
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with near names where there is none of that one."""
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            near = difflib.get_close_matches(name, self.list_commands(ctx))
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, _, text) in self._commands_at.items()]
        rows += [(name, plugin.help) for name, plugin in self._plugins.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
