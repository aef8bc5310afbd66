"""MariaDB, RabbitMQ and Redis as processes of our own: loopback, own data, own passwords.

`manager` is what ``tidemark services`` and ``make services`` run; tests and benchmarks use the
server classes themselves. Nothing here reads the machine's own configuration of these servers.
"""
