"""Draw `chain.svg` and `chain.zh-CN.svg`: the way of one reading. Run: python docs/images/draw_chain.py"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape


class Stop(NamedTuple):
    """One box: name and what it does, and what is durable when it hands on."""

    name: str
    does: str
    durable: str


WORDS: dict[str, tuple[tuple[Stop, ...], tuple[str, ...], str]] = {
    "chain.svg": (
        (
            Stop("Device", "cuff, meter, oximeter,\nscale; kiosk", ""),
            Stop("Gateway", "decode,\ncorrect the clock", "SQLite outbox"),
            Stop("Broker", "MQTT, one credential\na source", ""),
            Stop("Ingest", "check,\ncollapse repeats", "TimescaleDB commit"),
            Stop("Monitor", "judge by clause,\nopen the follow-up", "one transaction"),
            Stop("Nurse", "claim, call, close", "one transaction"),
        ),
        ("Bluetooth LE", "QoS 1", "QoS 1", "claim a batch", "live queue"),
        "receipt after the commit: only then the gateway forgets",
    ),
    "chain.zh-CN.svg": (
        (
            Stop("设备", "血压计 血糖仪 血氧仪\n体重秤 健康小屋", ""),
            Stop("网关", "解码，校正时钟", "SQLite 发件箱"),
            Stop("消息代理", "MQTT，每个来源\n一个凭据", ""),
            Stop("接入", "检查，合并重复", "TimescaleDB 提交"),
            Stop("监测", "按条款评判，\n打开随访", "一个事务"),
            Stop("护士", "认领，拨打，关闭", "一个事务"),
        ),
        ("低功耗蓝牙", "QoS 1", "QoS 1", "领取批次", "实时待办"),
        "提交之后才发回执，网关收到回执才删除",
    ),
}
BOX, GAP, TOP, HEIGHT = 142, 62, 46, 92
FONT = "font-family='Helvetica,Arial,PingFang SC,Microsoft YaHei,WenQuanYi Micro Hei,sans-serif'"


def draw(stops: tuple[Stop, ...], arrows: tuple[str, ...], receipt: str) -> str:
    """The picture as SVG text."""
    width = 24 + len(stops) * BOX + (len(stops) - 1) * GAP + 24
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} 226' width='{width}' height='226' {FONT}>",
        f"<rect width='{width}' height='226' fill='#fff'/>",
        "<defs><marker id='a' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        "<path d='M0 0 8 4 0 8z' fill='#1D4A8F'/></marker>"
        "<marker id='r' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        "<path d='M0 0 8 4 0 8z' fill='#00656E'/></marker></defs>",
    ]
    for number, stop in enumerate(stops):
        x = 24 + number * (BOX + GAP)
        last = number == len(stops) - 1
        parts.append(
            f"<rect x='{x}' y='{TOP}' width='{BOX}' height='{HEIGHT}' rx='6' stroke-width='1.5' "
            f"fill='{'#FDECEC' if last else '#F4F7FB'}' stroke='{'#B3131D' if last else '#1D4A8F'}'/>"
            f"<text x='{x + BOX / 2}' y='{TOP + 27}' text-anchor='middle' font-size='17' font-weight='700' "
            f"fill='#18222E'>{escape(stop.name)}</text>"
        )
        for line, text in enumerate(stop.does.split("\n")):
            parts.append(
                f"<text x='{x + BOX / 2}' y='{TOP + 51 + 17 * line}' text-anchor='middle' font-size='12.5' "
                f"fill='#3D4A59'>{escape(text)}</text>"
            )
        if stop.durable:
            parts.append(
                f"<path d='M{x + BOX / 2} {TOP + HEIGHT}v10' stroke='#00656E'/>"
                f"<text x='{x + BOX / 2}' y='{TOP + HEIGHT + 25}' text-anchor='middle' font-size='12.5' "
                f"font-weight='700' fill='#00656E'>{escape(stop.durable)}</text>"
            )
        if not last:
            middle = x + BOX + GAP / 2
            parts.append(
                f"<path d='M{x + BOX + 4} {TOP + 30}h{GAP - 8}' stroke='#1D4A8F' stroke-width='2' "
                "marker-end='url(#a)'/>"
                f"<text x='{middle}' y='{TOP - 10}' text-anchor='middle' font-size='12' fill='#1D4A8F'>"
                f"{escape(arrows[number])}</text>"
            )
    start, end = 24 + 3 * (BOX + GAP) + BOX / 2, 24 + (BOX + GAP) + BOX / 2
    parts.append(
        f"<path d='M{start} {TOP + HEIGHT + 36}v18H{end}v-18' fill='none' stroke='#00656E' stroke-width='1.6' "
        f"stroke-dasharray='5 4' marker-end='url(#r)'/>"
        f"<text x='{(start + end) / 2}' y='214' text-anchor='middle' font-size='12.5' "
        f"fill='#00656E'>{escape(receipt)}</text></svg>\n"
    )
    return "".join(parts)


if __name__ == "__main__":
    for name, words in WORDS.items():
        Path(__file__).with_name(name).write_text(draw(*words), encoding="utf-8")
