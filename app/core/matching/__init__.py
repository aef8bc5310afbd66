"""Order matching: one core for backtest, paper gateway and simulator."""
