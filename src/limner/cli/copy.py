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
    from limner.agents.copywriter import write_copy
    from limner.cli.output import console, print_json
    from limner.histories.store import Store
    from limner.reports.terminal import copy_text
    from limner.serving import connect

    store = Store.open(workspace)
    with connect(store.path, model) as client:
        written = write_copy(store, client, segment, product, channel, variants)
    if json:
        print_json(written.to_json())
    else:
        console().print(copy_text(written.to_json(), written.language))
