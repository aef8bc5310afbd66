"""An order at Binance spot, and what the venue answers about it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from app.core.orders.types import OrderRequest, OrderType, Side
from tests.support.record import START_MS

ORDER = "/api/v3/order"
MARKET = OrderRequest(
    symbol="BTC/USDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    quantity=Decimal("0.00100"),
    client_order_id="tm0a1b2c",
    timestamp_ms=START_MS - 1_234,
    recv_window_ms=2_000,
    price=Decimal(50000),  # what the risk gate reckoned with; it must not be sent
)
LIMIT = replace(MARKET, type=OrderType.LIMIT, price=Decimal("50000.10"))
FILLED = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "orderListId": -1,
    "clientOrderId": "tm0a1b2c",
    "transactTime": START_MS + 5,
    "price": "0.00000000",
    "origQty": "0.00100000",
    "executedQty": "0.00100000",
    "status": "FILLED",
    "type": "MARKET",
    "side": "BUY",
    "fills": [
        {
            "price": "50000.10",
            "qty": "0.00060000",
            "commission": "0.00000060",
            "commissionAsset": "BTC",
            "tradeId": 56,
        },
        {
            "price": "50000.20",
            "qty": "0.00040000",
            "commission": "0.00000040",
            "commissionAsset": "BTC",
            "tradeId": 57,
        },
    ],
}
OPEN = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "clientOrderId": "tm0a1b2c",
    "price": "50000.10",
    "origQty": "0.00100000",
    "executedQty": "0.00040000",
    "status": "PARTIALLY_FILLED",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "side": "BUY",
    "time": START_MS,
}
CANCELLED = {
    **OPEN,
    "clientOrderId": "the-cancels-own-id",
    "origClientOrderId": "tm0a1b2c",
    "status": "CANCELED",
}
