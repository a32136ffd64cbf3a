"""`limner models`: which models there are, fetching their weights, and keeping one up for other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from limner.cli.tune import NOT_MEASURED, profiles, tune

app = typer.Typer(help="Models on this machine: list them, fetch their weights, keep one up.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A model's name, see `limner models list`.")]


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the models limner knows, and which of them are here."""
    from limner.cli.output import console, print_json
    from limner.serving.models import known_model
    from limner.serving.profiles import read_profiles
    from limner.serving.weights import statuses

    found, table = statuses(), read_profiles()
    profile = {status.name: table.find(known_model(status.name).identity) for status in found}
    if json:
        measured = {name: one and one.to_dict() for name, one in profile.items()}
        print_json([{**status.to_dict(), "profile": measured[status.name]} for status in found])
        return
    out = console()
    for status in found:
        mark = "*" if status.default else " "
        out.print(
            f"{mark} {status.name:20} {status.bytes / 1e6:>7,.0f} MB  {status.state:8}  {status.note}",
            markup=False,
            soft_wrap=True,
        )
        one = profile[status.name]
        unmeasured = NOT_MEASURED.format(spec=f"embedded:{status.name}")
        told = f"plan {one.plan}, measured {one.measured}" if one else unmeasured
        out.print(f"  {'':20} {'':>10}  {told}", markup=False, soft_wrap=True)
    out.print(
        "* is what --model embedded runs. Others: embedded:NAME, embedded:/path/file.gguf.",
        markup=False,
        soft_wrap=True,
    )


@app.command("show")
def show(name: NameArgument, json: JsonOption = False) -> None:
    """Show one model: its file, its pin, its licence and where it can be had."""
    from limner.cli.output import console, print_json
    from limner.serving.models import known_model
    from limner.serving.weights import status_of

    described = status_of(known_model(name)).to_dict()
    if json:
        print_json(described)
        return
    out = console()
    for label, value in described.items():
        text = "; ".join(value) if isinstance(value, tuple) else value
        out.print(f"{label:10} {'-' if text is None else text}", markup=False, soft_wrap=True)


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="A model's name; the default model if none is named.")] = "",
    json: JsonOption = False,
) -> None:
    """Fetch a model's weights, if they are not here yet, check them against their pin and make them ready to run."""
    from limner.cli.output import console, print_json
    from limner.serving.embedded import keep_ready
    from limner.serving.models import known_model
    from limner.serving.weights import progress_on_stderr, status_of
    from limner.serving.weights import pull as pull_weights

    model = known_model(name)
    with progress_on_stderr(f"Fetching {model.name}") as progress:
        path = pull_weights(model, progress)
        keep_ready(path, progress)
    if json:
        print_json(status_of(model).to_dict())
        return
    console().print(str(path), markup=False, soft_wrap=True)


@app.command("serve")
def serve(
    spec: Annotated[str, typer.Argument(help="embedded, embedded:NAME, embedded:/path/file.gguf or vllm:MODEL.")],
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The port; 8000 or a free one if none is named.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Requests an embedded model works on together.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Keep a model up at an OpenAI-compatible address of this machine, for limner and other programs, until Ctrl-C."""
    from limner.cli.output import console, print_json
    from limner.serving.keep import keep

    try:
        with keep(spec, port=port, concurrency=concurrency) as kept:
            if json:
                print_json({"address": kept.address, "models": kept.names, "log": kept.log, "found": kept.found})
            else:
                up = "is up already" if kept.found else "is up"
                console().print(f"{kept.names[0]} {up}: {kept.address}", markup=False, soft_wrap=True)
                console().print(f"For limner: --model {kept.spec}", markup=False, soft_wrap=True)
            if not kept.found:
                kept.wait()
    except KeyboardInterrupt:
        raise typer.Exit from None


@app.command("prices")
def prices(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """Show what models cost, the files that say so, and how an entry is written."""
    from limner.cli.output import console, print_json
    from limner.serving.prices import read_prices

    table = read_prices(workspace)
    if json:
        print_json(table.to_dict())
        return
    out = console()
    for price in table.prices:
        out.print(
            f"{price.model:30} {price.currency} {price.input:g} read, {price.cached_input:g} read before, "
            f"{price.output:g} written, per million tokens ({price.file})",
            markup=False,
            soft_wrap=True,
        )
    out.print(f"\nAnother price goes into {table.files[0]}, as an entry:\n", markup=False, soft_wrap=True)
    out.print(
        '[[price]]\nmodel = "openai:NAME"\ncurrency = "USD"\ninput = 0.00   # per million tokens read\n'
        "output = 0.00  # per million tokens written",
        markup=False,
        soft_wrap=True,
    )


app.command("profiles")(profiles)
app.command("tune")(tune)
