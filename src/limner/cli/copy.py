"""`limner copy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner.cli.options import DEFAULT_MODEL, DEFAULT_WORKSPACE, JsonOption, ModelOption, WorkspaceOption


def copy(
    segment: Annotated[str, typer.Option("--segment", "-s", help="The segment to write for, by name or id.")],
    product: Annotated[Path, typer.Option("--product", "-p", help="The product sheet, a YAML file; see docs/copy.md.")],
    channel: Annotated[str, typer.Option("--channel", "-c", help="email, sms or push.")] = "email",
    variants: Annotated[int, typer.Option("--variants", "-n", help="How many variants, 1 to 20.")] = 3,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    model: ModelOption = DEFAULT_MODEL,
    json: JsonOption = False,
) -> None:
    """Write marketing copy for a segment from a product sheet's facts, each variant with its checks."""
    from limner.cli.output import console, print_json
    from limner.reports.terminal import copy_text
    from limner.workspace import Workspace

    written = Workspace(workspace, model=model).copy(segment, product, channel=channel, variants=variants)
    if json:
        print_json(written.to_json())
    else:
        console().print(copy_text(written.to_json(), written.language))
