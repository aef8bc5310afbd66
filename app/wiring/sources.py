"""The source host, and what no source may touch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import app
from app.adapters.source_runtime import HostedSources, SourceLimits
from app.config import Settings

_ROOT: Final = Path(app.__file__).parent.parent


def make_source_runtime(settings: Settings) -> HostedSources:
    """Runs data sources within the settings' limits.

    While a simulated exchange is set no other host is ever spoken to, by no source either.
    """
    private = (
        settings.data_dir,
        settings.vault_key_path,
        Path(".env"),
        _ROOT / "config" / "environments",
    )
    return HostedSources(
        SourceLimits(run_seconds=settings.source_timeout_s),
        private,
        loopback_only=bool(settings.simulator_url),
    )
