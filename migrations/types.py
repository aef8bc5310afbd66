"""Column types as the migrations know them, frozen apart from the application's own."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

#: DECIMAL(36,18); canonical text on SQLite.
MONEY = sa.Numeric(36, 18).with_variant(sa.String(40), "sqlite")
#: Text of any length, JSON included.
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
#: Autoincrementing key.
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
