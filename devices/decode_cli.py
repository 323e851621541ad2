"""`suifang-decode`: JSON lines in, JSON lines out. A vendor's conformance check.

In:  {"uuid": "2A35", "hex": "1e8a00…", "product": "beurer-bm85", "id": "anything"}  (product and id are optional)
     {"apdu": "e700003a…", "config": "02BC"}  one 11073-20601 APDU; config: the id of a standard configuration, or the
     APDU in which the agent reported its own (optional: without it the observations have no meaning)
Out: {"id": …, "ok": true, "observations": [{"code", "ref", "value", "unit", "absent", …}], "fields": {…}}
or   {"id": …, "ok": false, "error": "Truncated", "detail": "…", "field": "time_stamp"}
A frame that was read, but of which something is no observation here, says why under "odd", as an error does; a whole
record or health observation that does not fit its own fields is an error. Reserved flags that are set, and octets after
the last field, stand under "warnings": [{"field", "detail"}]. The digits of a field that was sent as a decimal stand
under "exact": 37.00 is more precise than 37.
An APDU with sample arrays has them under "waveforms": samples as sent, the scale, and the values.

One line out for each line in that is not blank, in the same order; a line that cannot be read is answered, never
fatal. An unknown member of a line is ignored, so that lines may carry their own notes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import msgspec

from devices import octets
from devices.catalogue import CHARACTERISTICS, decode, layout_of, observe, short_uuid, why_odd
from devices.clock import Moment
from devices.decoded_fields import fields_of, rendered, warnings_of
from devices.errors import BadValue, DeviceError, MalformedMessage, Truncated, UnknownCharacteristic
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu
from devices.ieee11073.alone import configuration_of, observations_in, waveforms_in
from devices.ieee11073.rendering import rendered as rendered_apdu
from devices.medfloat import Medfloat, decode_float, decode_sfloat
from devices.nomenclature import BY_CODE
from devices.observation import Observation
from devices.products.known import BY_NAME
from devices.waveform import Waveform

_SOURCE: Final = DeviceFacts("vendor:suifang-decode")
_NOT_SENT: Final = "not-sent"
_MARK: Final = "\ufeff".encode()
_INTERRUPTED: Final = 130
_PREFIX: Final = re.compile(r"\s*(?:\(0x\)|0x)?", re.IGNORECASE)
_APART: Final = re.compile(r"(?<=[0-9a-f]{2})[-:](?=[0-9a-f]{2})", re.IGNORECASE)
_WORD_IN_NAME: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _Line(msgspec.Struct):
    uuid: str | None = None
    hex: str | None = None
    apdu: str | None = None
    config: str | None = None
    product: str | None = None
    id: Any = None


def _word(letters: int, read: Callable[[int], Medfloat]) -> Callable[[bytes], dict[str, Any]]:
    def fields(data: bytes) -> dict[str, Any]:
        if len(data) < letters:
            raise Truncated(f"{len(data)} of {letters} octets", field="value")
        return rendered({"value": read(int.from_bytes(data[:letters], "little"))})

    return fields


_PARTS: Final[dict[str, Callable[[bytes], dict[str, Any]]]] = {
    "SFLOAT": _word(2, decode_sfloat),
    "FLOAT": _word(4, decode_float),
    "CRC16": lambda data: {"crc": octets.crc16(data)},
}
"""Parts of characteristics that can be asked for by themselves, in place of a UUID."""


def _values(observation: Observation) -> Iterator[dict[str, Any]]:
    """One item a value; a value after the first that the device did not send is left out."""
    kind = BY_CODE[observation.kind]
    shared: dict[str, Any] = {"kind": kind.code, "facts": observation.facts}
    if observation.device_at is not None:
        shared["device_at"] = observation.device_at
    if observation.record_no:
        shared["record_no"] = observation.record_no
    if observation.slot is not None:
        shared["slot"] = observation.slot
    if observation.context is not None:
        shared["context"] = observation.context
    units = kind.units[observation.unit]
    for index, (slot, value, unit) in enumerate(zip(kind.slots, observation.values, units, strict=False)):
        absent = observation.absent.get(index)
        if index == 0 or absent != _NOT_SENT:
            yield {"code": slot.code, "ref": slot.ref, "value": value, "unit": unit, "absent": absent, **shared}


def _octets(text: str, field: str) -> bytes:
    """Of hex digits as logs write them: with 0x before them; with blanks, hyphens or colons between octets."""
    try:
        return bytes.fromhex(_APART.sub("", _PREFIX.sub("", text, count=1)))
    except ValueError as error:
        raise BadValue(str(error), field=field) from error


def _answer_apdu(text: str, config: str | None, received_at: datetime) -> dict[str, Any]:
    data = _octets(text, "apdu")
    found = apdu.decode(data)
    configuration = None if config is None else configuration_of(config)
    fields = rendered_apdu(data, found, configuration)
    seen = observations_in(found, configuration, _SOURCE, received_at)
    answered = {"ok": True, "observations": [item for one in seen for item in _values(one)], "fields": fields}
    waveforms = waveforms_in(found, configuration, _SOURCE, received_at)
    return answered | ({"waveforms": [_waveform(one) for one in waveforms]} if waveforms else {})


def _waveform(waveform: Waveform) -> dict[str, Any]:
    """As it is, with its values beside the samples, and without the device, which is none here."""
    found: dict[str, Any] = msgspec.to_builtins(waveform)
    del found["device"]
    return found | {"values": waveform.values}


def answer(line: bytes, received_at: datetime) -> dict[str, Any]:
    """The answer to one line. received_at: aware; stands for the reception of the frame."""
    identity: dict[str, Any] = {}
    try:
        try:
            asked = msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedMessage(str(error)) from error
        identity = {} if asked.id is None else {"id": asked.id}
        if asked.apdu is not None:
            return identity | _answer_apdu(asked.apdu, asked.config, received_at)
        if asked.uuid is None or asked.hex is None:
            raise MalformedMessage("a line has `uuid` and `hex`, or `apdu`")
        data = _octets(asked.hex, "hex")
        product = None
        if asked.product is not None:
            product = BY_NAME.get(asked.product)
            if product is None:
                raise BadValue(f"{asked.product[:64]!r} is none of {', '.join(BY_NAME)}", field="product")
        part = _PARTS.get(asked.uuid.upper())
        if part is not None:
            return {**identity, "ok": True, "observations": [], "fields": part(data)}
        value = decode(asked.uuid, data, product)
        fields = fields_of(value, layout_of(short_uuid(asked.uuid), data, product))
        seen = observe(value, _SOURCE, Moment(received_at), product=product)
        odd = why_odd(value)
    except DeviceError as error:
        return {**identity, "ok": False, **_refusal(error)}
    if isinstance(odd, Truncated | BadValue):
        return {**identity, "ok": False, **_refusal(odd), "fields": fields}
    items = [item for observation in seen for item in _values(observation)]
    answered = {**identity, "ok": True, "observations": items, "fields": fields}
    if warnings := list(warnings_of(value)):
        answered["warnings"] = warnings
    return answered if odd is None else answered | {"odd": _refusal(odd)}


def _refusal(error: DeviceError) -> dict[str, Any]:
    hint = "; --list names those that are known" if isinstance(error, UnknownCharacteristic) and not error.field else ""
    refused = {"error": type(error).__name__, "detail": f"{error}{hint}"}
    return {**refused, **({"field": error.field} if error.field else {})}


def _answers(lines: Iterable[bytes], received_at: datetime) -> Iterator[dict[str, Any]]:
    return (answer(line.removeprefix(_MARK), received_at) for line in lines if line.strip())


def _known() -> Iterator[dict[str, Any]]:
    """What a line can ask for, one item a characteristic or part."""
    for known in CHARACTERISTICS:
        names = [field.name for field in msgspec.structs.fields(known) if field.name not in {"reserved", "trailing"}]
        yield {"uuid": known.uuid, "name": _WORD_IN_NAME.sub(" ", known.__name__), "fields": names}
    for name in _PARTS:
        yield {"uuid": name, "name": name, "fields": ["crc" if name == "CRC16" else "value"]}


def main(argv: list[str] | None = None, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> int:
    """Exit status: 0; with --strict 1 where a line was refused; 2 where a file cannot be opened; 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="suifang-decode", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="JSON lines; standard input where none is named")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if any line is refused")
    parser.add_argument("--list", action="store_true", help="name what can be decoded, and stop")
    arguments = parser.parse_args(argv)
    source, sink = stdin or sys.stdin.buffer, stdout or sys.stdout.buffer
    encoder, refused = msgspec.json.Encoder(), False
    try:
        if arguments.list:
            sink.writelines(encoder.encode(item) + b"\n" for item in _known())
            sink.flush()
            return 0
        for name in arguments.files or ["-"]:
            stream = source if name == "-" else open(name, "rb")  # noqa: SIM115  closed below; standard input is not
            try:
                for item in _answers(stream, datetime.now(UTC)):
                    refused = refused or not item["ok"]
                    sink.write(encoder.encode(item) + b"\n")
                    sink.flush()
            finally:
                if stream is not source:
                    stream.close()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # the reader has seen enough; a second flush at exit would complain
        sys.stderr.close()
        return 0
    except OSError as error:
        sys.stderr.write(f"suifang-decode: {error}\n")
        return 2
    return 1 if refused and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main())
