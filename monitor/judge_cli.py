"""`suifang-monitor judge` and `check-pack`: the programme rules without a database, JSON lines in, JSON lines out.

One line out for each case in, in order. A line that cannot be read is answered with its number, the field and the
reason, and the next one is judged. With `expect` in the case, `ok` compares the keys named there: true, false, or null
where the text does not decide (ambiguity open), where it takes a convention that is not ours, or where no pack exists.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from monitor.evaluation import evaluate
from monitor.evaluation_finding import Evidence, Finding, Judgement, Threshold
from monitor.evaluation_record import Record, RecordKind
from monitor.evaluation_year import YearReview, review_year
from monitor.judging_lines import Case, YearAsked, parse_case
from monitor.judging_numbers import BadField
from monitor.programme import FOLDER, NoSuchEdition, PackRefused, load_pack, load_packs
from monitor.programme_pack import Pack, Part
from monitor.severity import Severity

VERIFIED_EDITION = "2011"
"""The only edition whose text has been read word for word; `judge` uses it unless told otherwise."""


def judge(lines: Iterable[str], out: TextIO, edition: str, packs: tuple[Pack, ...] | None = None) -> int:
    """Judge JSON lines and print one JSON line for each.

    Returns 0, 1 when an expectation was not met, 2 when none was but a line could not be read.
    """
    packs = load_packs(edition) if packs is None else packs
    mismatches = bad = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        answer = _answer(line, number, packs)
        if answer is None:
            continue
        bad += "line" in answer
        mismatches += answer.get("ok") is False
        out.write(json.dumps(answer, ensure_ascii=False, default=_plain) + "\n")
    return 1 if mismatches else 2 if bad else 0


def _answer(line: str, number: int, packs: tuple[Pack, ...]) -> dict[str, Any] | None:
    case_id: Any = None
    try:
        data = json.loads(line, parse_float=Decimal)
        if isinstance(data, dict):
            case_id = data.get("id")
            if data.get("kind") == "header" or case_id == "HEADER":
                return None
            if isinstance(data.get("programme"), str) and _pack_for(packs, data["programme"]) is None:
                return _no_pack(data)
        return judge_case(parse_case(data), packs, data)
    except json.JSONDecodeError as error:
        return {"line": number, "error": f"not JSON: {error.msg} at column {error.colno}", "field": ""}
    except BadField as error:
        return {"line": number, "id": case_id, "error": str(error), "field": error.field}


def judge_case(case: Case, packs: tuple[Pack, ...], data: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one parsed case, as plain JSON values. BadField: no pack is meant."""
    pack = _pack_for(packs, case.programme)
    if pack is None:
        raise BadField("programme", "missing")
    part = Part.SCREENING if case.programme == pack.screening_programme else Part.FOLLOW_UP
    answer: dict[str, Any] = {"id": case.id, "programme": case.programme, "edition": pack.edition}
    if isinstance(case.happened, YearAsked):
        answer |= _year(pack, review_year(pack, case.resident, case.history, case.happened.year, part))
    else:
        judged = evaluate(pack, case.resident, case.history, case.happened, part)
        answer |= _judged(judged, _beside(pack, case, case.happened, part))
    answer |= {key: list(value) for key, value in (("ignored", case.ignored), ("assumed", case.assumed)) if value}
    if "expect" in data:
        answer |= compared(data.get("expect") or {}, answer, str(data.get("ambiguity", "none")))
    return answer


def compared(expect: Mapping[str, Any], answer: Mapping[str, Any], ambiguity: str) -> dict[str, Any]:
    """`ok`, and what differs: only the keys named in `expect` are compared, a missing key counts as null."""
    differs = {key: {"expected": want, "got": answer.get(key)} for key, want in expect.items()
               if not _same(want, answer.get(key))}  # fmt: skip
    if ambiguity == "open":
        return {"ok": None, "why": "the text does not decide this case"}
    if not differs:
        return {"ok": True}
    if ambiguity == "convention":
        return {"ok": None, "why": "the pack declares another convention", "differs": differs}
    return {"ok": False, "differs": differs}


def _same(want: Any, got: Any) -> bool:
    if isinstance(want, bool) or isinstance(got, bool):
        return want is got
    plain = _plain(got) if not isinstance(got, str | int | float | list | dict | type(None)) else got
    return bool(want == plain)


def _pack_for(packs: tuple[Pack, ...], programme: Any) -> Pack | None:
    return next((pack for pack in packs if programme in (pack.programme, pack.screening_programme)), None)


def _no_pack(data: Mapping[str, Any]) -> dict[str, Any]:
    answer = {"id": data.get("id"), "programme": data["programme"], "error": "no pack"}
    return answer | ({"ok": None, "why": "no pack"} if "expect" in data else {})


def _beside(pack: Pack, case: Case, happened: Record, part: Part) -> tuple[Finding, ...]:
    """An emergency value of somebody outside the register is found beside what screening says."""
    registered = pack.eligibility.register_name in case.resident.registers
    if part is not Part.SCREENING or registered or happened.kind is not RecordKind.READING:
        return ()
    return tuple(f for f in evaluate(pack, case.resident, case.history, happened).findings
                 if f.severity is Severity.EMERGENCY)  # fmt: skip


