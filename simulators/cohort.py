"""Twelve simulated residents of one community, made from a seed: who they are, what they own, what happened before.

They can never be mistaken for people: the identity number's region does not exist and its check character is wrong on
purpose (GB 11643-1999, MOD 11-2), the phone numbers are 138****0000-like, every resident is marked as simulated.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Final, Literal

import msgspec

from simulators.physiology import Profile

Sex = Literal["male", "female"]
Route = Literal["ble", "kiosk", "push"]

_SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN: Final[dict[Sex, tuple[str, ...]]] = {
    "female": ("秀兰", "桂英", "玉珍", "淑华", "丽娟", "凤琴", "春梅", "月娥", "惠芳", "雅琴", "晓燕", "素芬"),
    "male": ("建国", "志明", "德福", "国强", "文斌", "永康", "海生", "振华", "宝山", "卫东", "春林", "长江"),
}
_CHECK: Final = "10X98765432"
_NOWHERE: Final = "999900"
"""A region code that GB/T 2260 does not assign."""


class OwnedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A personal health device. uid: `eui64:` + 16 hex digits, the Bluetooth System ID; route: how readings arrive.

    clock_offset_s: the device's clock minus true time, seconds.
    """

    uid: str
    concept: str
    label: str
    model: str
    serial: str
    route: Route
    manufacturer: str = "SUIFANG SIM"
    clock_offset_s: float = 0.0

    @property
    def system_id(self) -> bytes:
        """The eight octets of the EUI-64, most significant first."""
        return bytes.fromhex(self.uid.removeprefix("eui64:"))


class PriorVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A follow-up visit of the past. classification: S4 form item, 1 satisfactory, 2 unsatisfactory."""

    days_ago: int
    programme: str
    face_to_face: bool
    classification: int
    systolic: float | None = None
    diastolic: float | None = None
    fasting_glucose: float | None = None
    referred: bool = False
    next_in_days: int = 90


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated resident. key: R01 to R12, how scenarios name the person; registers: programmes enrolled in."""

    key: str
    name: str
    sex: Sex
    birth_date: date
    id_number: str
    phone: str
    site: str
    registers: tuple[str, ...]
    allergies: tuple[str, ...]
    devices: tuple[OwnedDevice, ...]
    visits: tuple[PriorVisit, ...]
    profile: Profile
    simulated: Literal[True] = True

    def device(self, concept: str) -> OwnedDevice:
        """KeyError: owns no such device."""
        for device in self.devices:
            if device.concept == concept:
                return device
        raise KeyError(f"{self.key} owns no device for {concept}")

    def age(self, on: date) -> int:
        """Completed years."""
        before = (on.month, on.day) < (self.birth_date.month, self.birth_date.day)
        return on.year - self.birth_date.year - before


class _Role(msgspec.Struct, frozen=True, kw_only=True):
    sex: Sex
    age: int
    registers: tuple[str, ...] = ()
    owns: tuple[tuple[str, Route], ...] = ()
    allergies: tuple[str, ...] = ()
    visits: tuple[PriorVisit, ...] = ()
    profile: Profile = Profile()
    cuff_offset_s: float = 0.0
    site: str = "dongyuan"


SITES: Final[dict[str, str]] = {"dongyuan": "东苑站", "nanqiao": "南桥站"}
"""The site's code in topics, and the name that people read."""

MODELS: Final[dict[str, tuple[str, str]]] = {
    "blood_pressure": ("模拟血压计", "SIM-BPM"),
    "glucose": ("模拟血糖仪", "SIM-GLU"),
    "oxygen_saturation": ("模拟血氧仪", "SIM-OXI"),
    "body_weight": ("模拟体重秤", "SIM-SCALE"),
    "glucose_interstitial": ("模拟动态血糖仪", "SIM-CGM"),
}


def _visit(programme: str, days_ago: int, **values: float | bool) -> PriorVisit:
    return msgspec.convert(
        {"programme": programme, "days_ago": days_ago, "face_to_face": True, "classification": 1, **values}, PriorVisit
    )


