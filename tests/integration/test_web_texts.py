"""The desk's words: two languages with the same keys and blanks, no Chinese outside them, and how moments are said."""

from __future__ import annotations

import re
import string
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from devices.observation import NEVER_JUDGED, QUESTIONABLE_FACTS, Fact, fact_names
from monitor.evaluation_record import NotJudged
from monitor.outcomes import Outcome
from monitor.programme import load_packs
from monitor.severity import KIND_ORDER, Severity
from monitor.unjudged import Unjudged
from monitor.web import reading_view, wording
from monitor.web.texts import LANGUAGES, Texts, UnknownText, texts

WEB = Path(__file__).parents[2] / "monitor" / "web"
HAN = re.compile(r"[\u3400-\u9fff\uff00-\uffef]")
ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 7, 50, tzinfo=ZONE).astimezone(UTC)
ZH, EN = texts("zh"), texts("en")


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys() -> None:
    assert ZH.names == EN.names


def test_each_text_has_the_same_blanks_in_both_languages() -> None:
    different = {key for key in ZH.names if blanks(ZH(key)) != blanks(EN(key))}
    assert different == set()


def test_no_english_text_holds_chinese_but_the_switch_to_chinese() -> None:
    assert {key for key in EN.names if HAN.search(EN(key))} == {"language.other"}


@pytest.mark.parametrize("path", sorted((WEB / "templates").glob("*.html")), ids=lambda path: path.name)
def test_no_template_holds_words_of_its_own(path: Path) -> None:
    assert HAN.findall(path.read_text(encoding="utf-8")) == []


def test_no_script_holds_words_of_its_own() -> None:
    found = {path.name: HAN.findall(path.read_text(encoding="utf-8")) for path in (WEB / "static").glob("*.js")}
    assert [name for name, words in found.items() if words] == []
    assert found


@pytest.mark.parametrize("reason", [*NotJudged, *Unjudged])
def test_each_reason_why_a_reading_was_not_judged_has_words(reason: NotJudged | Unjudged) -> None:
    assert HAN.search(ZH(f"why_not.{reason}"))
    assert EN(f"why_not.{reason}")


def test_every_text_that_a_page_or_module_names_exists() -> None:
    named = re.compile(r"""\bt\("([a-z_]+(?:\.[a-z_0-9]+)+)\"""")
    sources = [*(WEB / "templates").glob("*.html"), *WEB.glob("*.py")]
    asked = {key for path in sources for key in named.findall(path.read_text(encoding="utf-8"))}
    assert len(asked) > 100
    unknown = {key for key in asked - ZH.names if not key.endswith("_")}  # those are completed by a value
    assert unknown == set()


def test_every_text_that_the_script_names_exists() -> None:
    named = re.compile(r"""say\("([a-z_]+)\"""")
    asked = {key for path in (WEB / "static").glob("*.js") for key in named.findall(path.read_text(encoding="utf-8"))}
    assert asked - set(ZH.below("js")) == set()


def test_every_kind_severity_and_programme_has_its_words() -> None:
    for t in (ZH, EN):
        assert all(t(f"kind.{kind}.word") and t(f"kind.{kind}.note") for kind in KIND_ORDER)
        assert all(t(f"severity.{severity.value}") for severity in Severity)
        assert all(t.has(f"programme.{pack.programme}") for pack in load_packs("2011"))


UNSAID = {
    Fact.VALIDATED,  # what a reading without doubt is anyway
    Fact.MANUALLY_ENTERED,
    Fact.FROM_STORAGE,
    Fact.SIMULATED,
    Fact.BATTERY_LOW,  # about the device: the technical page has batteries
    Fact.UNREGISTERED_DEVICE,  # such a reading has nobody's page
    Fact.TRAILING_BYTES,
    Fact.NO_DEVICE_CLOCK,  # these three are said under `clock`
    Fact.CLOCK_CORRECTED,
    Fact.CLOCK_NOT_SET,
}
"""Facts without a text of their own."""


@pytest.mark.parametrize("fact", [fact for fact in Fact if fact not in UNSAID])
def test_each_fact_has_a_text_in_both_languages(fact: Fact) -> None:
    (name,) = fact_names(fact)
    assert HAN.search(ZH(f"fact.{name}"))
    assert EN(f"fact.{name}")