def _judged(judged: Judgement, beside: tuple[Finding, ...]) -> dict[str, Any]:
    leading = next((f for f in judged.findings if f.finding == judged.finding and f.action == judged.action), None)
    leading = leading or next((f for f in judged.findings if f.finding == judged.finding), None)
    states = {f.state for f in judged.findings}
    answer: dict[str, Any] = {
        "finding": judged.finding,
        "action": judged.action,
        "visit_class": judged.visit_class,
        "due": judged.due,
        "due_kind": judged.due_kind,
        "preliminary_diagnosis": "preliminary_diagnosis" in states,
        "rule": leading.rule if leading else None,
        "clause": leading.clause if leading else None,
        "findings": [finding_json(finding) for finding in (*beside, *judged.findings)],
    }
    answer |= {"measure_bp": True} if "measure_bp" in states else {}
    notes = {"missing": judged.missing, "ask": judged.ask, "implausible": judged.implausible}
    answer |= {name: list(value) for name, value in notes.items() if value}
    if judged.not_judged is not None:
        answer["not_judged"] = judged.not_judged
    return answer


def _year(pack: Pack, year: YearReview) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "finding": None,
        "action": None,
        "visit_class": None,
        "due": None,
        "due_kind": None,
        "year": year.year,
        "met": year.met,
        "rule": f"{pack.programme}.{year.part}.year",
        "clause": year.clause,
        "findings": [],
    }
    if year.face_to_face is not None:
        answer |= {
            "face_to_face": year.face_to_face,
            "face_to_face_needed": year.face_to_face_needed,
            "frequency_met": year.frequency_met,
            "health_checks": year.health_checks,
            "health_check_met": year.health_check_met,
        }
    if year.test_name:
        answer |= {
            year.test_name: year.tests_done,
            f"{year.test_name}_needed": year.tests_needed,
            f"{year.test_name}_met": year.tests_met,
        }
    return answer


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as plain JSON values, limits and evidence included."""
    return {
        "rule": finding.rule,
        "finding": finding.finding,
        "action": finding.action,
        "visit_class": finding.visit_class,
        "due": finding.due,
        "due_kind": finding.due_kind,
        "severity": finding.severity,
        "queue": finding.queue,
        "condition": finding.condition,
        "clause": finding.clause,
        "edition": finding.edition,
        "sentence": {"zh": finding.sentence_zh, "en": finding.sentence_en},
        "evidence": [_evidence(evidence) for evidence in finding.evidence],
        "thresholds": [_threshold(threshold) for threshold in finding.thresholds if threshold.met],
        "conventions": list(finding.conventions),
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {"fact": evidence.fact, "value": evidence.value, "unit": evidence.unit, "date": evidence.on}


def _threshold(threshold: Threshold) -> dict[str, Any]:
    shown = {"fact": threshold.fact, "op": threshold.op, "limit": threshold.limit, "unit": threshold.unit,
             "clause": threshold.clause}  # fmt: skip
    if threshold.unit != threshold.printed_unit:
        shown |= {"printed": threshold.printed, "printed_unit": threshold.printed_unit}
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        number = float(value)
        return int(number) if math.isfinite(number) and number.is_integer() else round(number, 6)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def judge_command(
    file: Annotated[Path | None, typer.Argument(help="JSON lines; standard input when left out or -")] = None,
    edition: Annotated[str, typer.Option(help="edition of the packs")] = VERIFIED_EDITION,
    packs: Annotated[Path, typer.Option(help="folder of packs")] = FOLDER,
) -> None:
    """Judge residents with readings and visits, one JSON line each, and print the findings."""
    try:
        chosen = load_packs(edition, packs)
        if file is None or str(file) == "-":
            code = judge(sys.stdin, sys.stdout, edition, chosen)
        else:
            with file.open(encoding="utf-8-sig") as lines:
                code = judge(lines, sys.stdout, edition, chosen)
    except (PackRefused, NoSuchEdition, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(code)


def check_pack_command(
    files: Annotated[list[Path] | None, typer.Argument(help="packs; all that are installed when left out")] = None,
) -> None:
    """Read programme packs and say what is wrong with them, by file, line and column."""
    refused = 0
    for path in files or sorted(FOLDER.glob("*.yaml")):
        try:
            pack = load_pack(path)
        except PackRefused as error:
            typer.echo(str(error), err=True)
            refused += 1
        except OSError as error:
            typer.echo(f"{path}: {error.strerror}", err=True)
            refused += 1
        else:
            conventions = sum(limit.convention for limit in (*pack.limits.values(), *pack.days.values()))
            conventions += sum(part.convention for part in (*pack.rules, *pack.derived.values()))
            typer.echo(f"{path}: {pack.id}, {len(pack.rules)} rules, {len(pack.limits)} limits, "
                       f"{conventions + len(pack.conventions)} conventions, fit to judge")  # fmt: skip
    if refused:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add `judge` and `check-pack` to a command line."""
    app.command("judge")(judge_command)
    app.command("check-pack")(check_pack_command)
