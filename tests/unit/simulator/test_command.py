"""The command line and the state file: bad input gets one sentence and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from simulator.__main__ import main
from simulator.build import build_venue
from simulator.exchange import Account
from simulator.journal import Journal
from simulator.options import Options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "loopback only"),  # noqa: S104
        (["--host", "example.com"], "loopback only"),
        (["--port", "70000"], "from 0 to 65535"),
        (["--port", "many"], "from 0 to 65535"),
        (["--start", "yesterday"], "write 2026-01-01T00:00:00Z"),
        (["--start", "2026-01-01T00:00:00"], "no time zone"),
        (["--start", "0"], "span 2015 to 2034"),
        (["--clock", "warped"], "choose from 'stepped', 'running')"),
        (["--fee-asset", "x"], "choose from 'received', 'quote')"),
        (["--quiet-bars", "x"], "choose from 'filled', 'omitted')"),
        (["--replay", "/", "--replay-symbol", "A/B"], "is a directory; name a file"),
        (["--replay", "absent.csv", "--replay-symbol", "BTC/USDT"], "does not exist"),
        (["--replay", "absent.csv"], "one --replay-symbol for each --replay"),
        (["--taker-fee", "2"], "from 0 to below 0.1"),
        (["--taker-fee", "1e-3"], "is not an amount"),
        (["--spread-bps", "-1"], "from 0 to 1000"),
        (["--reference-prices", "BTC/USDT"], "not written as BTC/USDT=65000"),
        (["--reference-prices", "XXX/USDT=5"], "is not listed"),
        (["--reference-prices", "ETH/BTC=5"], "is the quotient of"),
        (["--weight-limit", "lots"], "must be a whole number"),
        (["--usdm-weight-limit", "-5"], "must be a whole number"),
        (["--quiet", "NO/SUCH"], "which is not listed; listed are BTC/USDT"),
        (["--quiet-bars", "hidden"], "invalid choice"),
        (["--no-such-option"], "unrecognized arguments"),
        (["--seed", "x"], "invalid int value"),
        (["--state", "/proc/nowhere/state"], "cannot be written"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.startswith("simulator: ")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace('{"market', '{"mar"ket', 1), "line 2 is damaged"),
        (lambda text: text.replace('"USDT":["5"', '"USDT":["x"', 1), "line 2 is damaged"),
        (lambda text: text.replace('"seed":0', '"seed":9', 1), "written with seed 9"),
        (lambda _: "[]\n", "not a state file"),
        (lambda _: "hello\n", "line 1 is damaged"),
    ],
)
def test_a_damaged_state_file_is_refused(
    tmp_path: Path,
    damage: Callable[[str], str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = tmp_path / "state.jsonl"
    venue = build_venue(Options())
    journal = Journal(state, venue)
    venue.exchange.observers.append(journal)
    venue.exchange.open_account(Account("alice", "key", "secret"), {"USDT": Decimal(5)})
    journal.close()
    state.write_text(damage(state.read_text()))
    assert main(["--state", str(state)]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
