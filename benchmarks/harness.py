"""Finding, running and printing benchmarks.

A benchmark is a module of this package with a function ``run()`` that returns
``{"figures": {name: number}, "ratios": {name: number}}``. Figures depend on the machine;
ratios compare two things measured in the same run, and are what to watch. One whose ``run`` takes
``quick`` can be run short, to see that it works.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_NOT_BENCHMARKS: Final = frozenset({"__main__", "harness"})
_USAGE: Final = "usage: python -m benchmarks NAME|all [--json] [--quick]; NAME is one of"
_ALL: Final = "all"
_OPTIONS: Final = frozenset({"--json", "--quick"})


def names() -> list[str]:
    """Names of the benchmarks in this package, sorted."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(
        each.name for each in found if not each.ispkg and each.name not in _NOT_BENCHMARKS
    )


def run(name: str, *, quick: bool = False) -> dict[str, Any]:
    """Run one benchmark; returns its name, figures and ratios.

    Args:
        quick: run it short where it can be.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in names():
        raise KeyError(name)
    measure = importlib.import_module(f"benchmarks.{name}").run
    can_be_quick = "quick" in inspect.signature(measure).parameters
    measured: Mapping[str, Any] = measure(quick=quick) if can_be_quick else measure()
    return {"benchmark": name, "figures": measured["figures"], "ratios": measured["ratios"]}


def table(result: Mapping[str, Any]) -> str:
    """The result for people to read."""
    rows = [(kind, *item) for kind in ("figures", "ratios") for item in result[kind].items()]
    width = max((len(name) for _, name, _ in rows), default=0)
    lines = [str(result["benchmark"])]
    lines += [f"  {name:<{width}}  {value:>14,.6g}  {kind[:-1]}" for kind, name, value in rows]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """List benchmarks, or run one or all; the exit code: 0 ok, 1 one failed, 2 wrong usage."""
    as_json = "--json" in arguments
    wanted = [argument for argument in arguments if argument not in _OPTIONS]
    if not wanted:
        sys.stdout.write("\n".join([_USAGE, *(f"  {name}" for name in names())]) + "\n")
        return 0
    if len(wanted) > 1 or wanted[0] not in (_ALL, *names()):
        sys.stderr.write(f"{_USAGE} {', '.join(names())}\n")
        return 2
    if wanted[0] == _ALL:
        return run_all([each for each in arguments if each in _OPTIONS])
    result = run(wanted[0], quick="--quick" in arguments)
    sys.stdout.write((json.dumps(result) if as_json else table(result)) + "\n")
    return 0


def run_all(options: list[str]) -> int:
    """Run every benchmark, each in a process of its own: none measures what another left.

    Returns:
        the exit code: 1 where one failed; the others are run all the same.
    """
    failed = []
    for number, name in enumerate(names(), start=1):
        sys.stderr.write(f"benchmark {number} of {len(names())}: {name}\n")
        done = subprocess.run([sys.executable, "-m", "benchmarks", name, *options], check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0
