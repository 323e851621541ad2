"""Acknowledgements belong to the connection that brought the message: a late one must not settle somebody else's."""

from __future__ import annotations

import asyncio

from ingest.broker import Delivery
from ingest.consumer import Address, Consumer, Packet, Session
from simulators.embedded.broker import INGEST, Broker
from tests.fix_ingest import PATIENCE_SECONDS, Source, message, pressure


def consumer_at(broker: Broker) -> Consumer:
    who = broker.credentials(INGEST)
    return Consumer(Address(who.host, who.port, who.username, who.password), Session("ingest-under-test"))


async def next_of(consumer: Consumer) -> Delivery:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await consumer.deliveries.get()


async def test_what_came_before_a_reconnect_cannot_be_acknowledged_after_it(broker: Broker) -> None:
    payload, later = message(pressure(1)), message(pressure(2), message_id="m-2")
    broker.credentials("gw-1")
    async with consumer_at(broker) as consumer:
        await asyncio.wait_for(consumer.connected.wait(), PATIENCE_SECONDS)
        with Source(broker) as source:
            await asyncio.to_thread(source.send, payload)
            before = await next_of(consumer)
        await asyncio.to_thread(broker.restart)
        again = await next_of(consumer)
        assert isinstance(before.ticket, Packet)
        assert isinstance(again.ticket, Packet)
        assert (again.payload, again.ticket.number) == (payload, before.ticket.number)
        assert again.ticket.connection != before.ticket.connection
        consumer.settle(before)
        await asyncio.wait_for(consumer.connected.wait(), PATIENCE_SECONDS)
        assert await consumer.drain(PATIENCE_SECONDS)  # had anything been acknowledged, the broker has it now
    async with consumer_at(broker) as consumer:
        with Source(broker) as source:
            await asyncio.to_thread(source.send, later)
            assert (await next_of(consumer)).payload == payload
        assert (await next_of(consumer)).payload == later


async def test_what_was_acknowledged_does_not_come_again(broker: Broker) -> None:
    payload, later = message(pressure(1)), message(pressure(2), message_id="m-2")
    async with consumer_at(broker) as consumer:
        await asyncio.wait_for(consumer.connected.wait(), PATIENCE_SECONDS)
        with Source(broker) as source:
            await asyncio.to_thread(source.send, payload)
        consumer.settle(await next_of(consumer))
        assert await consumer.drain(PATIENCE_SECONDS)
    async with consumer_at(broker) as consumer:
        with Source(broker) as source:
            await asyncio.to_thread(source.send, later)
        assert (await next_of(consumer)).payload == later
