"""Data sources."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.core.errors import InvalidInput
from app.core.sources.loader import SourceRef
from app.core.sources.period import period_ms, period_text
from app.models import DataSourceRow, PointQuarantineRow, PointSeriesRow
from app.schemas.common import Model, Symbol, Time, Uid, time_text
from app.schemas.strategies import Params
from app.schemas.times import rfc3339
from app.services.sources import NewSource
from app.services.sources.catalogue import SourceView, namespace

SOURCE_PATTERN = r"^[a-z][a-z0-9_-]{0,31}$"


class NewDataSource(Model):
    """A data source to add, or a new version of the one of that name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "mood",
                    "source": (
                        "from tidemark import DataSource, Observation\n\n\n"
                        'class Mood(DataSource):\n    """How the crowd feels."""\n\n'
                        "    def observe(self, since):\n"
                        '        yield Observation("mood", self.now_ms(), 50)\n'
                    ),
                    "every": "1h",
                },
                {
                    "name": "fear-greed",
                    "builtin": "fear_greed",
                    "every": "6h",
                    "params": {"location": "sample"},
                },
            ]
        }
    )

    name: str = Field(pattern=SOURCE_PATTERN, examples=["mood"])
    source: str | None = Field(
        None, min_length=1, description="the whole text of the file, at most 256 KiB; or `builtin`"
    )
    builtin: str | None = Field(
        None, pattern=SOURCE_PATTERN, description="name of a built-in; or `source`"
    )
    every: str = Field(max_length=10, description="30s to 31d", examples=["1h"])
    symbols: Annotated[list[Symbol], Field(default_factory=list, max_length=500)]
    params: Params = Field(default_factory=dict)
    enabled: bool = True

    def new(self) -> NewSource:
        """As the catalogue takes it.

        Raises:
            InvalidInput: the period is none, or there are two codes, or none.
        """
        if (self.source is None) == (self.builtin is None):
            raise InvalidInput("give either source, the file's text, or builtin, a name")
        ref = SourceRef(self.builtin or f"{self.name}.py", self.source)
        every = period_ms(self.every)
        return NewSource(self.name, ref, every, self.symbols, self.params, self.enabled)


class SourceSeries(Model):
    """One series of a source, as `GET /points` asks for it."""

    exchange: str = Field(examples=["source:mood"])
    kind: str = Field(examples=["mood"])
    symbol: str | None
    newest: Time | None

    @classmethod
    def of(cls, row: PointSeriesRow) -> SourceSeries:
        """The series of a row."""
        return cls(
            exchange=row.exchange,
            kind=row.kind,
            symbol=row.symbol or None,
            newest=time_text(row.next_ts - 1 if row.next_ts else None),
        )


class DataSource(Model):
    """A data source, and how its last run went."""

    id: Uid
    name: str
    exchange: str = Field(description="stands for it in `GET /points`", examples=["source:mood"])
    origin: str = Field(description="builtin or file")
    file: str = Field(description="the built-in's or the file's name")
    sha256: str = Field(description="of the file's text")
    title: str
    parameters: dict[str, Any] = Field(description="JSON schema, with defaults and bounds")
    params: dict[str, Any]
    symbols: list[str]
    every: str = Field(examples=["1h"])
    enabled: bool
    due_at: Time
    ran_at: Time | None
    failures: int = Field(description="in a row; each makes the pause longer")
    error: str | None = Field(description="of the last run, in a sentence")
    result: dict[str, Any] | None = Field(
        description="counts of the last run: observed, stored (new or revised), quarantined"
    )
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, row: DataSourceRow) -> DataSource:
        """The source of a row."""
        return cls(**_fields(row))


class DataSourceDetail(DataSource):
    """A data source with what came of it."""

    series: list[SourceSeries]
    quarantined: int = Field(description="observations that failed their checks")

    @classmethod
    def of_view(cls, view: SourceView) -> DataSourceDetail:
        """The source of a view."""
        return cls(
            **_fields(view.row),
            series=[SourceSeries.of(each) for each in view.series],
            quarantined=view.quarantined,
        )


class RefusedObservation(Model):
    """An observation that was not stored, as it came."""

    row: list[Any] = Field(description="series, time, value, symbol, second, label")
    reason: str
    source: str = Field(description="with the first digits of the version that stated it")
    seen_at: Time

    @classmethod
    def of(cls, row: PointQuarantineRow) -> RefusedObservation:
        """The observation of a row."""
        return cls(
            row=list(row.row), reason=row.reason, source=row.source, seen_at=rfc3339(row.seen_at)
        )


def _fields(row: DataSourceRow) -> dict[str, Any]:
    names = ("id", "name", "origin", "file", "sha256", "title", "parameters", "params", "symbols")
    more = ("enabled", "failures", "error", "result")
    return {
        **{name: getattr(row, name) for name in (*names, *more)},
        "exchange": namespace(row.name),
        "every": period_text(row.every_ms),
        "due_at": rfc3339(row.due_at),
        "ran_at": time_text(row.ran_at),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
