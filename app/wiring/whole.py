"""Whether a process may start on its record: not on what a killed restore has left."""

from __future__ import annotations

import sys

from app.config import Settings
from app.core.errors import Unavailable
from app.repositories.database import driver_words, open_probe
from app.repositories.unfinished import require_whole


def whole_or_exit(settings: Settings, *, must_answer: bool = False) -> None:
    """Nothing, unless the record is a restore that did not end.

    Args:
        must_answer: also where the database does not answer. Without it the process starts: what
            it does waits for the database anyway, and sends no order by itself.

    Raises:
        SystemExit: 2; the sentence stands on stderr.
        DBAPIError: the database does not answer, and must.
    """
    engine = open_probe(settings.sqlalchemy_url)
    try:
        require_whole(engine)
    except Unavailable as error:
        sys.stderr.write(f"tidemark: {error.message}\n")
        raise SystemExit(2) from None
    except Exception as error:
        if must_answer or driver_words(error) is None:
            raise
    finally:
        engine.dispose()
