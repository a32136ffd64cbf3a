"""`limner status`."""

from __future__ import annotations

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption


def status(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """Show what the workspace holds."""
    from limner.cli.output import console, print_json
    from limner.workspace import Workspace

    report = Workspace(workspace).status()
    if json:
        print_json(report)
        return
    out = console()
    for name, rows in report["tables"].items():
        out.print(f"{name:12} {rows:>12,}")
