"""What a manager makes of an association request and of a configuration: pure decisions with their reasons.

Source: ISO/IEEE 11073-20601, clauses 8.7.3 (association), 8.8 (configuration).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from devices.ieee11073.association import Aare, Aarq, Information
from devices.ieee11073.codes import MDER, SYSTEM_AGENT, TEST_ASSOCIATION, VERSION_1, AssociateResult, ConfigResult
from devices.ieee11073.events import ConfigReport
from devices.ieee11073.objects import Configuration
from devices.ieee11073.remembered import EXTENDED, STANDARD, Remembered

_R = AssociateResult
EUI64 = 8
MOST_OBJECTS: Final = 256
"""Of one configuration; a device has a dozen or two, and each is kept for as long as the device is known."""


class Verdict(NamedTuple):
    """result: for the AARE.  information: of the agent, where it speaks 20601.  configuration: known beforehand.
    common_version: False where the AARE has to say that no protocol version is in common."""

    result: AssociateResult
    information: Information | None = None
    configuration: Configuration | None = None
    common_version: bool = True
    why: str = ""


def judge_association(request: Aarq, remembered: Remembered) -> Verdict:
    """Accepted, accepted with an unknown configuration, or rejected with the reason. Truncated, BadValue.

    Of several offers the first that is accepted counts; where none is, the reason is that of the preferred one.
    """
    if not request.assoc_version & VERSION_1:
        return Verdict(_R.REJECTED_UNSUPPORTED_ASSOC_VERSION, why="association version")
    first: Verdict | None = None
    for about in request.informations():
        verdict = _judge(about, remembered)
        if verdict.result in {_R.ACCEPTED, _R.ACCEPTED_UNKNOWN_CONFIG}:
            return verdict
        first = first or verdict
    return first or Verdict(_R.REJECTED_NO_COMMON_PROTOCOL, why="no 20601")


def _judge(about: Information, remembered: Remembered) -> Verdict:  # noqa: PLR0911  a line a reason
    if not about.protocol_version & VERSION_1:
        return Verdict(_R.REJECTED_NO_COMMON_PARAMETER, about, common_version=False, why="protocol version")
    if not about.encoding_rules & MDER:
        return Verdict(_R.REJECTED_NO_COMMON_PARAMETER, about, why="encoding rules")
    if not about.nomenclature_version & VERSION_1:
        return Verdict(_R.REJECTED_NO_COMMON_PARAMETER, about, why="nomenclature version")
    if about.system_type != SYSTEM_AGENT:
        return Verdict(_R.REJECTED_NO_COMMON_PARAMETER, about, why="not an agent")
    if len(about.system_id) != EUI64 or about.system_id in {bytes(8), b"\xff" * 8}:
        return Verdict(_R.REJECTED_UNKNOWN, about, why="system id")
    if about.dev_config_id not in STANDARD and about.dev_config_id not in EXTENDED:
        return Verdict(_R.REJECTED_PERMANENT, about, why="configuration id")
    known = remembered.find(about.system_id, about.dev_config_id)
    if known is not None:
        return Verdict(_R.ACCEPTED, about, known)
    return Verdict(_R.ACCEPTED_UNKNOWN_CONFIG, about)


def answer_to(verdict: Verdict, system_id: bytes) -> Aare:
    """The AARE. system_id: of the manager. A test association is one for both sides."""
    about = verdict.information
    if about is None:
        return Aare.of(verdict.result)
    tested = about.functional_units & TEST_ASSOCIATION
    version = VERSION_1 if verdict.common_version else 0
    us = Information.of_manager(system_id, functional_units=tested, protocol_version=version)
    return Aare.of(verdict.result, us)


def judge_configuration(report: ConfigReport) -> tuple[ConfigResult, Configuration | None]:
    """Accepted with the configuration, or the reason why not. Truncated, BadValue: the report makes no sense."""
    if report.id in STANDARD and not report.objects:
        return ConfigResult.STANDARD_UNKNOWN, None
    if (report.id not in STANDARD and report.id not in EXTENDED) or not 0 < len(report.objects) <= MOST_OBJECTS:
        return ConfigResult.UNSUPPORTED, None
    configuration = Configuration.of(report)
    if not configuration.metrics:
        # stores and scanners say nothing without an object whose values they carry
        return ConfigResult.UNSUPPORTED, None
    return ConfigResult.ACCEPTED, configuration
