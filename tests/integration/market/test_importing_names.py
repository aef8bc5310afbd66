"""Names of files, beside what the user says of them and what they hold."""

from __future__ import annotations

import re
import shlex
import zipfile
from pathlib import Path

import pytest

from app.core.errors import InvalidInput, UnknownName
from app.services.importing import ImportOrder
from tests.integration.market.importing import Importing, file, line, walk
from tests.support.record import START_MS

M = 60_000
T = START_MS
HEADER = "ts,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("name", "symbol", "interval", "sentence"),
    [
        ("ETH_USDT-1m.csv", "BTC/USDT", "1m", "says ETH/USDT, and --symbol says BTC/USDT"),
        ("XRP_USDT_USDT-1m.csv", "XRP/USDT", "1m", "says XRP/USDT:USDT, and --symbol"),
        ("ETHUSDT-1m-2026-03.csv", "BTC/USDT", "", "says ETHUSDT, and --symbol says BTC/USDT"),
        ("BTC_USDT-5m.csv", "", "1m", "says 5m, and --interval says 1m"),
        ("BTC_USDT-10s.csv", "", "1m", "says 10s, and --interval says 1m"),
        ("BTC_USDT-10s.csv", "", "", "says bars of 10s, which Tidemark does not keep"),
    ],
)
def test_a_name_that_says_otherwise_is_believed_unless_the_user_insists(
    here: Importing, tmp_path: Path, name: str, symbol: str, interval: str, sentence: str
) -> None:
    path = file(tmp_path, HEADER, *walk(range(30)), name=name)
    with pytest.raises(InvalidInput, match=re.escape(sentence)) as refused:
        here.result(path, symbol, interval)
    assert "--despite-name" in refused.value.message
    assert "\n" not in refused.value.message
    insisted = here.result(path, symbol, interval or "1m", despite_name=True)
    assert insisted["new"] == 30


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTC_USDT-1m.csv", "BTC/USDT:USDT"),
        ("binanceus_BTCUSDT-1m-2026-03.csv", "BTC/USDT"),
        ("BTCUSD_PERP-1m-2026-03.csv", "BTC/USD:BTC"),
        ("binance_BTC_USDT-1m.csv", "BTC/USDT"),
        ("kraken.csv", "BTC/USDT"),
    ],
)
def test_a_name_that_says_less_or_more_contradicts_nothing(
    here: Importing, tmp_path: Path, name: str, symbol: str
) -> None:
    path = file(tmp_path, HEADER, *walk(range(30)), name=name)
    assert here.result(path, symbol, "1m")["new"] == 30


@pytest.mark.parametrize(
    ("member", "is_taken"),
    [
        ("LTCUSDT-1h-2026-01.csv", True),
        ("data.csv", True),
        ("ETHUSDT-1h-2026-01.csv", False),
        ("LTCUSDT-1m-2026-01.csv", False),
        ("LTCUSDT-1h-2026-02.csv", False),
        ("LTCUSDT-trades-2026-01.csv", False),
    ],
)
def test_what_is_in_a_zip_is_what_its_name_says(
    here: Importing, tmp_path: Path, member: str, is_taken: bool
) -> None:
    path = tmp_path / "LTCUSDT-1h-2026-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, f"{T},100,101,99,100,7,{T + 60 * M - 1},700,3,1,1,0\n")
    if is_taken:
        assert here.result(path, "LTC/USDT")["new"] == 1
        return
    with pytest.raises(InvalidInput, match=f"holds {member}, which is of something else"):
        here.result(path, "LTC/USDT")


@pytest.mark.parametrize(
    ("steps", "interval", "told"),
    [
        ([5] * 30, "1m", "5m"),
        ([5] * 60 + [10, 5, 5], "1m", "5m"),
        ([60] * 30, "5m", "1h"),
        ([5] * 9, "1m", ""),  # too few to say
        ([5, 5, 5, 1] * 9, "1m", ""),  # a market in which little is traded
        ([2] * 30, "1m", ""),  # of no interval
    ],
)
def test_bars_of_a_longer_interval_are_no_bars_of_a_shorter_one(
    here: Importing, tmp_path: Path, steps: list[int], interval: str, told: str
) -> None:
    minutes = [sum(steps[:n]) for n in range(len(steps) + 1)]
    path = file(tmp_path, HEADER, *[line(T + n * M) for n in minutes])
    if not told:
        assert here.result(path, "BTC/USDT", interval)["new"] == len(minutes)
        return
    sentence = f"bars.csv holds bars of {told}, not of {interval}: .* say --interval {told}"
    with pytest.raises(InvalidInput, match=sentence):
        here.result(path, "BTC/USDT", interval)
    assert here.stored("BTC/USDT", interval) == []
    assert here.result(path, "BTC/USDT", told)["new"] == len(minutes)


