"""The terms of ISO/IEEE 11073-10101 and the numbers of 11073-20601 that the protocol itself uses.

Attribute names are those of the nomenclature without `MDC_ATTR_`; sources: ISO/IEEE 11073-10101, 11073-20601 annex A.
"""

from __future__ import annotations

import enum
from typing import Final


class ObjectClass(enum.IntEnum):
    """Partition 1."""

    METRIC = 4
    METRIC_ENUM = 5
    METRIC_NU = 6
    METRIC_SA_RT = 9
    SCAN = 16
    SCAN_CFG = 17
    SCAN_CFG_EPI = 18
    SCAN_CFG_PERI = 19
    VMS_MDS_SIMP = 37
    VMO_PMSTORE = 61
    PM_SEGMENT = 62


class Noti(enum.IntEnum):
    """Event types."""

    CONFIG = 0x0D1C
    SCAN_REPORT_FIXED = 0x0D1D
    SCAN_REPORT_VAR = 0x0D1E
    SCAN_REPORT_MP_FIXED = 0x0D1F
    SCAN_REPORT_MP_VAR = 0x0D20
    SEGMENT_DATA = 0x0D21
    UNBUF_SCAN_REPORT_VAR = 0x0D22
    UNBUF_SCAN_REPORT_FIXED = 0x0D23
    UNBUF_SCAN_REPORT_GROUPED = 0x0D24
    UNBUF_SCAN_REPORT_MP_VAR = 0x0D25
    UNBUF_SCAN_REPORT_MP_FIXED = 0x0D26
    UNBUF_SCAN_REPORT_MP_GROUPED = 0x0D27
    BUF_SCAN_REPORT_VAR = 0x0D28
    BUF_SCAN_REPORT_FIXED = 0x0D29
    BUF_SCAN_REPORT_GROUPED = 0x0D2A
    BUF_SCAN_REPORT_MP_VAR = 0x0D2B
    BUF_SCAN_REPORT_MP_FIXED = 0x0D2C
    BUF_SCAN_REPORT_MP_GROUPED = 0x0D2D


class Act(enum.IntEnum):
    """Action types."""

    SEG_CLR = 0x0C0C
    SEG_GET_INFO = 0x0C0D
    SET_TIME = 0x0C17
    DATA_REQUEST = 0x0C1B
    SEG_TRIG_XFER = 0x0C1C


class Attr(enum.IntEnum):
    """Attribute ids."""

    CONFIRM_MODE = 2323
    CONFIRM_TIMEOUT = 2324
    ID_HANDLE = 2337
    ID_INSTNO = 2338
    ID_LABEL_STRING = 2343
    ID_MODEL = 2344
    ID_PHYSIO = 2347
    ID_PROD_SPECN = 2349
    ID_TYPE = 2351
    METRIC_STORE_CAPAC_CNT = 2369
    METRIC_STORE_SAMPLE_ALG = 2371
    METRIC_STORE_USAGE_CNT = 2372
    MSMT_STAT = 2375
    NU_ACCUR_MSMT = 2378
    NU_CMPD_VAL_OBS = 2379
    NU_VAL_OBS = 2384
    NUM_SEG = 2385
    OP_STAT = 2387
    POWER_STAT = 2389
    SA_SPECN = 2413
    SCALE_SPECN_I16 = 2415
    SCALE_SPECN_I32 = 2416
    SCALE_SPECN_I8 = 2417
    SCAN_REP_PD = 2421
    SEG_USAGE_CNT = 2427
    SYS_ID = 2436
    SYS_TYPE = 2438
    TIME_ABS = 2439
    TIME_BATT_REMAIN = 2440
    TIME_END_SEG = 2442
    TIME_PD_SAMP = 2445
    TIME_REL = 2447
    TIME_STAMP_ABS = 2448
    TIME_STAMP_REL = 2449
    TIME_START_SEG = 2450
    TX_WIND = 2453
    UNIT_CODE = 2454
    UNIT_LABEL_STRING = 2457
    VAL_BATT_CHARGE = 2460
    VAL_ENUM_OBS = 2462
    TIME_REL_HI_RES = 2536
    TIME_STAMP_REL_HI_RES = 2537
    DEV_CONFIG_ID = 2628
    MDS_TIME_INFO = 2629
    METRIC_SPEC_SMALL = 2630
    SOURCE_HANDLE_REF = 2631
    SIMP_SA_OBS_VAL = 2632
    ENUM_OBS_VAL_SIMP_OID = 2633
    ENUM_OBS_VAL_SIMP_STR = 2634
    REG_CERT_DATA_LIST = 2635
    NU_VAL_OBS_BASIC = 2636
    PM_STORE_CAPAB = 2637
    PM_SEG_MAP = 2638
    PM_SEG_PERSON_ID = 2639
    SEG_STATS = 2640
    SEG_FIXED_DATA = 2641
    PM_SEG_ELEM_STAT_ATTR = 2642
    SCAN_HANDLE_ATTR_VAL_MAP = 2643
    SCAN_REP_PD_MIN = 2644
    ATTRIBUTE_VAL_MAP = 2645
    NU_VAL_OBS_SIMP = 2646
    PM_STORE_LABEL_STRING = 2647
    PM_SEG_LABEL_STRING = 2648
    TIME_PD_MSMT_ACTIVE = 2649
    SYS_TYPE_SPEC_LIST = 2650
    METRIC_ID_PART = 2655
    ENUM_OBS_VAL_PART = 2656
    SUPPLEMENTAL_TYPES = 2657
    TIME_ABS_ADJUST = 2658
    CLEAR_TIMEOUT = 2659
    TRANSFER_TIMEOUT = 2660
    ENUM_OBS_VAL_SIMP_BIT_STR = 2661
    ENUM_OBS_VAL_BASIC_BIT_STR = 2662
    METRIC_STRUCT_SMALL = 2675
    NU_CMPD_VAL_OBS_SIMP = 2676
    NU_CMPD_VAL_OBS_BASIC = 2677
    ID_PHYSIO_LIST = 2678
    SCAN_HANDLE_LIST = 2679
    TIME_BO = 2689
    TIME_STAMP_BO = 2690
    TIME_START_SEG_BO = 2691
    TIME_END_SEG_BO = 2692


