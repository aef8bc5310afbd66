"""The Tidemark application: edge, services, domain, record and adapters."""

from typing import Final

__version__: Final = "0.1.0"