def test_an_interval_that_is_not_kept_leaves_its_file_out_alone(
    here: Importing, tmp_path: Path
) -> None:
    """Its advice cannot be followed to the letter: what they hold, their names do not say."""
    folder = tmp_path / "data"
    file(folder, HEADER, *walk(range(30)), name="BTC_USDT-1m.csv")
    names = ["ETH_USDT-10s.csv", "LTCUSDT-1s-2026-03.csv"]
    for name in names:
        file(folder, HEADER, *walk(range(30)), name=name)
    job = here.finished(ImportOrder(str(folder), "binance"))
    assert (job.state, (job.error or {})["code"]) == ("failed", "unplaced-files")
    assert job.result is not None
    assert [each["symbol"] for each in job.result["series"]] == ["BTC/USDT"]
    assert [name for name, _ in job.result["unplaced"]] == names
    for (_, advice), symbol in zip(job.result["unplaced"], ("ETH/USDT", "LTC/USDT"), strict=True):
        words = shlex.split(advice.partition("tidemark data import ")[2])
        assert words[1:6] == ["--symbol", symbol, "--interval", "INTERVAL", "--despite-name,"]
        assert here.result(words[0], symbol, "1m", despite_name=True)["new"] == 30
    # Who asks for an interval has not asked for those.
    alone = here.result(folder, interval="1m")
    assert (alone["unchanged"], alone["unplaced"]) == (30, [])


@pytest.mark.parametrize("columns", [{}, {"ts": "ts", "open": "open", "close": "close"}])
def test_a_column_that_is_there_twice_is_not_chosen(
    here: Importing, tmp_path: Path, columns: dict[str, str]
) -> None:
    rows = [f"{T + n * M},100,101,99,100,7,100.5\n" for n in range(3)]
    path = file(tmp_path, "ts,open,high,low,close,volume,open\n", *rows)
    sentence = "bars.csv has the column 'open' 2 times, at the positions 1 and 6"
    with pytest.raises(InvalidInput, match=sentence):
        here.result(path, "BTC/USDT", "1m", columns=columns)
    by_place = {"ts": "0", "open": "6", "high": "2", "low": "3", "close": "4", "volume": "5"}
    here.result(path, "BTC/USDT", "1m", columns=by_place)
    assert str(here.stored("BTC/USDT")[0].open) == "100.5"
    unused = file(tmp_path, "ts,open,high,low,close,volume,x,x\n", *[f"{T},1,1,1,1,1,2,3\n"])
    assert here.result(unused, "ETH/USDT", "1m")["new"] == 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("XRP_ETH-1m-2019.csv", "--symbol XRP/ETH --interval 1m"),
        ("BTC_USDT-1h-2017-2024.csv", "--symbol BTC/USDT --interval 1h"),
        ("MEME_BTC-1m-201802-sparse.csv.gz", "--symbol MEME/BTC --interval 1m"),
        ("XRP_USDT_USDT-5m-2019.csv", "--symbol XRP/USDT:USDT --interval 5m"),
        ("binanceus_BTCUSDC-1m-2023-03.csv", "--exchange binanceus --symbol BTC/USDC"),
        ("kraken_BTCUSDC-1m-2023Q1.csv", "--exchange kraken --symbol BTC/USDC --interval 1m"),
        ("XRP_ETH-trades-2019.csv", "--symbol XRP/ETH --interval INTERVAL --trades"),
        ("BTCUSD_PERP-1m-2026-03.csv", "--symbol SYMBOL"),
        ("ABCDEF-1m-2026-03.csv", "--symbol SYMBOL"),
        ("bars.csv", "--symbol SYMBOL --interval INTERVAL"),
        ("2026-03.csv", "--symbol SYMBOL --interval INTERVAL"),
    ],
)
def test_the_advice_for_a_file_is_of_its_own_market_or_cannot_be_followed(
    here: Importing, tmp_path: Path, name: str, options: str
) -> None:
    folder = tmp_path / "data"
    path = file(folder, HEADER, *walk(range(30)), name=name)
    with pytest.raises(InvalidInput) as refused:
        here.result(folder)
    unknown = [each for each in ("SYMBOL", "INTERVAL") if each in options.split()]
    rest = f", with what it is of in the place of {' and '.join(unknown)}" if unknown else ""
    assert refused.value.message.endswith(f": tidemark data import {path} {options}{rest}")
    for each in unknown:
        with pytest.raises(InvalidInput):
            here.result(
                path,
                "SYMBOL" if each == "SYMBOL" else "BTC/USDT",
                "INTERVAL" if each == "INTERVAL" else "1m",
            )


@pytest.mark.parametrize("is_folder", [False, True])
def test_an_interval_that_is_none_is_said_to_be_none(
    here: Importing, tmp_path: Path, is_folder: bool
) -> None:
    path = file(tmp_path / "data", HEADER, *walk(range(30)), name="BTC_USDT-1m.csv")
    with pytest.raises(UnknownName, match=r"^interval '7m' is not known; use one of 1m, "):
        here.result(path.parent if is_folder else path, interval="7m")