def test_no_fact_goes_unsaid_that_bars_a_reading_or_puts_it_in_doubt() -> None:
    assert {fact for fact in UNSAID if fact & (NEVER_JUDGED | QUESTIONABLE_FACTS)} == set()
    assert {fact for fact in UNSAID if ZH.has(f"fact.{fact_names(fact)[0]}")} == set()


def test_a_provisional_reading_is_shown_as_one_in_doubt() -> None:
    words, _, _, used = reading_view._quality(int(Fact.PROVISIONAL), False, ZH)
    assert (words, used) == ("存疑：暂定（标准尚未定型）", True)


def test_a_missing_text_is_an_error_and_an_unknown_language_is_chinese() -> None:
    with pytest.raises(UnknownText):
        ZH("no.such.text")
    assert texts("fr").language == LANGUAGES[0] == "zh"


@pytest.mark.parametrize(
    ("at", "zh", "en"),
    [
        ((2026, 11, 23, 7, 42), "今晨 07:42", "today 07:42"),
        ((2026, 11, 23, 9, 0), "今天 09:00", "today 09:00"),
        ((2026, 11, 22, 19, 5), "昨晚 19:05", "yesterday 19:05"),
        ((2026, 11, 22, 8, 0), "昨天 08:00", "yesterday 08:00"),
        ((2026, 11, 12, 7, 10), "11-12 07:10", "11-12 07:10"),
        ((2025, 3, 2, 7, 10), "2025-03-02 07:10", "2025-03-02 07:10"),
    ],
)
def test_a_moment_is_said_as_a_nurse_says_it(at: tuple[int, int, int, int, int], zh: str, en: str) -> None:
    moment = datetime(*at, tzinfo=ZONE).astimezone(UTC)
    assert wording.moment(moment, NOW, ZONE, ZH) == zh
    assert wording.moment(moment, NOW, ZONE, EN) == en


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=5), "5 秒"),
        (timedelta(minutes=8, seconds=2), "8 分 02 秒"),
        (timedelta(minutes=59, seconds=59), "59 分 59 秒"),
        (timedelta(hours=2, minutes=5), "2 小时 05 分"),
        (timedelta(hours=47, minutes=59), "47 小时 59 分"),
        (timedelta(hours=48), "2 天"),
        (timedelta(seconds=-3), "0 秒"),
    ],
)
def test_a_wait_is_said_with_the_seconds_that_matter(span: timedelta, said: str) -> None:
    assert wording.wait(span, ZH, seconds=True) == said


@pytest.mark.parametrize(("day", "said"), [(21, "超期 2 天"), (23, "今天到期"), (24, "还有 1 天")])
def test_a_due_day_is_said_against_today(day: int, said: str) -> None:
    assert wording.due(date(2026, 11, day), date(2026, 11, 23), ZH) == said


@pytest.mark.parametrize(
    ("sentence", "bold"),
    [
        ("测得血压 186/112 mmHg，收缩压不低于 180 mmHg，到了危急线 180/110。", ["186/112"]),
        ("血糖 3.1 mmol/L（餐别未知），血糖不高于 3.9 mmol/L。", ["3.1"]),
        ("血糖仪显示“HI”，高于可测范围", ["“HI”"]),
        ("3 天体重增加 2.4 kg，超过 2 kg。", ["2.4"]),
        ("BP 186/112 mmHg, systolic at or above 180 mmHg", ["186/112"]),
        ("11-07 已转诊，两周内核实转诊结果。", []),
    ],
)
def test_what_was_measured_is_bold_and_a_limit_is_not(sentence: str, bold: list[str]) -> None:
    assert re.findall(r'<b class="num ">([^<]+)</b>', wording.emphasise(sentence)) == bold


def test_a_sentence_cannot_bring_markup_into_the_page() -> None:
    assert "<script>" not in wording.emphasise("<script>186/112</script>")


def test_full_dates_become_near_ones() -> None:
    said = wording.nearer("2026-11-23 07:42测得血压 150/92 mmHg，2026-12-07 前随访。", NOW, ZONE, ZH)
    assert said == "今晨 07:42 测得血压 150/92 mmHg，12-07 前随访。"


def test_every_outcome_can_be_typed_as_one_digit() -> None:
    assert len(Outcome) <= 10


def test_texts_of_a_branch_are_given_to_the_script_whole() -> None:
    assert Texts("zh", {"js.a": "1", "js.b": "2", "k": "3"}).below("js") == {"a": "1", "b": "2"}
