"""Health, readiness, and what this installation is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.schemas.common import Model, Time


class Health(Model):
    """The process lives."""

    status: Literal["ok"]
    version: str = Field(examples=["0.1.0"])


class CheckResult(Model):
    """What one check of a component found."""

    component: str = Field(examples=["database"])
    ok: bool
    detail: str


class Readiness(Model):
    """Every component that requests need answers."""

    status: Literal["ready"]
    checks: list[CheckResult]


class Meta(Model):
    """What this installation is."""

    name: Literal["Tidemark"] = "Tidemark"
    version: str = Field(examples=["0.1.0"])
    environment: str = Field(examples=["development"])
    reporting_currency: str = Field(examples=["USDT"])
    api: str = "v1"
    exchanges: list[str]
    intervals: list[str]
    now: Time
