"""Each characteristic that can be decoded has a frame by which it is timed."""

from __future__ import annotations

import pytest

from devices.catalogue import BY_UUID, decode
from tests.benchmarks.bench_codecs import frames


@pytest.mark.parametrize("uuid", sorted(BY_UUID))
def test_its_frame_is_decoded_and_not_of_nothing(uuid: str) -> None:
    frame = frames()[uuid]
    assert frame
    decode(uuid, frame)
