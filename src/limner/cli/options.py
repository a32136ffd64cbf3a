"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="LIMNER_WORKSPACE", help="The folder that holds everything limner keeps."),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="LIMNER_MODEL",
        help="Model: embedded, embedded:NAME, http://host:port/v1#MODEL, openai:MODEL or vllm:MODEL.",
    ),
]

SourcesOption = Annotated[
    Path,
    typer.Option(
        "--sources", metavar="FILE", envvar="LIMNER_SOURCES", help="The file that names sources, see docs/sources.md."
    ),
]

FlaggedOption = Annotated[
    bool, typer.Option("--include-flagged", help="Use accounts too that look like bots or tests (limner flags list).")
]

PlanOption = Annotated[str, typer.Option("--plan", help="How much is asked at once: small, joint, or auto (by model).")]

BudgetOption = Annotated[
    float | None, typer.Option("--budget", min=0, help="Stop before the run costs more than this.")
]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", min=0, help="Stop when so many tokens were read and written.")
]
MaxSecondsOption = Annotated[float | None, typer.Option("--max-seconds", min=0, help="Stop after so many seconds.")]

DEFAULT_SOURCES = Path("sources.toml")
DEFAULT_WORKSPACE = Path(".limner")
DEFAULT_MODEL = "embedded"
