"""Answering requests while things go wrong on purpose."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from simulator.clock import wall_ms
from simulator.dialects.http import Answer, Dialect, Request
from simulator.faults import Action, Faults, Rule
from simulator.garbling import garbled
from simulator.record import Record, RequestRecord, client_order_id
from simulator.venue import Venue

_CUTS: Final = {Action.REFUSE, Action.LOSE_REPLY, Action.LATE_ACCEPT}


class RestServer:
    """Takes HTTP requests in a venue's dialect through record and faults to the venue."""

    def __init__(self, venue: Venue, rest: Dialect, record: Record, faults: Faults) -> None:
        self._venue = venue
        self._rest = rest
        self._record = record
        self._faults = faults
        self._late: set[asyncio.Task[None]] = set()

    async def handle(self, http: web.Request) -> web.StreamResponse:
        """Answer one request, or fail to."""
        request = await _read(http)
        params, owner = request.params(), self._rest.owner(request)
        entry = self._record.note(
            self._venue.clock.now(), "rest", request.method, request.path, params, owner
        )
        rules = self._faults.for_request(
            request.method, request.path, client_order_id(params), owner
        )
        entry.faults = [rule.action.value for rule in rules]
        await self._rest.prepare(request)
        answer = await self._under(rules, request, entry)
        if answer is None:
            return _cut(http)
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            content_type=answer.content_type,
        )

    async def close(self, _: web.Application) -> None:
        """Forget requests that were to be accepted late."""
        for task in self._late:
            task.cancel()

    async def _under(
        self, rules: list[Rule], request: Request, entry: RequestRecord
    ) -> Answer | None:
        """The answer under the rules; None if the client is cut off."""
        for rule in rules:
            if rule.action is Action.DELAY:
                await asyncio.sleep(rule.ms / 1000)
        decisive = next((rule for rule in rules if _is_decisive(rule)), None)
        if decisive is None:
            return self._process(rules, request, entry)
        if decisive.action is Action.REFUSE:
            entry.outcome = "refused"
            return None
        if decisive.action is Action.LATE_ACCEPT:
            entry.outcome = "late"
            task = asyncio.create_task(self._process_late(decisive, rules, request, entry))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return None
        if decisive.action in (Action.STATUS, Action.ERROR_BEFORE):
            answer = self._rest.fault(decisive)
            entry.outcome, entry.status, entry.code = "answered", answer.status, answer.code
            return answer
        return self._after(decisive, self._process(rules, request, entry), entry)

    async def _process_late(
        self, rule: Rule, rules: list[Rule], request: Request, entry: RequestRecord
    ) -> None:
        await asyncio.sleep(rule.ms / 1000)
        self._process(rules, request, entry)
        entry.outcome = "late"

    def _process(self, rules: list[Rule], request: Request, entry: RequestRecord) -> Answer:
        first_new = self._venue.exchange.next_order_id
        answer = self._rest.answer(request)
        entry.outcome, entry.status, entry.code = "answered", answer.status, answer.code
        entry.processed_ms = wall_ms()
        for rule in rules:
            if rule.action is Action.QUERY_LAG:
                for order_id in range(first_new, self._venue.exchange.next_order_id):
                    self._venue.exchange.orders[order_id].visible_from = wall_ms() + rule.ms
        return answer

    def _after(self, rule: Rule, answer: Answer, entry: RequestRecord) -> Answer | None:
        if rule.action is Action.LOSE_REPLY:
            entry.outcome = "reply_lost"
            return None
        if rule.action is Action.ERROR_AFTER:
            made = self._rest.fault(rule)
        else:
            made = garbled(rule, answer)
        entry.status, entry.code = made.status, made.code
        return made


def _is_decisive(rule: Rule) -> bool:
    return rule.action not in (Action.DELAY, Action.QUERY_LAG)


async def _read(http: web.Request) -> Request:
    return Request(
        http.method,
        http.path,
        http.rel_url.raw_query_string,
        (await http.read()).decode("utf-8", "replace"),
        http.headers.get("X-MBX-APIKEY"),
    )


def _cut(http: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of nowhere; what is returned reaches nobody."""
    if http.transport is not None:
        http.transport.abort()
    return web.Response(status=500)
