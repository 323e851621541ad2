"""The pages of residents and of readings of nobody over HTTP, on the real database."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from uuid import UUID

from devices.nomenclature import GLUCOSE_INTERSTITIAL
from devices.observation import Meal, Observation
from monitor.access import Role
from monitor.patients import Registered
from tests.desk_by_http import (
    MASKED,
    PLAIN_NAME,
    act,
    an_emergency,
    audited,
    first_item,
    now,
)
from tests.fix_desk import RunningDesk, cuff, scale, sugar


def sensed(at: datetime) -> Observation:
    """108 mg/dL under the skin."""
    return Observation(
        device="ble:meter-A9C0",
        kind=GLUCOSE_INTERSTITIAL,
        values=(108.0,),
        unit="mg/dL",
        measured_at=at,
        device_at=(at + timedelta(hours=8)).replace(tzinfo=None),
        facts=("simulated",),
    )


async def test_the_residents_page_draws_what_was_measured(desk: RunningDesk) -> None:
    subject = await desk.station.resident(
        PLAIN_NAME,
        devices=["ble:cuff-4F21", "ble:meter-A9C0", "ble:scale-7710"],
        allergies="青霉素",
        registers=(
            Registered(programme="hypertension", since=date(2019, 5, 1)),
            Registered(programme="diabetes", since=date(2021, 5, 1)),
        ),
    )
    await desk.station.visit(subject, now() - timedelta(days=30), 138, 84, 1)
    await desk.station.receive(
        *(cuff(now() - timedelta(days=day), 130 + day, 82) for day in (3, 5, 8)),
        cuff(now() - timedelta(days=2), 118, 117, facts=("implausible", "cuff-too-loose")),
        sugar(now() - timedelta(days=2), 6.4),
        sugar(now() - timedelta(days=1), 9.0, Meal.POSTPRANDIAL),
        scale(now() - timedelta(days=2), 66.5),
    )
    async with desk.signed_in("wang") as client:
        page = (await client.get(f"/residents/{subject}")).text
        assert "青霉素过敏" in page
        assert "家用血压计 …4F21" in page
        assert re.search(r'<tr class="out">.*?118/117.*?未采用', page, re.DOTALL)
        assert "66.5" in page
        assert "门诊随访 138/84，控制满意" in page
        assert page.count('role="img"') == 5
        assert "&lt; 140/90" in page
        short = (await client.get(f"/residents/{subject}?span=2w")).text
        assert "近 7 日均值，2 组" in short


async def test_what_a_sensor_sends_is_drawn_as_means_and_fills_no_list(desk: RunningDesk) -> None:
    subject = await desk.station.resident(PLAIN_NAME, devices=["ble:cuff-4F21", "ble:meter-A9C0"])
    began = now() - timedelta(days=2)
    worn = [sensed(began + timedelta(minutes=5 * number)) for number in range(40)]
    await desk.station.receive(cuff(now() - timedelta(days=3), 132, 82), *worn)
    await desk.station.roll_up()
    async with desk.signed_in("wang") as client:
        page = (await client.get(f"/residents/{subject}?span=2w")).text
        (sheet,) = re.findall(r'<section[^>]*aria-labelledby="h-isf">.*?</section>', page, re.DOTALL)
        assert "每小时均值与高低，不作判断" in sheet
        # 108 mg/dL
        assert "6.0 mmol/L" in sheet or "6 mmol/L" in sheet
        assert "每日均值与高低" in (await client.get(f"/residents/{subject}?span=1y")).text
        (listed,) = re.findall(r'<section[^>]*id="readings".*?</section>', page, re.DOTALL)
        assert listed.count("<tr>") == 2
        assert re.search(r">血压<.*132/82", listed, re.DOTALL)
        # no blood glucose was measured
        assert 'aria-labelledby="h-gl"' not in page


async def test_who_wears_only_a_sensor_is_not_said_to_have_no_readings(desk: RunningDesk) -> None:
    subject = await desk.station.resident(PLAIN_NAME, devices=["ble:meter-A9C0"])
    # two hours, a night without, and an hour
    at = [now() - timedelta(hours=hours) for hours in (30, 29, 12)]
    await desk.station.receive(*(sensed(each) for each in at))
    await desk.station.roll_up()
    async with desk.signed_in("wang") as client:
        page = (await client.get(f"/residents/{subject}?span=2w")).text
    assert "还没有读数。" not in page
    assert "这段时间没有读数。" in page
    (sheet,) = re.findall(r'<section[^>]*aria-labelledby="h-isf">.*?</section>', page, re.DOTALL)
    assert "3 个点，6 至 6 mmol/L，最近 6 mmol/L。" in sheet
    assert "数据表" not in sheet
    # on the PC and on the phone
    assert [len(line.split()) for line in re.findall(r'class="ln" points="([^"]*)"', sheet)] == [2, 2]


async def test_a_sheet_that_stands_alone_is_drawn_for_the_whole_width(desk: RunningDesk) -> None:
    """Else a small drawing is blown up, and its words with it."""
    alone = await desk.station.resident(PLAIN_NAME, devices=["ble:meter-A9C0"])
    both = await desk.station.resident("李桂芬", devices=["ble:meter-B1B1", "ble:scale-7710"])
    scaled = await desk.station.resident("王德福", devices=["ble:scale-7711"])
    await desk.station.receive(
        sugar(now() - timedelta(days=2), 6.4),
        sugar(now() - timedelta(days=2), 6.4, device="ble:meter-B1B1"),
        scale(now() - timedelta(days=2), 66.5),
        scale(now() - timedelta(days=2), 66.5, device="ble:scale-7711"),
    )

    async def widths(subject: UUID) -> list[str]:
        async with desk.signed_in("wang") as client:
            page = (await client.get(f"/residents/{subject}")).text
        return re.findall(r'<svg class="chart[^"]*" viewBox="0 0 (\d+)', page)

    assert await widths(alone) == ["912", "356"]
    assert await widths(both) == ["500", "356", "396"]
    assert await widths(scaled) == ["912", "356"]


async def test_a_resident_without_readings_is_told_what_to_do(desk: RunningDesk) -> None:
    subject = await desk.station.resident(PLAIN_NAME)
    async with desk.signed_in("wang") as client:
        page = (await client.get(f"/residents/{subject}")).text
        assert "还没有读数。" in page
        assert '<svg class="chart' not in page


async def test_a_resident_is_found_by_a_complete_number_only(desk: RunningDesk) -> None:
    await desk.station.resident(PLAIN_NAME, phone="13900001111")
    await desk.station.resident("刘桂芬", phone="13900002222")
    async with desk.signed_in("wang") as client:
        found = (await client.get("/residents", params={"find": "13900001111"})).text
        assert MASKED in found
        assert "刘*芬" not in found
        assert "没有找到" in (await client.get("/residents", params={"find": "1390000"})).text


async def test_the_strip_on_other_pages_names_the_oldest_unclaimed_emergency(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        page = (await client.get("/residents")).text
        assert "新危急：陈*兰" in page
        assert 'class="strip' not in (await client.get("/queue")).text
        await act(client, await first_item(client), "claim")
        assert (await client.get("/strip")).text.count('class="strip') == 0


async def test_readings_of_nobody_say_where_they_come_from_and_why_they_wait(desk: RunningDesk) -> None:
    await desk.station.receive(
        cuff(now() - timedelta(minutes=9), 142, 86, device="ble:cuff-9F9F"),
        cuff(now() - timedelta(minutes=5), 98, 61, device="ble:cuff-9F9F"),
    )
    await desk.station.nurse("root", "管理员", role=Role.ADMINISTRATOR)
    async with desk.signed_in("wang") as client, desk.signed_in("root") as administrator:
        page = (await client.get("/unassigned")).text
        assert "142/86" in page
        assert "设备没有登记" in page
        assert 'id="unassigned">2</span>' in page
        assert 'id="unassigned">2</span>' in (await client.get("/queue")).text
        assert (await administrator.get("/unassigned")).status_code == 403
    assert [(entry.actor, entry.detail) for entry in await audited(desk, "view_unassigned")] == [
        ("wang", {"readings": 2})
    ]


async def test_a_device_that_measures_often_hides_no_other_among_those_of_nobody(desk: RunningDesk) -> None:
    often = [cuff(now() - timedelta(minutes=number), 121, 78, device="ble:cuff-2222") for number in range(1, 251)]
    await desk.station.receive(cuff(now() - timedelta(days=1), 142, 86, device="ble:cuff-9F9F"), *often)
    async with desk.signed_in("wang") as client:
        page = (await client.get("/unassigned")).text
    assert "142/86" in page
    assert page.count("121/78") == 20
    assert "最新 20 条" in page
    assert "1 条" in page


async def test_a_long_section_says_how_many_more_there_are(desk: RunningDesk) -> None:
    observations = []
    for number in range(33):
        uid = f"ble:cuff-M{number}"
        await desk.station.resident(f"徐桂{number}", devices=[uid])
        observations.append(cuff(now() - timedelta(hours=1), 150, 92, device=uid))
    await desk.station.receive(*observations)
    async with desk.signed_in("wang") as client:
        page = (await client.get("/queue")).text
        assert page.count('class="row ') == 30
        assert '<a href="/queue?kind=two_weeks">还有 3 条</a>' in page
        assert (await client.get("/queue?kind=two_weeks")).text.count('class="row ') == 33
