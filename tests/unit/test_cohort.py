"""Simulated residents: the same from the same seed, and never to be mistaken for people."""

from __future__ import annotations

from datetime import date

import pytest

from simulators.cohort import MODELS, check_character, cohort, impossible_id_number

TODAY = date(2026, 11, 22)


def test_the_same_seed_and_day_give_the_same_people() -> None:
    assert cohort(7, TODAY) == cohort(7, TODAY)


def test_another_seed_gives_other_people_in_the_same_roles() -> None:
    one, other = cohort(7, TODAY), cohort(8, TODAY)
    assert [p.name for p in one] != [p.name for p in other]
    assert [(p.registers, p.sex, p.age(TODAY)) for p in one] == [(p.registers, p.sex, p.age(TODAY)) for p in other]


def test_there_are_twelve_and_all_are_marked_as_simulated() -> None:
    people = cohort(1, TODAY)
    assert len({p.key for p in people}) == len({p.name for p in people}) == 12
    assert all(p.simulated for p in people)


@pytest.mark.parametrize("seed", range(20))
def test_no_identity_number_can_be_a_real_one(seed: int) -> None:
    for person in cohort(seed, TODAY):
        assert len(person.id_number) == 18
        assert person.id_number[:6] == "999900"
        assert person.id_number[6:14] == f"{person.birth_date:%Y%m%d}"
        assert person.id_number[17] != check_character(person.id_number[:17])
        assert int(person.id_number[16]) % 2 == (person.sex == "male")


def test_the_check_character_is_the_published_one() -> None:
    assert check_character("11010519491231002") == "X"  # the example of GB 11643-1999
    number = impossible_id_number(date(1949, 12, 31), "female", 1)
    assert (number[6:14], number[14:17]) == ("19491231", "002")


def test_telephone_numbers_are_the_reserved_looking_ones() -> None:
    assert [p.phone for p in cohort(3, TODAY)] == [str(13800000000 + n) for n in range(1, 13)]


@pytest.mark.parametrize("day", [date(2026, 1, 1), date(2026, 2, 28), date(2028, 2, 29), date(2026, 12, 31)])
def test_nobody_has_a_birthday_near_the_run(day: date) -> None:
    ages = [p.age(day) for p in cohort(2, day)]
    assert ages == [71, 66, 58, 52, 63, 78, 47, 33, 61, 64, 68, 75]


def test_the_cohort_holds_every_group_the_programmes_speak_of() -> None:
    people = {p.key: p for p in cohort(1, TODAY)}
    assert any({"hypertension", "diabetes"} <= set(p.registers) for p in people.values())
    assert any("copd" in p.registers for p in people.values())
    unregistered = people["R07"]
    assert not unregistered.registers
    assert unregistered.age(TODAY) >= 35


def test_home_devices_have_identities_of_their_own_and_a_kiosk_cuff_is_shared() -> None:
    people = cohort(1, TODAY)
    home = [d.uid for p in people for d in p.devices if d.route != "kiosk"]
    assert len(home) == len(set(home))
    assert {d.uid for p in people for d in p.devices if d.route == "kiosk"} == {people[6].devices[0].uid}
    # the second lowest bit of the first octet: locally administered (IEEE 802), so no real maker's
    assert all(d.system_id[0] & 2 and len(d.system_id) == 8 for p in people for d in p.devices)
    assert {d.concept for p in people for d in p.devices} == set(MODELS)


def test_prior_visits_make_two_weeks_due_and_a_referral_to_look_after() -> None:
    visits = {p.key: p.visits for p in cohort(1, TODAY)}
    assert any(v.classification == 2 and v.days_ago + 2 >= v.next_in_days for v in visits["R10"])
    assert any(v.referred and v.days_ago <= 14 for v in visits["R11"])


def test_a_person_without_the_device_says_so() -> None:
    with pytest.raises(KeyError, match="R03 owns no device for body_weight"):
        cohort(1, TODAY)[2].device("body_weight")
