"""What goes over the pipe comes back equal."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import fields
from decimal import Decimal

import numpy as np
import pytest
from research_tables import gapped, instrument, run

from app.core.backtest.result import BacktestResult
from app.core.errors import InvalidInput
from app.core.orders.types import OrderStatus, OrderType, Side
from app.core.strategies.builtin.moving_average_cross import MovingAverageCross
from app.core.strategies.evaluation import EvaluationRequest, evaluate
from app.core.strategies.plain import Blobs, from_plain, to_plain
from app.core.strategies.updates import OrderUpdate, OwnOrder
from app.core.strategies.wire import Message, read_message


def request() -> EvaluationRequest:
    frame = gapped(2, bars=30)
    return EvaluationRequest(
        strategy="cross",
        strategy_id="i1",
        params={"fast": 3, "slow": 5, "fraction": "0.5"},
        exchange="binance",
        interval="1m",
        instruments=(instrument(max_quantity=Decimal("900.5")),),
        frames=(frame,),
        capital=Decimal("1234.000000000000000001"),
        cursor_ts=int(frame.open_ts[12]),
        state={"seen": [1, 2.5, None, {"a": True}]},
        net_cash=Decimal("-10.25"),
        positions={"BTC/USDT": Decimal("0.125")},
        working_orders=(
            OwnOrder(
                "k", "BTC/USDT", Side.BUY, OrderType.LIMIT, Decimal(1), limit_price=Decimal(9)
            ),
        ),
        updates=(
            OrderUpdate(
                "7",
                "k2",
                "BTC/USDT",
                Side.SELL,
                OrderType.MARKET,
                OrderStatus.FILLED,
                Decimal(1),
                Decimal(1),
                int(frame.open_ts[13]),
                price=Decimal("99.5"),
                last_quantity=Decimal(1),
                fee=Decimal("0.0995"),
            ),
        ),
    )


def over_the_pipe(message: Message) -> Message:
    back = read_message(io.BytesIO(message.encode()).read)
    assert back is not None
    return back


def test_a_request_survives_json_and_gives_the_same_answer() -> None:
    sent, blobs = request(), Blobs()
    message = over_the_pipe(Message({"request": to_plain(sent, blobs)}, blobs))
    back = from_plain(EvaluationRequest, message.header["request"], message.blobs)
    for field in fields(EvaluationRequest):
        if field.name != "frames":
            assert getattr(back, field.name) == getattr(sent, field.name)
    for mine, theirs in zip(sent.frames[0].columns(), back.frames[0].columns(), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    assert evaluate(back, MovingAverageCross) == evaluate(sent, MovingAverageCross)


def test_a_backtest_result_survives_json() -> None:
    sent, blobs = run(MovingAverageCross, gapped(4), params={"fast": 3, "slow": 9}), Blobs()
    message = over_the_pipe(Message(to_plain(sent, blobs), blobs))
    back = from_plain(BacktestResult, message.header, message.blobs)
    assert back.to_json() == sent.to_json()
    assert np.array_equal(back.equity.equity, sent.equity.equity)
    assert back.trades == sent.trades


def test_data_of_another_form_is_refused() -> None:
    for data in ({"nonsense": 1}, {"key": "k", "quantity": "x"}, 3):
        with pytest.raises(InvalidInput, match="not the data of a OwnOrder"):
            from_plain(OwnOrder, data, [])


def test_the_end_of_a_stream_is_none_and_not_an_error() -> None:
    whole = Message({"op": "x"}, [b"12345"]).encode()
    assert read_message(io.BytesIO(b"").read) is None
    assert read_message(io.BytesIO(whole[:3]).read) is None
    assert read_message(io.BytesIO(whole[:-2]).read) is None


def test_what_is_no_message_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(InvalidInput, match="something else than messages"):
        read_message(io.BytesIO(b"Traceback (most recent call last)").read)
    absurd = struct.pack(">II", 2, 1) + struct.pack(">Q", 2**60) + b"{}"
    with pytest.raises(InvalidInput, match="absurd size"):
        read_message(io.BytesIO(absurd).read)


def test_a_message_keeps_its_blobs() -> None:
    sent = Message(json.loads('{"a": [1, null, "é"]}'), [b"", b"abc"])
    assert over_the_pipe(sent) == sent
