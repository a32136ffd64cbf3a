"""The command line: one file per command, each reading options and calling a library function of the same name.

Nothing slow is imported here or at the top of a command's file, so that `limner --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

import limner
from limner.errors import LimnerError

app = typer.Typer(
    name="limner",
    help="From raw customer histories to personas you can trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"limner {limner.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """From raw customer histories to personas you can trust."""


def _register() -> None:
    """Adds every command, in the order in which a person meets them."""
    from limner.cli import (  # isort: skip
        ask, copy, demo, evaluate, export, extract, flags, identity, impute, ingest, ledger, models, persona, profile,
        runs, segment, sources, status, update,
    )  # fmt: skip

    app.command("demo")(demo.demo)
    app.command("ingest")(ingest.ingest)
    app.add_typer(sources.app, name="sources")
    app.command("profile")(profile.profile)
    app.add_typer(identity.app, name="identity")
    app.add_typer(flags.app, name="flags")
    app.command("impute")(impute.impute)
    app.command("extract")(extract.extract)
    app.command("update")(update.update)
    app.command("watch")(update.watch)
    app.add_typer(persona.app, name="persona")
    app.add_typer(segment.app, name="segment")
    app.command("ask")(ask.ask)
    app.command("copy")(copy.copy)
    app.command("export")(export.export)
    app.command("status")(status.status)
    app.add_typer(runs.app, name="runs")
    app.add_typer(models.app, name="models")
    app.add_typer(ledger.app, name="ledger")
    app.add_typer(evaluate.app, name="eval")


_register()


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process.

    Exit codes: 0 done, 1 failed (or done with some users failed), 2 asked for something impossible, 3 stopped at a
    limit of the run, 130 interrupted.
    """
    try:
        code: Any = app(args=arguments, standalone_mode=True)
    except LimnerError as error:
        sys.stderr.write(f"Error: {error}\n")
        code = error.exit_code
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer ends every command with SystemExit, and makes one with 130 of an interrupt.
        code = end.code if isinstance(end, SystemExit) else 130
        if code == 130:
            sys.stderr.write("Stopped. What was answered is kept; run the same command to go on.\n")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"Error: {error.strerror or error}{where}. Check the path, its permissions and free space.\n")
        code = 1
    except Exception as error:
        if os.environ.get("LIMNER_TRACEBACK"):
            raise
        sys.stderr.write(
            f"Error: {type(error).__name__}: {error}\n"
            "This is a defect in limner. Set LIMNER_TRACEBACK=1 to see where, and please report it.\n"
        )
        code = 1
    sys.exit(code)
