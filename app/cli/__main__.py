"""``python -m app.cli`` is ``tidemark``."""

from app.cli.main import main

main()