_HTN, _DM, _COPD, _OLD = "hypertension", "diabetes", "copd", "elderly"
_BP: Final = "blood_pressure"
_HYPERTENSIVE: Final = Profile(systolic=128, diastolic=78, circadian=5, medicine=6)
_DIABETIC: Final = Profile(systolic=122, diastolic=74, fasting=5.9, meal_rise=2.2)
_BOTH: Final = Profile(systolic=127, diastolic=77, circadian=5, medicine=5, fasting=6.0, meal_rise=2.4)

_ROLES: Final[tuple[_Role, ...]] = (
    _Role(
        sex="female",
        age=71,
        registers=(_HTN, _OLD),
        owns=((_BP, "ble"),),
        allergies=("青霉素",),
        visits=(_visit(_HTN, 60, systolic=132, diastolic=82), _visit(_HTN, 150, systolic=136, diastolic=84)),
        profile=_HYPERTENSIVE,
    ),
    _Role(
        sex="male",
        age=66,
        registers=(_HTN, _DM, _OLD),
        owns=(("glucose", "ble"), (_BP, "push")),
        visits=(_visit(_DM, 45, fasting_glucose=6.4), _visit(_HTN, 45, systolic=134, diastolic=80)),
        profile=_BOTH,
    ),
    _Role(
        sex="female",
        age=58,
        registers=(_DM,),
        owns=(("glucose", "push"), ("glucose_interstitial", "push")),
        visits=(_visit(_DM, 30, fasting_glucose=6.6),),
        profile=_DIABETIC,
    ),
    _Role(
        sex="male",
        age=52,
        registers=(_HTN,),
        owns=((_BP, "ble"),),
        allergies=("磺胺",),
        visits=(_visit(_HTN, 40, systolic=130, diastolic=84),),
        profile=_HYPERTENSIVE,
    ),
    _Role(
        sex="male",
        age=63,
        registers=(_COPD,),
        owns=(("oxygen_saturation", "ble"),),
        visits=(_visit(_COPD, 50),),
        profile=Profile(oxygen=95.6, pulse=82),
        site="nanqiao",
    ),
    _Role(
        sex="female",
        age=78,
        registers=(_OLD,),
        owns=(("body_weight", "ble"), (_BP, "push")),
        visits=(_visit(_OLD, 120),),
        profile=Profile(systolic=124, diastolic=72, weight=54.3),
        site="nanqiao",
    ),
    _Role(sex="male", age=47, owns=((_BP, "kiosk"),), profile=Profile(systolic=126, diastolic=78)),
    _Role(sex="female", age=33, owns=((_BP, "kiosk"),), profile=Profile(systolic=112, diastolic=70)),
    _Role(
        sex="female",
        age=61,
        registers=(_DM,),
        owns=(("glucose", "push"),),
        visits=(_visit(_DM, 97, fasting_glucose=6.1),),  # the regular visit is overdue
        profile=_DIABETIC,
        site="nanqiao",
    ),
    _Role(
        sex="male",
        age=64,
        registers=(_HTN,),
        owns=((_BP, "ble"),),
        # once not at goal: to be seen within two weeks
        visits=(
            _visit(_HTN, 12, systolic=146, diastolic=88, classification=2, next_in_days=14),
            _visit(_HTN, 95, systolic=134, diastolic=82),
        ),
        profile=_HYPERTENSIVE,
        cuff_offset_s=12.0,
    ),
    _Role(
        sex="female",
        age=68,
        registers=(_HTN, _DM, _OLD),
        owns=((_BP, "ble"), ("glucose", "push")),
        allergies=("头孢",),
        visits=(
            # an emergency at a visit, referred: the referral is to be looked after within two weeks (S4)
            _visit(_HTN, 13, systolic=184, diastolic=106, classification=2, referred=True, next_in_days=14),
            _visit(_HTN, 75, systolic=134, diastolic=84),
            _visit(_DM, 50, fasting_glucose=6.3),
        ),
        profile=_BOTH,
        cuff_offset_s=-3 * 3600.0,
    ),
    _Role(
        sex="male",
        age=75,
        registers=(_HTN, _COPD, _OLD),
        owns=((_BP, "ble"), ("oxygen_saturation", "push")),
        # two visits running not at goal
        visits=(
            _visit(_HTN, 10, systolic=148, diastolic=84, classification=2, next_in_days=14),
            _visit(_HTN, 24, systolic=150, diastolic=86, classification=2, next_in_days=14),
        ),
        profile=Profile(systolic=127, diastolic=75, circadian=5, medicine=5, oxygen=95.2, pulse=78),
        cuff_offset_s=2 * 86400.0,
        site="nanqiao",
    ),
)


