"""`limner ask`."""

from __future__ import annotations

from typing import Annotated

import typer

from limner.cli.options import DEFAULT_MODEL, DEFAULT_WORKSPACE, JsonOption, ModelOption, WorkspaceOption


def ask(
    question: Annotated[str, typer.Argument(help="A question about your customers, in Chinese or English.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    model: ModelOption = DEFAULT_MODEL,
    json: JsonOption = False,
) -> None:
    """Answer a question about customers, with citations, or say that the data does not tell."""
    from limner.cli.output import console, print_json
    from limner.reports.terminal import answer_text
    from limner.workspace import Workspace

    answer = Workspace(workspace, model=model).ask(question)
    if json:
        print_json(answer.to_json())
    else:
        console().print(answer_text(answer.to_json()))
