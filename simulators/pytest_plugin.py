"""Fixtures for the tests of who builds on Suifang: virtual devices and a broker. Registered as the plugin `suifang`.

    async def test_my_gateway_reads_a_cuff(suifang_air, suifang_cuff):
        my_gateway.connect(suifang_air.url)                        # HCI over TCP: Bumble, or bleak on Bumble
        await suifang_cuff.measure(systolic=186, diastolic=112)    # returns when the gateway has confirmed it

    def test_my_kiosk_pushes(suifang_broker):
        sign_in = suifang_broker.credentials("kiosk-1")            # host, port, username, password

Fixtures: `suifang_air`, `suifang_cuff`, `suifang_meter`, `suifang_oximeter`, `suifang_scale`, `suifang_sensor`,
`suifang_advertising_scale` (asynchronous: they need pytest-asyncio) and `suifang_broker`. The devices need the extra
`suifang[simulators]`; the broker needs Mosquitto, or Debian's package archive to fetch one from. Nothing is imported or
started until a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from simulators.embedded.broker import Broker
    from simulators.peripheral_advertised import AdvertisingScale
    from simulators.radio import Air
    from simulators.virtual import Cuff, Meter, Oximeter, Scale
    from simulators.virtual_sensor import Sensor

Function = TypeVar("Function", bound=Callable[..., Any])


def _asynchronous(function: Function) -> Function:
    """A fixture of pytest-asyncio where that is installed (in strict mode too), else one that says what is missing."""
    try:
        import pytest_asyncio  # noqa: PLC0415 - a developer without asynchronous tests need not have it
    except ImportError:
        return _missing(function)
    return cast(Function, pytest_asyncio.fixture(function))


def _missing(function: Function) -> Function:
    def fixture() -> None:
        pytest.fail(f"{function.__name__} is asynchronous: install pytest-asyncio to use it")

    fixture.__name__ = function.__name__
    fixture.__doc__ = function.__doc__
    return cast(Function, pytest.fixture(fixture))


@_asynchronous
async def suifang_air() -> AsyncIterator[Air]:
    """A simulated air; `suifang_air.url` is the HCI transport for a gateway, in Bumble's notation."""
    from simulators.radio import Air  # noqa: PLC0415 - loads Bumble

    async with Air() as air:
        yield air


@_asynchronous
async def suifang_cuff(suifang_air: Air) -> AsyncIterator[Cuff]:
    """A virtual blood pressure cuff (Blood Pressure Service) on `suifang_air`."""
    from simulators.virtual import Cuff  # noqa: PLC0415

    async with Cuff.on(suifang_air, 1) as cuff:
        yield cuff


@_asynchronous
async def suifang_meter(suifang_air: Air) -> AsyncIterator[Meter]:
    """A virtual glucose meter (Glucose Service with record access) on `suifang_air`."""
    from simulators.virtual import Meter  # noqa: PLC0415

    async with Meter.on(suifang_air, 2) as meter:
        yield meter


@_asynchronous
async def suifang_oximeter(suifang_air: Air) -> AsyncIterator[Oximeter]:
    """A virtual pulse oximeter (spot checks) on `suifang_air`."""
    from simulators.virtual import Oximeter  # noqa: PLC0415

    async with Oximeter.on(suifang_air, 3) as oximeter:
        yield oximeter


@_asynchronous
async def suifang_scale(suifang_air: Air) -> AsyncIterator[Scale]:
    """A virtual weight scale on `suifang_air`."""
    from simulators.virtual import Scale  # noqa: PLC0415

    async with Scale.on(suifang_air, 4) as scale:
        yield scale


@_asynchronous
async def suifang_sensor(suifang_air: Air) -> AsyncIterator[Sensor]:
    """A virtual continuous glucose sensor (record access and live records) on `suifang_air`."""
    from simulators.virtual_sensor import Sensor  # noqa: PLC0415

    async with Sensor.on(suifang_air, 5) as sensor:
        yield sensor


@_asynchronous
async def suifang_advertising_scale(suifang_air: Air) -> AsyncIterator[AdvertisingScale]:
    """A virtual scale that advertises what it measures (`weigh`) and is never connected to, on `suifang_air`."""
    from simulators.peripheral_advertised import AdvertisingScale  # noqa: PLC0415

    async with AdvertisingScale(suifang_air, address="F0:53:46:DE:00:06") as scale:
        yield scale


@pytest.fixture
def suifang_broker() -> Iterator[Broker]:
    """A private Mosquitto with a password and a fence for every source; `suifang_broker.credentials(name)`."""
    from simulators.embedded.broker import Broker  # noqa: PLC0415

    with Broker() as broker:
        yield broker
