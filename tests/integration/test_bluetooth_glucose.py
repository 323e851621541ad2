"""A glucose meter's numbered records through its Record Access Control Point, from Bumble to the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from devices.gatt.record_access import report_all, report_from
from devices.nomenclature import GLUCOSE_CONTROL
from devices.observation import Context, Meal, Site
from gateway.outbox import Mark
from simulators.peripheral import Measurement
from simulators.peripheral_glucose import GlucoseMeter
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge

T = TypeVar("T")
CAPILLARY_PLASMA = 160188
NOW = datetime.now(UTC).replace(microsecond=0)


def glucose(value: float, minutes_ago: int, meal: Meal | None = None, kind: int = CAPILLARY_PLASMA) -> Measurement:
    return Measurement(
        kind=kind,
        values=(value,),
        unit="mmol/L",
        taken_at=NOW - timedelta(minutes=minutes_ago),
        context=Context(meal=meal, site=Site.FINGER) if meal else None,
    )


def meter_on(air: Air, **settings: Any) -> GlucoseMeter:
    return GlucoseMeter(air, address="F0:00:00:00:00:02", serial="GL-1", **settings)


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


async def test_records_arrive_in_order_each_with_the_meal_that_belongs_to_it(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        meter.keep(glucose(6.1, 300, Meal.FASTING), glucose(9.4, 180, Meal.POSTPRANDIAL), glucose(7.0, 60))
        await within(meter.offer())
        assert [(one.record_no, one.values, one.context) for one in running.kept] == [
            (1, (6.1,), Context(meal=Meal.FASTING, site=Site.FINGER)),
            (2, (9.4,), Context(meal=Meal.POSTPRANDIAL, site=Site.FINGER)),
            (3, (7.0,), None),
        ]
        assert [one.measured_at for one in running.kept] == [NOW - timedelta(minutes=m) for m in (300, 180, 60)]


async def test_the_second_connection_asks_from_the_last_record_on(air: Air, edge: OpenEdge) -> None:
    async with meter_on(air) as meter:
        async with edge() as running:
            await within(meter.measure(glucose(6.1, 300), glucose(6.2, 200)))
        async with edge() as running:
            await within(meter.measure(glucose(6.3, 100)))
            assert meter.requests == [report_all(), report_from(2)]
            assert [one.record_no for one in running.kept] == [1, 2, 2, 3]
            assert running.kept[1] == running.kept[2]
            assert running.outbox.mark(meter.device, "1808") == Mark(
                meter.device, "1808", 3, meter.kept[-1].device_at.isoformat() if meter.kept[-1].device_at else ""
            )


async def test_a_link_that_drops_among_the_records_loses_none_and_keeps_each_meal(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        meter.drops_after = 3
        meter.keep(*(glucose(5.0 + n / 10, 90 - n, Meal.FASTING) for n in range(6)))
        await within(meter.offer())
        by_number = {one.record_no: one for one in running.kept}
        assert [by_number[n].values for n in range(1, 7)] == [(5.0 + n / 10,) for n in range(6)]
        assert all(one.context == Context(meal=Meal.FASTING, site=Site.FINGER) for one in running.kept)
        assert meter.connections == 2


async def test_numbers_that_begin_anew_are_noticed_and_everything_is_fetched(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        await within(meter.measure(*(glucose(5.0, 500 - n) for n in range(3))))
        meter.reset()
        await within(meter.measure(*(glucose(8.0 + n / 10, 50 - n) for n in range(5))))
        fetched = {one.values for one in running.kept}
        assert fetched == {(5.0,), *((8.0 + n / 10,) for n in range(5))}


async def test_a_link_that_drops_while_numbers_anew_are_fetched_still_loses_none(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        await within(meter.measure(*(glucose(5.0, 500 - n) for n in range(3))))
        meter.reset()
        meter.drops_after = 3  # with records 3 to 5, "from the mark on", and no answer
        await within(meter.measure(*(glucose(8.0 + n / 10, 50 - n) for n in range(5))))
        assert {one.values for one in running.kept} == {(5.0,), *((8.0 + n / 10,) for n in range(5))}
        assert meter.connections == 3


async def test_a_meter_whose_memory_was_emptied_starts_over(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        await within(meter.measure(*(glucose(5.0, 500 - n) for n in range(3))))
        meter.reset()
        await within(meter.measure(glucose(8.8, 10)))
        assert running.kept[-1].values == (8.8,)
        assert running.kept[-1].record_no == 1


async def test_control_solution_is_kept_as_what_it_is(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        await within(meter.measure(glucose(6.6, 30, kind=GLUCOSE_CONTROL)))
        (found,) = running.kept
        assert (found.kind, found.facts) == (GLUCOSE_CONTROL, ("control-solution",))


async def test_a_truncated_record_is_kept_raw_and_the_others_arrive(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        meter.corrupts_next = 1
        await within(meter.measure(glucose(6.1, 300), glucose(6.2, 200)))
        assert [one.values for one in running.kept] == [(6.1,), (6.2,)]
        assert running.outbox.figures().oddities == 1


async def test_two_hundred_stored_records_come_in_one_procedure(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air) as meter:
        meter.keep(*(glucose(4.0 + n % 50 / 10, 1000 - n, Meal.CASUAL) for n in range(200)))
        await within(meter.offer())
        assert [one.record_no for one in running.kept] == list(range(1, 201))
        assert meter.requests == [report_all()]


async def test_a_meter_that_demands_a_bond_is_paired_with(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, meter_on(air, secure=True) as meter:
        await within(meter.measure(glucose(6.1, 300)))
        assert [one.values for one in running.kept] == [(6.1,)]
