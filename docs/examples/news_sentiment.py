"""A data source to copy: scores of the news, from a CSV file that another program writes.

    tidemark data sources add news_sentiment.py --every 5m -s BTC/USDT -p location=/srv/news.csv

The file has the columns time (RFC 3339), symbol, score, articles.
"""

import csv
import io
from datetime import datetime
from decimal import Decimal

from tidemark import DataSource, Observation, TextParameter


class NewsSentiment(DataSource):
    """How the news speak of a symbol: -1 is all bad, 1 all good."""

    location = TextParameter("", max_length=500, help="path, file:// or https:// address")

    def observe(self, since):
        if not self.location:
            raise ValueError("say where the file lies, as in -p location=/srv/news.csv")
        text = self.fetch(self.location).decode()
        for row in csv.DictReader(io.StringIO(text)):
            ts = round(datetime.fromisoformat(row["time"]).timestamp() * 1000)
            if ts >= since and row["symbol"] in self.symbols:
                yield Observation(
                    "news_sentiment",
                    ts,
                    Decimal(row["score"]),
                    symbol=row["symbol"],
                    second=Decimal(row["articles"]),
                )
