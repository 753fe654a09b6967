"""NautilusTrader on the work of ``toolkit bench engine``: one order a quote, filled by its own simulated exchange."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

__all__ = ["nautilus", "nautilus_installed"]


def nautilus_installed() -> bool:
    """Whether it is there."""
    from importlib.util import find_spec

    return find_spec("nautilus_trader") is not None


def nautilus(orders: int) -> list[int]:
    """Nanoseconds from submitting each order to hearing that it is filled.

    Its backtest engine: no network, no sleep, no journal; its cache, risk engine, execution engine, portfolio and
    matching engine as they come. Quotes are a second apart, orders are limits at the far touch, buy and sell in turn.
    """
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig, RiskEngineConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import Equity
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.trading.strategy import Strategy

    venue = Venue("NSE")
    contract = Equity(
        instrument_id=InstrumentId(Symbol("NIFTY24500CE"), venue),
        raw_symbol=Symbol("NIFTY24500CE"),
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.05"),
        lot_size=Quantity.from_int(65),
        ts_event=0,
        ts_init=0,
    )
    took: list[int] = []

    class Trader(Strategy):  # type: ignore[misc]
        def on_start(self) -> None:
            self.began: dict[Any, int] = {}
            self.buy = True
            self.subscribe_quote_ticks(contract.id)

        def on_quote_tick(self, tick: Any) -> None:
            side, price = (OrderSide.BUY, tick.ask_price) if self.buy else (OrderSide.SELL, tick.bid_price)
            self.buy = not self.buy
            began = time.perf_counter_ns()
            order = self.order_factory.limit(contract.id, side, Quantity.from_int(65), price)
            self.began[order.client_order_id] = began
            self.submit_order(order)

        def on_order_filled(self, event: Any) -> None:
            took.append(time.perf_counter_ns() - self.began.pop(event.client_order_id))

    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(max_order_submit_rate="1000000/00:00:01"),
        )
    )
    engine.add_venue(
        venue=venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(10**9, USD)],
        default_leverage=Decimal(10),
    )
    engine.add_instrument(contract)
    bid, ask, size = Price.from_str("99.95"), Price.from_str("100.05"), Quantity.from_int(65_000)
    engine.add_data([QuoteTick(contract.id, bid, ask, size, size, n * 10**9, n * 10**9) for n in range(1, orders + 1)])
    engine.add_strategy(Trader())
    engine.run()
    engine.dispose()
    return took
