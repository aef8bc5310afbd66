"""What a strategy author writes: a subclass of ``BaseStrategy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from app.core.errors import InvalidInput
from app.core.indicators.declared import Source
from app.core.indicators.lines import Indicator, Line
from app.core.market.klines import KlineData
from app.core.money import ZERO
from app.core.orders.types import OrderType, Side, TimeInForce
from app.core.strategies import sizing
from app.core.strategies.desk import Desk
from app.core.strategies.errors import BadParameter
from app.core.strategies.exact import Amount, exact
from app.core.strategies.parameters import Parameter, declared_in, resolve
from app.core.strategies.signal import Signal, SignalAction
from app.core.strategies.updates import OrderUpdate, OwnOrder

Answer = Signal | Sequence[Signal] | None
"""What a hook may return."""


class BaseStrategy:
    """A trading strategy: the same class in backtest, on a simulated, paper or live account.

        class Cross(BaseStrategy):
            fast = IntParameter(10, low=2, high=400)

            def setup(self):
                self.average = self.indicator("SMA", timeperiod=self.fast)

            def on_kline(self, kline):
                if kline.close > self.average[0] and not self.position():
                    return self.target_percent("0.95")

    A live run makes a new object whenever it needs one, so an attribute set in a hook would
    be lost; setting one is refused. What must last goes into ``self.state``, a dict of plain
    JSON values.

    Args:
        strategy_id: the instance's id; in a backtest, the strategy's name.
        config: parameter values by name; what is missing has its default.

    Raises:
        BadParameter: a value outside its bounds, or an unknown name.
    """

    parameters: ClassVar[Mapping[str, Parameter[Any]]] = {}

    def __init__(self, strategy_id: str, config: Mapping[str, Any] | None = None) -> None:
        self.strategy_id = strategy_id
        self.config = resolve(type(self).__name__, self.parameters, config or {})
        self.__dict__.update(self.config)
        self._desk: Desk | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.parameters = declared_in(cls)
        taken = [name for name in cls.parameters if name in vars(BaseStrategy)]
        if taken:
            raise BadParameter(
                f"parameter {taken[0]!r} has the name of something every strategy has; choose "
                "another"
            )

    def __setattr__(self, name: str, value: object) -> None:
        if self.__dict__.get("_sealed"):
            raise InvalidInput(
                f"self.{name} was set after setup, which a restart would lose; keep it in "
                f"self.state[{name!r}]"
            )
        if name in self.parameters:
            raise InvalidInput(f"parameter {name!r} is set by the run's configuration, not in code")
        if name in vars(BaseStrategy):
            raise InvalidInput(f"self.{name} is something every strategy has; choose another name")
        object.__setattr__(self, name, value)

    # -- what an author writes ------------------------------------------------------------

    def setup(self) -> None:
        """Declare indicators and derive constants from parameters; called once, without data."""

    def on_kline(self, kline: KlineData) -> Answer:
        """Answer a closed bar; called once for each bar on which every indicator has a value.

        Args:
            kline: the bar; ``kline.timestamp`` is its open time in ms.

        Returns:
            The signals to send, already sized and rounded; None or an empty list for none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no on_kline method")

    def on_order_update(self, update: OrderUpdate) -> Answer:
        """Answer a fill, a cancel or a rejection of an own order.

        It is called as soon as the event is known, before the bar in which it happened has
        closed: ``ind[0]`` is then the bar before.
        """

    # -- indicators -----------------------------------------------------------------------

    def indicator(
        self,
        name: str,
        *,
        source: Source | None = None,
        inputs: Mapping[str, Source] | None = None,
        **parameters: Any,
    ) -> Indicator:
        """Declare an indicator over every symbol of the run; only in ``setup``.

        Args:
            name: upper-case name in the registry, such as ``"SMA"`` or ``"BBANDS"``.
            source: what the function's first input reads instead of its default: ``"open"``,
                ``"high"``, ``"low"``, ``"close"``, ``"volume"`` or a line declared before.
            inputs: the same by input name, for functions with several inputs.
            parameters: the function's own, such as ``timeperiod=20``.

        Returns:
            The line, ``ind[0]`` being this bar and ``ind[1]`` the one before; for a function
            with several outputs, an object with one line for each, such as ``.upperband``.

        Raises:
            UnknownName, BadIndicator: no such function, input, parameter, or a refused value.
        """
        desk = self._setup_desk("indicator")
        sources = dict(inputs or {})
        if source is not None:
            sources[desk.indicators.first_input(name)] = source
        return desk.indicators.declare(name, sources, parameters)

    def prices(self, column: str) -> Line:
        """A price column as a line, so that ``line[1]`` is the bar before; only in ``setup``."""
        return self._setup_desk("prices").indicators.column(column)

    # -- what the instance owns -----------------------------------------------------------

    @property
    def desk(self) -> Desk:
        """What stands behind the helpers; authors need not use it."""
        if self._desk is None:
            raise InvalidInput("a strategy can be asked only inside a run; use setup and the hooks")
        return self._desk

    @property
    def symbols(self) -> tuple[str, ...]:
        """The run's symbols, the primary one first."""
        return tuple(self.desk.instruments)

    @property
    def state(self) -> dict[str, Any]:
        """What survives a restart: plain JSON values by text keys."""
        return self.desk.state

    @property
    def capital(self) -> Decimal:
        """Quote units given to the instance."""
        return self.desk.capital

    @property
    def equity(self) -> Decimal:
        """Capital + own PnL, open positions at the present close; quote units."""
        return self.desk.equity()

    def position(self, symbol: str | None = None) -> Decimal:
        """Own position, base units; of the symbol being evaluated unless one is named.

        What is too small to be sold counts as none.
        """
        desk = self.desk
        return desk.held(desk.symbol if symbol is None else desk.chosen(symbol))

    def working_orders(self, symbol: str | None = None) -> list[OwnOrder]:
        """Own working orders of a symbol, first emitted first."""
        return self.desk.working_orders(self.desk.chosen(symbol))

    # -- signals --------------------------------------------------------------------------

    def target(self, quantity: Amount, *, symbol: str | None = None, tag: str = "") -> list[Signal]:
        """Market order for what is missing to own ``quantity`` base units.

        It is quantity − own position − own market and limit orders at work, rounded down to
        the step. Dust, and what is below the venue's minimum, gives no signal. A reduction
        sends at most the floor of what is owned.
        """
        desk = self.desk
        chosen = desk.chosen(symbol)
        delta = sizing.target_delta(desk, chosen, exact(quantity, "target"))
        side = Side.BUY if delta > 0 else Side.SELL
        return sizing.order_signals(desk, chosen, side, delta.copy_abs(), OrderType.MARKET, tag=tag)

    def target_percent(
        self, fraction: Amount, *, symbol: str | None = None, tag: str = ""
    ) -> list[Signal]:
        """``target`` for a fraction of sizing equity at the present close; 1 is all of it.

        Leave room for fees and for a next open above this close: an order that costs more
        than the cash at hand is rejected.
        """
        return self.target(self.quantity_for(fraction, symbol=symbol), symbol=symbol, tag=tag)

    def quantity_for(
        self, fraction: Amount, price: Amount | None = None, *, symbol: str | None = None
    ) -> Decimal:
        """Base units that a fraction of sizing equity buys, rounded down to the step.

        Args:
            price: quote units; the present close unless given.
        """
        desk = self.desk
        chosen = desk.chosen(symbol)
        at = desk.price(chosen) if price is None else exact(price, "price")
        return sizing.quantity_for(desk, chosen, exact(fraction, "fraction"), at)

    def buy(
        self,
        quantity: Amount,
        type: OrderType | str = OrderType.MARKET,  # noqa: A002 - the word of Signal
        *,
        limit: Amount | None = None,
        stop: Amount | None = None,
        symbol: str | None = None,
        time_in_force: TimeInForce | str = TimeInForce.GTC,
        tag: str = "",
    ) -> list[Signal]:
        """Order to buy, rounded by step and tick; empty where the venue's minima forbid it."""
        return self._order(Side.BUY, quantity, type, limit, stop, symbol, time_in_force, tag)

    def sell(
        self,
        quantity: Amount,
        type: OrderType | str = OrderType.MARKET,  # noqa: A002
        *,
        limit: Amount | None = None,
        stop: Amount | None = None,
        symbol: str | None = None,
        time_in_force: TimeInForce | str = TimeInForce.GTC,
        tag: str = "",
    ) -> list[Signal]:
        """Order to sell, rounded by step and tick; empty where the venue's minima forbid it."""
        return self._order(Side.SELL, quantity, type, limit, stop, symbol, time_in_force, tag)

    def close_position(self, *, symbol: str | None = None, tag: str = "") -> list[Signal]:
        """Take back the symbol's working orders and sell the floor of what is owned."""
        desk = self.desk
        chosen = desk.chosen(symbol)
        owned = max(desk.positions[chosen], ZERO)
        return [
            *self.cancel_all(symbol=chosen),
            *sizing.order_signals(desk, chosen, Side.SELL, owned, OrderType.MARKET, tag=tag),
        ]

    def cancel(self, order: OwnOrder | str) -> list[Signal]:
        """Take back a working order, given as ``working_orders`` lists it or by its key."""
        found = self.desk.working.get(order if isinstance(order, str) else order.key)
        if found is None:
            return []
        action = SignalAction.CANCEL
        return [Signal(found.symbol, found.side, action, found.type, cancels=found.key)]

    def cancel_all(self, *, symbol: str | None = None) -> list[Signal]:
        """Take back every own working order of a symbol."""
        return [signal for order in self.working_orders(symbol) for signal in self.cancel(order)]

    # -- what the runner uses -------------------------------------------------------------

    def declare(self, desk: Desk) -> None:
        """Sit down at a desk and run ``setup``; called once, by the runner."""
        self._desk = desk
        self.setup()
        self._sealed = True

    def _setup_desk(self, what: str) -> Desk:
        if self._desk is None or self.__dict__.get("_sealed"):
            raise InvalidInput(
                f"self.{what}(…) declares something for the whole run; use it in setup"
            )
        return self._desk

    def _order(
        self,
        side: Side,
        quantity: Amount,
        type_: OrderType | str,
        limit: Amount | None,
        stop: Amount | None,
        symbol: str | None,
        time_in_force: TimeInForce | str,
        tag: str,
    ) -> list[Signal]:
        return sizing.order_signals(
            self.desk,
            self.desk.chosen(symbol),
            side,
            quantity,
            OrderType(type_),
            limit=limit,
            stop=stop,
            time_in_force=TimeInForce(time_in_force),
            tag=tag,
        )
