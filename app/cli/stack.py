"""``tidemark up``, ``tidemark demo``, ``tidemark simulator``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Of the API; 0: any.")]

Full = Annotated[bool, typer.Option("--full", help="On MySQL, RabbitMQ and Redis.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("up")(up)
    app.command("demo")(demo)
    app.command(
        "simulator",
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(simulator)


def up(
    port: Port = None,
    simulator: Annotated[
        bool, typer.Option("--simulator/--no-simulator", help="Start the simulated exchange.")
    ] = True,
    full: Full = False,
    only: Annotated[
        str, typer.Option("--only", help="With --full: processes, as in worker:orders,beat.")
    ] = "",
) -> None:
    """Start Tidemark and stay up until Ctrl-C."""
    from app.cli.up import run_up

    chosen = [each.strip() for each in only.split(",") if each.strip()]
    raise typer.Exit(run_up(port=port, simulator=simulator, full=full, only=chosen))


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the summary.")] = False,
    port: Port = None,
    full: Full = False,
) -> None:
    """Collect, backtest and trade on simulated money, in front of you."""
    from app.cli.demo import run_demo

    raise typer.Exit(run_demo(once=once, port=port, full=full))


def simulator(context: typer.Context) -> None:
    """Run the simulated exchange by itself; its options follow (see: simulator --help)."""
    # In this process's place, so that every signal reaches it.
    os.execv(sys.executable, [sys.executable, "-m", "simulator", *context.args])  # noqa: S606
