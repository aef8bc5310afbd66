"""Statements of the paths that every bar and every order takes: compiled once, then sent as text.

SQLAlchemy makes a context, a cache key and a result for each execution, and its ORM an entry in
the session for each row: twice to three times the CPU time of the driver, measured, and an order
takes forty statements. Here a statement is compiled when it is first used on a dialect; from then
on its text and its values go to the driver's cursor, within the session's own transaction. What
SQLAlchemy does besides stays: pending changes are written first, values pass through the types of
their columns, listeners hear of the statement, errors are its own, and a lost connection is let go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import Connection, Dialect, Executable, Select, inspect
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

Values = Mapping[str, Any]
R = TypeVar("R")
_Process = Callable[[Any], Any]


class Outcome(NamedTuple):
    """What a writing statement did.

    Attributes:
        matched: rows that its condition found.
        last_id: what the database counted up to for the one row of an insert.
    """

    matched: int
    last_id: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """A statement on one dialect.

    Attributes:
        places: names of the values in the order of the text's places; None where it names them.
        constants: values that the statement holds itself, as the driver takes them.
        binds, results: how the types of columns are written, by name, and read, by position.
    """

    text: str
    places: Sequence[str] | None
    constants: Values
    binds: Mapping[str, _Process]
    results: Sequence[tuple[int, _Process]]

    def parameters(self, values: Values) -> Any:
        """The values as the driver takes them."""
        given = {**self.constants, **values}
        for name, process in self.binds.items():
            given[name] = process(given[name])
        return given if self.places is None else tuple(given[name] for name in self.places)

    def row(self, found: Sequence[Any]) -> Sequence[Any]:
        """A row of the driver as the types of its columns read it."""
        if not self.results:
            return found
        values = list(found)
        for at, process in self.results:
            values[at] = process(values[at])
        return values


class Prepared:
    """A statement whose changing parts are bound parameters.

    Args:
        statement: a select of models or of columns, or an insert, update or delete.
        many: the parameter that takes a list, made with ``bindparam(expanding=True)``.
    """

    def __init__(self, statement: Executable, *, many: str | None = None) -> None:
        self.statement: Any = statement
        self._many = many
        # By dialect and length of the list.
        self._plans: dict[tuple[str, int], _Plan] = {}

    def rows(self, session: Session, values: Values) -> list[Sequence[Any]]:
        """Every row of a select, its columns in their order."""
        plan, found = self._execute(session, values, _all_rows)
        return [plan.row(each) for each in found]

    def all(self, session: Session, values: Values) -> list[Any]:
        """Every row of a select of one model, as an object to be read.

        It belongs to no session, and writing to it raises ``AttributeError``.
        """
        ((model, keys),) = self._models
        return [_record(model, keys, row) for row in self.rows(session, values)]

    def one(self, session: Session, values: Values) -> Any | None:
        """The first row of ``all``, or None."""
        return next(iter(self.all(session, values)), None)

    def held_one(self, session: Session, values: Values) -> Any | None:
        """The first row of ``held``, or None."""
        return next(iter(self.held(session, values)), None)

    def held(self, session: Session, values: Values) -> list[Any]:
        """Every row of a select of one model as the session's own, to be changed.

        One that the session has already is made what the database says.
        """
        ((model, keys),) = self._models
        mapper = inspect(model)
        found = []
        for row in self.rows(session, values):
            said = dict(zip(keys, row, strict=True))
            identity = tuple(said[str(column.key)] for column in mapper.primary_key)
            known = session.identity_map.get(mapper.identity_key_from_primary_key(identity))
            if known is None:
                known = mapper.class_manager.new_instance()
                known.__dict__.update(said)
                make_transient_to_detached(known)
                session.add(known)
            else:
                for key, value in said.items():
                    set_committed_value(known, key, value)
            found.append(known)
        return found

    def tuples(self, session: Session, values: Values) -> list[tuple[Any, ...]]:
        """Every row of a select of several models, as an object of each, to be read."""
        models = self._models
        ends = list(accumulate(len(keys) for _, keys in models))
        return [
            tuple(
                _record(model, keys, row[end - len(keys) : end])
                for (model, keys), end in zip(models, ends, strict=True)
            )
            for row in self.rows(session, values)
        ]

    def leading(self, session: Session, values: Values) -> list[tuple[Any, ...]]:
        """Every row of a select of one model and of columns behind it: an object, then values.

        The object is to be read, as those of ``all``.
        """
        statement = cast("Select[Any]", self.statement)
        model = statement.column_descriptions[0]["entity"]
        count = len(inspect(model).column_attrs)
        keys = [str(column.key) for column in list(statement.selected_columns)[:count]]
        return [
            (_record(model, keys, row[:count]), *row[count:]) for row in self.rows(session, values)
        ]

    def run(self, session: Session, values: Values) -> Outcome:
        """Execute an insert, update or delete."""
        _, outcome = self._execute(session, values, _outcome)
        return outcome

    def run_many(self, session: Session, values: Sequence[Values]) -> None:
        """Execute an insert once for each of these values, as one where the driver can."""
        plan, connection = self._ready(session, values[0])
        given = [plan.parameters(each) for each in values]
        _answer(connection, self.statement, plan.text, given, lambda _cursor: None, many=True)

    @cached_property
    def _models(self) -> Sequence[tuple[type[Any], Sequence[str]]]:
        statement = cast("Select[Any]", self.statement)
        keys = [str(column.key) for column in statement.selected_columns]
        found = []
        for each in statement.column_descriptions:
            mapper = inspect(each["entity"])
            count = len(mapper.column_attrs)
            found.append((mapper.class_, keys[:count]))
            del keys[:count]
        return found

    def _execute(
        self, session: Session, values: Values, take: Callable[[Any], R]
    ) -> tuple[_Plan, R]:
        if self._many:
            values = {**values, self._many: _filled_up(values[self._many])}
        plan, connection = self._ready(session, values)
        if self._many:
            # By the names that SQLAlchemy gives the members of a list.
            others = {name: value for name, value in values.items() if name != self._many}
            members = {f"{self._many}_{n}": x for n, x in enumerate(values[self._many], start=1)}
            values = {**others, **members}
        given = plan.parameters(values)
        return plan, _answer(connection, self.statement, plan.text, given, take)

    def _ready(self, session: Session, values: Values) -> tuple[_Plan, Connection]:
        """The plan for values of that shape, and the connection whose turn it is."""
        if session.autoflush:
            session.flush()
        connection = session.connection()
        key = (connection.dialect.name, len(values[self._many]) if self._many else 0)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = _plan(self.statement, connection.dialect, values)
        return plan, connection


def _filled_up(listed: Sequence[Any]) -> list[Any]:
    """A list of a power of two, its last member repeated: a text for each length would be many,
    and who is named twice is found once."""
    if not listed:
        return []
    count = len(listed)
    return [*listed, *[listed[-1]] * ((1 << (count - 1).bit_length()) - count)]


def _plan(statement: Any, dialect: Dialect, values: Values) -> _Plan:
    compiled = statement.compile(dialect=dialect)
    state = compiled.construct_expanded_state(dict(values))
    columns = getattr(statement, "selected_columns", ())
    readers = [
        (at, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for at, column in enumerate(columns)
    ]
    writers = {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect)
        for bind, name in compiled.bind_names.items()
        if name in state.parameters
    }
    binds = {name: write for name, write in writers.items() if write is not None}
    binds |= state.processors  # of a list's members
    held = {name: value for name, value in state.parameters.items() if name not in values}
    return _Plan(
        state.statement,
        state.positiontup,
        {name: binds.pop(name)(value) if name in binds else value for name, value in held.items()},
        binds,
        [(at, read) for at, read in readers if read is not None],
    )


def _answer(
    connection: Connection,
    statement: Any,
    text: str,
    parameters: Any,
    take: Callable[[Any], R],
    *,
    many: bool = False,
) -> R:
    """What is taken of the cursor by which a statement was executed.

    Args:
        many: whether the parameters are a list, for as many executions.

    Raises:
        DBAPIError: as SQLAlchemy wraps what the driver raised.
    """
    heard = connection.dispatch
    if heard.before_execute:
        heard.before_execute(connection, statement, [], {}, connection.get_execution_options())
    cursor = connection.connection.cursor()
    if heard.before_cursor_execute:
        heard.before_cursor_execute(connection, cursor, text, parameters, None, many)
    try:
        (cursor.executemany if many else cursor.execute)(text, parameters)
        answer = take(cursor)
    except BaseException as error:  # noqa: BLE001 - it is raised again by what follows
        # SQLAlchemy's own: it wraps the error, tells its listeners, and lets go of a connection
        # that was lost.
        connection._handle_dbapi_exception(error, text, parameters, cursor, None)  # noqa: SLF001
    cursor.close()
    return answer


def _all_rows(cursor: Any) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = cursor.fetchall()
    return rows


def _outcome(cursor: Any) -> Outcome:
    return Outcome(cursor.rowcount, int(cursor.lastrowid or 0))


def _record(model: type[Any], keys: Sequence[str], row: Sequence[Any]) -> Any:
    """An object of a model without the ORM's bookkeeping."""
    made = object.__new__(model)
    made.__dict__.update(zip(keys, row, strict=True))
    return made
