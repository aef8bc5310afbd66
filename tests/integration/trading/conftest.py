"""One simulator for the stories of a module, and an installation for each story."""

from tests.support.stories import anywhere, exchange, here

__all__ = ["anywhere", "exchange", "here"]