class AssociateResult(enum.IntEnum):
    """What an AARE says."""

    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2
    ACCEPTED_UNKNOWN_CONFIG = 3
    REJECTED_NO_COMMON_PROTOCOL = 4
    REJECTED_NO_COMMON_PARAMETER = 5
    REJECTED_UNKNOWN = 6
    REJECTED_UNAUTHORIZED = 7
    REJECTED_UNSUPPORTED_ASSOC_VERSION = 8


class AbortReason(enum.IntEnum):
    """What an ABRT says."""

    UNDEFINED = 0
    BUFFER_OVERFLOW = 1
    RESPONSE_TIMEOUT = 2
    CONFIGURATION_TIMEOUT = 3


class ReleaseReason(enum.IntEnum):
    """What an RLRQ says; an RLRE is always normal."""

    NORMAL = 0
    NO_MORE_CONFIGURATIONS = 1
    CONFIGURATION_CHANGED = 2


class RemoteErrorCode(enum.IntEnum):
    """roer: the operation was understood and cannot be done."""

    NO_SUCH_OBJECT_INSTANCE = 1
    ACCESS_DENIED = 2
    NO_SUCH_ACTION = 9
    INVALID_OBJECT_INSTANCE = 17
    PROTOCOL_VIOLATION = 23
    NOT_ALLOWED_BY_OBJECT = 24
    ACTION_TIMED_OUT = 25
    ACTION_ABORTED = 26


class Problem(enum.IntEnum):
    """rorj: the APDU was not understood."""

    UNRECOGNIZED_APDU = 0
    BADLY_STRUCTURED_APDU = 2
    UNRECOGNIZED_OPERATION = 101
    RESOURCE_LIMITATION = 103
    UNEXPECTED_ERROR = 303


class ConfigResult(enum.IntEnum):
    """What a manager says of a configuration."""

    ACCEPTED = 0
    UNSUPPORTED = 1
    STANDARD_UNKNOWN = 2


PROTOCOL_20601: Final = 20601
VERSION_1: Final = 0x80000000
"""Bit 0: association version 1, protocol version 1, nomenclature version 1."""
MDER: Final = 0x8000
SYSTEM_MANAGER: Final = 0x80000000
SYSTEM_AGENT: Final = 0x00800000
TEST_ASSOCIATION: Final = 0x20000000
"""Functional unit: everything said in this association is a test."""
NO_TIME: Final = 0xFFFFFFFF
"""A relative time that is not supported."""
AGENT_INITIATED: Final = 0xF000
"""data-req-id of reports that nobody asked for."""
PERSON_UNKNOWN: Final = 0xFFFF


def name_of(kind: type[enum.IntEnum], value: int) -> str | None:
    """The name of a number; None where the standard gives it none."""
    try:
        return kind(value).name
    except ValueError:
        return None
