"""How identities are sealed, indexed and masked."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from monitor.errors import UnknownKey, Unsealable
from monitor.identity import Keys, masked_id_number, masked_name, masked_phone, normal

WHO = UUID("11111111-2222-3333-4444-555555555555")
OTHER = UUID("11111111-2222-3333-4444-555555555556")


def test_a_sealed_field_opens_to_what_it_was_and_shows_nothing_of_it() -> None:
    keys = Keys.generate()
    sealed = keys.seal(WHO, "name", "陈秀兰")
    assert keys.unseal(WHO, "name", "k1", sealed) == "陈秀兰"
    assert "陈秀兰".encode() not in sealed


def test_the_same_name_is_sealed_differently_each_time() -> None:
    keys = Keys.generate()
    assert keys.seal(WHO, "name", "陈秀兰") != keys.seal(WHO, "name", "陈秀兰")


@pytest.mark.parametrize(("owner", "field"), [(OTHER, "name"), (WHO, "phone")])
def test_a_sealed_field_moved_to_another_row_or_column_does_not_open(owner: UUID, field: str) -> None:
    keys = Keys.generate()
    with pytest.raises(Unsealable):
        keys.unseal(owner, field, "k1", keys.seal(WHO, "name", "陈秀兰"))


def test_an_altered_field_does_not_open() -> None:
    keys = Keys.generate()
    sealed = bytearray(keys.seal(WHO, "name", "陈秀兰"))
    sealed[-1] ^= 1
    with pytest.raises(Unsealable):
        keys.unseal(WHO, "name", "k1", bytes(sealed))


def test_a_retired_key_still_opens_what_it_sealed_and_an_unknown_one_does_not() -> None:
    old = Keys.generate()
    sealed = old.seal(WHO, "name", "陈秀兰")
    fresh = Keys.generate()
    both = replace(fresh, current="k2", ring={"k2": fresh.ring["k1"], "k1": old.ring["k1"]})
    assert both.unseal(WHO, "name", "k1", sealed) == "陈秀兰"
    with pytest.raises(UnknownKey):
        replace(both, ring={"k2": fresh.ring["k1"]}).unseal(WHO, "name", "k1", sealed)


def test_the_keys_do_not_print_themselves() -> None:
    keys = Keys.generate()
    assert keys.blind.hex() not in repr(keys)
    assert repr(keys.blind) not in repr(keys)


@pytest.mark.parametrize(
    ("field", "one", "another"),
    [
        ("id_number", "11010519491231002x", "11010519491231002X"),
        ("id_number", "110105 19491231 002X", "11010519491231002X"),
        ("phone", "+86 138-0013-8000", "13800138000"),
        ("phone", "０１３８00138000", "013800138000"),
    ],
)
def test_two_spellings_of_a_number_are_found_by_each_other(field: str, one: str, another: str) -> None:
    keys = Keys.generate()
    assert normal(field, one) == normal(field, another)
    assert keys.index(field, one) == keys.index(field, another)


def test_the_blind_index_differs_by_field_and_by_key() -> None:
    keys = Keys.generate()
    assert keys.index("phone", "13800138000") != keys.index("id_number", "13800138000")
    assert keys.index("phone", "13800138000") != Keys.generate().index("phone", "13800138000")


@pytest.mark.parametrize(
    ("name", "shown"), [("陈秀兰", "陈*兰"), ("马军", "马*"), ("欧阳娜娜", "欧**娜"), ("李", "李*"), ("", "*")]
)
def test_a_masked_name_keeps_its_ends(name: str, shown: str) -> None:
    assert masked_name(name) == shown


def test_masked_numbers_keep_what_tells_two_apart() -> None:
    assert masked_phone("13800138000") == "138****8000"
    assert masked_phone("62345") == "****45"
    assert masked_id_number("11010519491231002X") == "****************2X"
