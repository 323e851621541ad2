"""Readings without a connection: the service data of products that are declared to measure in their advertisements.

A scale repeats one advertisement many times a second for as long as its display is lit; each stable reading is kept
once. Nobody connects to such a device. docs/decisions/0045-advertised-readings.md says how one is recognised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Final

import structlog

from devices import catalogue
from devices.clock import Moment
from devices.errors import DeviceError
from devices.gatt.characteristic import Characteristic
from devices.gatt.record import DeviceFacts
from devices.observation import Observation
from devices.products.declaration import Product
from devices.products.known import PRODUCTS
from gateway.connected import Terms
from gateway.outbox import Outbox
from gateway.radio import Discovery
from gateway.roster import Sheet, note

_log = structlog.get_logger()
SPEAKERS: Final = tuple(product for product in PRODUCTS if product.advertised)
OUTCOME: Final = "advertised"
"""In the roster, for a device that is never connected to."""

_MOST: Final = 1024
_REPEATS_WITHIN: Final = timedelta(minutes=1)
"""The same octets after a longer silence are another weighing, where the scale has no clock that would tell."""


class _Lately:
    """Up to `_MOST` things and when each was heard last; the one not heard for longest goes first."""

    def __init__(self) -> None:
        self._heard: OrderedDict[Hashable, datetime] = OrderedDict()

    def last(self, thing: Hashable) -> datetime | None:
        return self._heard.get(thing)

    def note(self, thing: Hashable, now: datetime) -> None:
        self._heard[thing] = now
        self._heard.move_to_end(thing)
        if len(self._heard) > _MOST:
            self._heard.popitem(last=False)


def speaker(discovery: Discovery) -> Product | None:
    """The product that measures in its advertisements: by the name it advertises; without a name (it is in another
    packet), by service data of exactly the declared layout."""
    if discovery.name:
        name = discovery.name.casefold()
        return next(
            (one for one in SPEAKERS if any(name.startswith(model.casefold()) for model in one.models)),
            None,
        )
    for product in SPEAKERS:
        for service in product.advertised:
            data = discovery.service_data.get(service)
            if data is not None and _fits(service, data, product):
                return product
    return None


def _fits(service: str, data: bytes, product: Product) -> bool:
    try:
        return not catalogue.decode(f"ADV:{service}", data, product).trailing
    except DeviceError:
        return False


class Advertised:
    """What is heard without connecting. admits: is the device on the allow-list?  told: called when one was kept."""

    def __init__(
        self,
        outbox: Outbox,
        terms: Terms,
        admits: Callable[[Discovery], bool],
        clock: Callable[[], datetime],
        told: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._terms = terms
        self._admits = admits
        self._clock = clock
        self._told = told
        self._frames = _Lately()
        self._readings = _Lately()

    def hear(self, discovery: Discovery) -> bool:
        """Keep what an advertisement measures, once. Is it of a device that is never connected to?

        OutboxFull, OutboxBroken: it was not kept; its next repeat is taken as new.
        """
        product = speaker(discovery)
        if product is None:
            return False
        if self._admits(discovery):
            for service in product.advertised:
                data = discovery.service_data.get(service)
                if data is not None:
                    self._frame(discovery, service, data, product)
        return True

    def _frame(self, discovery: Discovery, service: str, data: bytes, product: Product) -> None:
        now = self._clock()
        frame = (discovery.address, service, data)
        before = self._frames.last(frame)
        if before is None or now - before > _REPEATS_WITHIN:
            self._new_frame(discovery, service, data, product)
        self._frames.note(frame, now)

    def _new_frame(self, discovery: Discovery, service: str, data: bytes, product: Product) -> None:
        now = self._clock()
        device = f"ble:{discovery.address.lower()}"
        characteristic = f"ADV:{service}"
        try:
            value: Characteristic = catalogue.decode(characteristic, data, product)
        except DeviceError as error:
            reason = type(error).__name__
            _log.warning("advertisement cannot be read", device=device, field=error.field, reason=reason)
            self._outbox.odd(device, characteristic, data, error.field, reason)
            return
        source = DeviceFacts(device, self._terms.session, self._terms.facts)
        found = catalogue.observe(value, source, Moment(now, self._terms.zone), product=product)
        new = [one for one in found if one.device_at is None or self._readings.last(_identity(one)) is None]
        if not new:
            return
        self._outbox.put(new)
        for one in new:
            self._readings.note(_identity(one), now)
            _log.info("kept", device=device, kind=one.kind, facts=one.facts)
        note(self._outbox, self._sheet(discovery, device, service, product, now))
        self._told()

    @staticmethod
    def _sheet(discovery: Discovery, device: str, service: str, product: Product, now: datetime) -> Sheet:
        return Sheet(
            device=device,
            address=discovery.address,
            name=discovery.name,
            manufacturer=product.manufacturer,
            services=(service,),
            seen_at=now,
            outcome=OUTCOME,
        )


def _identity(one: Observation) -> Hashable:
    return one.device, one.kind, one.device_at, one.record_no, one.values