def cohort(seed: int, today: date) -> tuple[Person, ...]:
    """The twelve residents of a seed; the same seed and day give the same people to the letter."""
    names = random.Random(f"{seed}:names")
    surnames = names.sample(_SURNAMES, len(_ROLES))
    given = {sex: names.sample(pool, len(pool)) for sex, pool in _GIVEN.items()}
    people = []
    for number, role in enumerate(_ROLES, 1):
        draw = random.Random(f"{seed}:person:{number}")
        born = _birth_date(role.age, today, draw)
        people.append(
            Person(
                key=f"R{number:02d}",
                name=surnames[number - 1] + given[role.sex].pop(),
                sex=role.sex,
                birth_date=born,
                id_number=impossible_id_number(born, role.sex, draw.randrange(0, 499)),
                phone=str(13800000000 + number),
                site=role.site,
                registers=role.registers,
                allergies=role.allergies,
                devices=tuple(_device(seed, (number, index), owned, role) for index, owned in enumerate(role.owns)),
                visits=role.visits,
                profile=role.profile,
            )
        )
    return tuple(people)


def impossible_id_number(born: date, sex: Sex, order: int) -> str:
    """18 characters in the shape of GB 11643-1999 whose check character is always wrong. order: 0 to 498."""
    body = f"{_NOWHERE}{born:%Y%m%d}{order * 2 + (sex == 'male'):03d}"
    return body + _CHECK[(_CHECK.index(check_character(body)) + 1) % 11]


def check_character(body: str) -> str:
    """The MOD 11-2 check character of 17 digits (GB 11643-1999)."""
    return _CHECK[sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(body)) % 11]


def _birth_date(age: int, today: date, draw: random.Random) -> date:
    # at least a month from a birthday on both sides, so that nobody turns 35 or 65 in the middle of a run
    first = date(today.year - age, today.month, min(today.day, 28))
    return first - timedelta(days=draw.randrange(30, 335))


def kiosk_cuff(seed: int, site: str) -> OwnedDevice:
    """The cuff that stands in a site's health kiosk: everybody's, so only a session says whose reading it is."""
    return _made(seed, (0xF0 + list(SITES).index(site), 0), _BP, "kiosk", 0.0)


def _device(seed: int, place: tuple[int, int], owned: tuple[str, Route], role: _Role) -> OwnedDevice:
    concept, route = owned
    if route == "kiosk":
        return kiosk_cuff(seed, role.site)
    return _made(seed, place, concept, route, role.cuff_offset_s if concept == _BP else 0.0)


def _made(seed: int, place: tuple[int, int], concept: str, route: Route, clock_offset_s: float) -> OwnedDevice:
    name, model = MODELS[concept]
    number, index = place
    tail = random.Random(f"{seed}:device:{number}:{index}").randrange(1 << 8)
    # 02: locally administered, so the identity cannot be a real maker's
    octets = bytes([0x02, 0x53, 0x46, 0xFF, 0xFE, number, index, tail])
    return OwnedDevice(
        uid=f"eui64:{octets.hex()}",
        concept=concept,
        label=f"{name} {octets[-2:].hex().upper()}",
        model=model,
        serial=f"SIM{number:02d}{index}{tail:03d}",
        route=route,
        clock_offset_s=clock_offset_s,
    )
