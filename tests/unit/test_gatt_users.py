"""User data of scales: the control point's operations, and the users that it lists."""

from __future__ import annotations

from typing import Any

import pytest

from devices.catalogue import decode, why_odd
from devices.errors import DeviceError, Truncated
from devices.gatt.registered_user import ListedUser, RegisteredUser, user_in
from devices.gatt.segmentation import joined
from devices.gatt.user_data import UserControlPoint, UserOpCode, UserResponse, answer, delete_users


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        ("010f27", {"consent_code": 9999}),
        ("0201a80e", {"user_index": 1, "consent_code": 3752}),
        ("03", {}),
        ("04", {}),
        ("0502", {"user_index": 2}),
        ("05ff", {"user_index": 255}),
        ("20010102", {"request_op_code": 1, "response_value": 1, "user_index": 2}),
        ("200201", {"request_op_code": 2, "response_value": 1}),
        ("200301", {"request_op_code": 3, "response_value": 1}),
        ("20040103", {"request_op_code": 4, "response_value": 1, "number_of_users": 3}),
        ("20050102", {"request_op_code": 5, "response_value": 1, "user_index": 2}),
        ("200402", {"request_op_code": 4, "response_value": 2}),
    ],
)
def test_an_operation_on_users_says_what_its_octets_say(octets: str, said: dict[str, Any]) -> None:
    found = UserControlPoint.decode(bytes.fromhex(octets))
    names = ("request_op_code", "response_value", "user_index", "consent_code", "number_of_users")
    assert {name: getattr(found, name) for name in names if getattr(found, name) is not None} == said
    assert (found.encode().hex(), found.trailing) == (octets, b"")


@pytest.mark.parametrize("octets", ["010f27", "0201a80e", "03", "04", "0502", "20010102", "200201", "20040103"])
def test_what_follows_an_operation_is_left_over(octets: str) -> None:
    found = UserControlPoint.decode(bytes.fromhex(octets + "aa"))
    assert found.trailing == b"\xaa"
    assert found.encode().hex() == octets + "aa"


@pytest.mark.parametrize("octets", ["200103", "200104", "200202", "200305", "200403", "200505"])
def test_a_failed_operation_names_no_user_and_counts_none(octets: str) -> None:
    found = UserControlPoint.decode(bytes.fromhex(octets + "07"))
    assert (found.user_index, found.number_of_users, found.trailing) == (None, None, b"\x07")
    assert found.encode().hex() == octets + "07"


def test_users_are_deleted_by_index() -> None:
    assert delete_users(2).encode() == b"\x05\x02"
    assert answer(UserOpCode.DELETE_USERS, UserResponse.SUCCESS, b"\x02").encode() == b"\x20\x05\x01\x02"
    with pytest.raises(Truncated):
        UserControlPoint.decode(b"\x05")


@pytest.mark.parametrize(
    ("octets", "user"),
    [
        ("03 01 02 416e6e61", ListedUser(1, 2, "Anna")),
        ("07 03 ff e78e8b", ListedUser(3, 255, "王")),
        ("03 00 07", ListedUser(0, 7, "")),
    ],
)
def test_a_listed_user_has_an_index_and_a_name(octets: str, user: ListedUser) -> None:
    found = decode("2B37", bytes.fromhex(octets))
    assert isinstance(found, RegisteredUser)
    assert found.user == user
    assert (user.name_present, user.name_truncated) == (bool(user.flags & 1), bool(user.flags & 2))
    assert found.encode() == bytes.fromhex(octets)


def test_a_long_name_comes_in_segments() -> None:
    octets = ("01 01 02 416e6e61", "06 204d61726961")
    parts = [RegisteredUser.decode(bytes.fromhex(one)) for one in octets]
    assert [part.user for part in parts] == [None, None]
    assert user_in(joined((part.header, part.segment) for part in parts)).name == "Anna Maria"


def test_half_a_listed_user_says_why() -> None:
    why: DeviceError | None = why_odd(decode("2B37", b"\x03\x01"))
    assert (type(why), why.field if why else "") == (Truncated, "user_index")
    with pytest.raises(Truncated):
        decode("2B37", b"")
