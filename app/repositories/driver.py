"""PyMySQL's connection with a faster reading of results. Nothing else of it is changed.

The server describes every column of every result anew, and PyMySQL parses each description field
by field and reads every packet through four calls: for rows of 25 columns that was a third of
the CPU time of an order and of an evaluation, measured. Here the same descriptions are parsed
once, by PyMySQL, and passed over as a whole when they come again; packets are taken out of the
buffer in one loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from pymysql import err
from pymysql.connections import Connection, MySQLResult
from pymysql.constants import CR, SERVER_STATUS
from pymysql.protocol import MysqlPacket

_Described = tuple[Any, Any, Any]
# Every statement of ours has one set of columns; one that somebody makes up may have any.
_MOST: Final = 2_048
# By encoding and packets, what was parsed of them.
_PARSED: dict[tuple[Any, ...], _Described] = {}
# Of those with one count of columns so many are looked for as a whole; others packet by packet.
_MOST_ALIKE: Final = 32
# The bytes by which columns were described, and what they say; by encoding, count of columns and
# number of the first packet.
_KNOWN: dict[tuple[Any, ...], dict[bytes, _Described]] = {}
_EOF: Final = 0xFE
_NULL: Final = 0xFB
# A packet of this length goes on in the next one.
_WHOLE: Final = 0xFFFFFF
_STATUS: Final = struct.Struct("<HH")
_LONG: Final = {0xFC: (struct.Struct("<H"), 2), 0xFE: (struct.Struct("<Q"), 8)}


class FastConnection(Connection):  # type: ignore[misc]  # PyMySQL has no types
    """A connection whose results are read by ``FastResult``."""

    def _read_query_result(self, unbuffered: bool = False) -> int:
        if unbuffered:
            count: int = super()._read_query_result(unbuffered)
            return count
        self._result = None
        result = FastResult(self)
        result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        rows: int = result.affected_rows
        return rows


class FastResult(MySQLResult):  # type: ignore[misc]  # nor here
    """A result that remembers sets of columns, and takes its rows in one loop."""

    connection: Any
    fields: Any
    converters: Any
    description: Any

    def _get_descriptions(self) -> None:
        connection, count = self.connection, self.field_count
        first = connection._next_seq_id  # noqa: SLF001 - the base class's own
        key = (connection.encoding, connection.use_unicode, count, first)
        known = _KNOWN.get(key, {})
        described = _passed_over(connection, count, known)
        if described is None:
            packets = list(_packets(connection, count))
            described = self._parsed(packets)
            if len(known) < _MOST_ALIKE and len(_KNOWN) < _MOST:
                # Another thread may be looking through the old ones.
                _KNOWN[key] = {**known, _on_the_wire(packets, first): described}
        _expect_end(next(_packets(connection, 1)))
        self.fields, self.converters, self.description = described

    def _parsed(self, packets: list[bytes]) -> _Described:
        connection = self.connection
        key = (connection.encoding, connection.use_unicode, *packets)
        known = _PARSED.get(key)
        if known is not None:
            return known
        self.connection = _Replay(connection, packets)
        try:
            super()._get_descriptions()
        finally:
            self.connection = connection
        if len(_PARSED) >= _MOST:
            _PARSED.clear()
        known = _PARSED[key] = (self.fields, self.converters, self.description)
        return known

    def _read_ok_packet(self, packet: Any) -> None:
        data = packet.get_all_data()
        self.affected_rows, at = _number(data, 1)
        self.insert_id, at = _number(data, at)
        self.server_status, self.warning_count = _STATUS.unpack_from(data, at)
        self.message = data[at + 4 :]
        self.has_next = self.server_status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS

    def _read_rowdata_packet(self) -> None:
        converters = self.converters
        rows = []
        for data in _packets(self.connection):
            if data[0] == _EOF and len(data) < 9:
                self.warning_count, status = _STATUS.unpack_from(data, 1)
                self.has_next = status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS
                break
            rows.append(_row(data, converters))
        self.connection = None  # as PyMySQL does: the two would hold each other
        self.affected_rows = len(rows)
        self.rows = tuple(rows)


class _Replay:
    """A connection that gives packets which were read already."""

    def __init__(self, connection: Connection, packets: list[bytes]) -> None:
        self.encoding = connection.encoding
        self.use_unicode = connection.use_unicode
        self.decoders = connection.decoders
        self._packets = iter([*packets, b"\xfe\x00\x00\x00\x00"])

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        return packet_type(next(self._packets), self.encoding)


def _passed_over(
    connection: Connection, count: int, known: dict[bytes, _Described]
) -> _Described | None:
    """What the next packets say, where they are in the buffer and have been seen before: they are
    taken out of it. None leaves them there.

    Raises:
        OperationalError: the connection was lost.
    """
    if not known:
        return None
    try:
        ahead = connection._rfile.peek()  # noqa: SLF001 - the base class's own
    except OSError as error:
        raise _lost(connection, f" ({error})") from error
    for block, described in known.items():
        if ahead.startswith(block):
            connection._rfile.read(len(block))  # noqa: SLF001
            connection._next_seq_id = (connection._next_seq_id + count) % 256  # noqa: SLF001
            return described
    return None


def _on_the_wire(packets: list[bytes], first: int) -> bytes:
    """Packets with their heads, the first of that number."""
    return b"".join(
        len(data).to_bytes(3, "little") + bytes([(first + at) % 256]) + data
        for at, data in enumerate(packets)
    )


def _packets(connection: Connection, count: int = -1) -> Iterator[bytes]:
    """So many packets as they arrive, or without an end.

    Raises:
        OperationalError, InternalError: as the connection's own reading; it is closed then.
    """
    # The socket's timeout was set when the result's first packet was read.
    read = connection._rfile.read  # noqa: SLF001 - the base class's own
    while count:
        count -= 1
        parts = []
        while True:
            try:
                head = read(4)
                size = int.from_bytes(head[:3], "little")
                data = read(size)
            except OSError as error:
                raise _lost(connection, f" ({error})") from error
            except BaseException:
                connection._force_close()  # noqa: SLF001 - half a packet may be read
                raise
            if len(head) < 4 or len(data) < size:
                raise _lost(connection)
            if head[3] != connection._next_seq_id:  # noqa: SLF001
                raise _lost(connection, ": a packet came out of its turn")
            connection._next_seq_id = (head[3] + 1) % 256  # noqa: SLF001
            parts.append(data)
            if size < _WHOLE:
                break
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if whole[:1] == b"\xff":
            MysqlPacket(whole, connection.encoding).raise_for_error()
        yield whole


def _row(data: bytes, converters: list[tuple[str | None, Any]]) -> tuple[Any, ...]:
    """The values of one row, each preceded by its length."""
    row: list[Any] = []
    at = 0
    for encoding, convert in converters:
        length = data[at]
        at += 1
        if length == _NULL:
            row.append(None)
            continue
        if length > _NULL:
            length, at = _length(data, at, length)
        value: Any = data[at : at + length]
        at += length
        if encoding is not None:
            value = value.decode(encoding)
        row.append(value if convert is None else convert(value))
    return tuple(row)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of the protocol, and where it ends."""
    first = data[at]
    return (first, at + 1) if first < _NULL else _length(data, at + 1, first)


def _length(data: bytes, at: int, code: int) -> tuple[int, int]:
    """A length of more than one byte, and where it ends."""
    if code == 0xFD:
        return int.from_bytes(data[at : at + 3], "little"), at + 3
    form, size = _LONG[code]
    return form.unpack_from(data, at)[0], at + size


def _expect_end(data: bytes) -> None:
    if data[0] != _EOF:
        raise err.InternalError("the server's description of the columns has no end")


def _lost(connection: Connection, why: str = "") -> err.OperationalError:
    connection._force_close()  # noqa: SLF001
    return err.OperationalError(
        CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query{why}"
    )
