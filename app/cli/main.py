"""``tidemark``: the command line. Groups are files; heavy parts are imported on use."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import (
    accounts,
    backtests,
    data,
    data_files,
    data_points,
    instances,
    jobs,
    orders,
    plans,
    retention,
    risk,
    sources,
    stack,
    strategies,
    system,
)
from app.cli.services import commands as services

if TYPE_CHECKING:
    from app.core.errors import TidemarkError

app = typer.Typer(
    name="tidemark",
    help="Self-hosted quantitative crypto trading: data, research and execution.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
data.app.add_typer(plans.app, name="plans")
data.app.add_typer(retention.app, name="retention")
data.app.add_typer(sources.app, name="sources")
data_files.register(data.app)
data_points.register(data.app)
app.add_typer(strategies.app, name="strategy")
app.add_typer(instances.app, name="instance")
app.add_typer(backtests.app, name="backtest")
app.add_typer(accounts.app, name="account")
app.add_typer(orders.app, name="order")
app.add_typer(risk.app, name="risk")
app.add_typer(jobs.app, name="job")
app.add_typer(system.app, name="system")
app.add_typer(services.app, name="services")
stack.register(app)
app.command("doctor")(system.doctor)


@app.command("version")
def show_version(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Print the version."""
    from app import __version__
    from app.cli.output import emit

    emit(as_json, {"version": __version__}, lambda console: console.print(__version__))


# What was asked for does not fit this installation: as little use to try again as bad input.
_MISFITS = frozenset({"already-running", "unfinished-restore", "wrong-world"})
# Ctrl-C, as every shell counts it; Typer turns the exception into it.
_INTERRUPTED = 128 + 2


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end the process: 0 ok, 1 failed, 2 usage or bad input.

    Bad input is a name or id that nothing has as well, a name that is taken, and a file that
    cannot be used.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command; its exit code. What went wrong is one sentence on stderr."""
    debugging = os.environ.get("TIDEMARK_DEBUG", "") not in ("", "0")
    try:
        result: Any = app(arguments, prog_name="tidemark", standalone_mode=False)
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        result = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debugging:
            raise
        return _failed(error)
    if result == _INTERRUPTED:
        _say("interrupted")
    return result if isinstance(result, int) else 0


def _usage(error: typer.TyperException) -> int:
    formatted = getattr(error, "format_message", None)
    text = formatted() if formatted is not None else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(text + "\n")
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tidemark"
    _say(f"{_plainly(text)}; see: {command} --help")
    return int(getattr(error, "exit_code", 2))


def _plainly(text: str) -> str:
    """A parser's sentence without its own jargon."""
    said = " ".join(text.split()).rstrip(".")
    if re.match(r"No such option: -[.\d]", said):
        return "what begins with - is taken for an option; amounts are above 0, without a sign"
    said = re.sub(r"Value error, ('[^']*') is not one of (.*)", r"\1 is not one of \2", said)
    return said.replace("Value error, ", "").replace("Input should be", "it must be")


def _failed(error: Exception) -> int:
    from app.core.errors import TidemarkError

    if isinstance(error, TidemarkError):
        _say(_words_of(error))
        return 2 if _is_bad_input(error) else 1
    if _is_database(error):
        _say(f"the database cannot be used ({type(error).__name__}); see: tidemark doctor")
        return 1
    _say(
        f"something unforeseen happened ({type(error).__name__}); its traceback is in "
        f"{_logged(error)}, and TIDEMARK_DEBUG=1 shows it"
    )
    return 1


def _is_bad_input(error: TidemarkError) -> bool:
    """Whether what the user gave is wrong: a value, a name that nothing has or that something has
    already, a file of theirs.

    What goes wrong later, in a job or between us and a venue, comes as another error.
    """
    from app.core.errors import InvalidInput, NameTaken, NotFound
    from app.core.sources.errors import SourceError
    from app.core.strategies.errors import StrategyError

    given = (InvalidInput, NameTaken, NotFound, SourceError, StrategyError)
    return isinstance(error, given) or error.error_code in _MISFITS


def _words_of(error: TidemarkError) -> str:
    """What is said of it, and of an exchange that does not answer what to do."""
    from app.core.exchanges.errors import VenueUnreachable, unreachable_words

    if not isinstance(error, VenueUnreachable):
        return error.message
    said = unreachable_words(error.exchange, VenueUnreachable.code, error.message)
    return (
        f"{said}; see that this machine is online and try again, or look on a simulated exchange "
        "first: tidemark up"
    )


def _is_database(error: Exception) -> bool:
    return type(error).__module__.startswith("sqlalchemy.exc")


def _logged(error: Exception) -> str:
    """Append the traceback to a file; its name."""
    import traceback

    from app.config import home, load_settings
    from app.logs import redacted

    try:
        directory = load_settings().data_dir
    except Exception:  # noqa: BLE001 - whatever fails here, the first error is what is told
        directory = home() / "var"
    path = directory / "cli-errors.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(redacted("".join(traceback.format_exception(error))))
    except OSError:
        return "no file, since none could be written"
    return str(path)


def _say(text: str) -> None:
    sys.stderr.write(f"tidemark: {' '.join(text.split())}\n")


if __name__ == "__main__":
    main()
