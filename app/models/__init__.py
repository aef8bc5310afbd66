"""SQLAlchemy tables, one file per aggregate."""

from app.models.base import Base
from app.models.market import (
    CollectionPlanRow,
    CoverageRow,
    InstrumentRow,
    KlineQuarantineRow,
    KlineRecord,
    KlineRevisionRow,
    KlineSeriesRow,
)
from app.models.strategies import (
    BacktestRow,
    SignalRow,
    StrategyInstanceRow,
    StrategyQuotaRow,
    StrategyRow,
    StrategyVersionRow,
)
from app.models.system import (
    ApiTokenRow,
    JobRow,
    LeaseRow,
    OutboxRow,
    ScheduleRunRow,
    VenueBanRow,
)
from app.models.trading import (
    AccountRow,
    BalanceRow,
    EquitySnapshotRow,
    FillRow,
    OrderEventRow,
    OrderRow,
    PositionRow,
    PostingRow,
    RiskDecisionRow,
    RiskRuleRow,
    TradingHaltRow,
)
from app.models.triggers import OrderTriggerRow

__all__ = [
    "AccountRow",
    "ApiTokenRow",
    "BacktestRow",
    "BalanceRow",
    "Base",
    "CollectionPlanRow",
    "CoverageRow",
    "EquitySnapshotRow",
    "FillRow",
    "InstrumentRow",
    "JobRow",
    "KlineQuarantineRow",
    "KlineRecord",
    "KlineRevisionRow",
    "KlineSeriesRow",
    "LeaseRow",
    "OrderEventRow",
    "OrderRow",
    "OrderTriggerRow",
    "OutboxRow",
    "PositionRow",
    "PostingRow",
    "RiskDecisionRow",
    "RiskRuleRow",
    "ScheduleRunRow",
    "SignalRow",
    "StrategyInstanceRow",
    "StrategyQuotaRow",
    "StrategyRow",
    "StrategyVersionRow",
    "TradingHaltRow",
    "VenueBanRow",
]
