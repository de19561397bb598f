"""Plots as SVG, without any library: bars for the cases of a series (a dot for
each round), or lines over time."""
import math
import statistics
from xml.sax.saxutils import escape

FONT = "font-family='system-ui, sans-serif' font-size='13'"
OURS, THEIRS, BARE = "#2563a8", "#b4bcc6", "#7d8b99"
COLOURS = ("#2563a8", "#c4622d", "#4c8c4a", "#8a5aa5", "#7d8b99")


def _number(value):
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    if value >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def _text(x, y, what, anchor="start", extra=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {extra}>{escape(what)}</text>"


def _page(width, height, title, body):
    return "\n".join((
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' {FONT} fill='#222'>",
        f"<rect width='{width}' height='{height}' fill='#fff'/>",
        _text(16, 26, title, extra="font-size='16' font-weight='600'"), *body, "</svg>", ""))


def _ticks(highest):
    """A few round numbers from 0 to what covers the highest."""
    step = 10 ** math.floor(math.log10(highest))
    for factor in (0.2, 0.5, 1, 2):
        if highest / (step * factor) <= 6:
            step *= factor
            break
    return [step * i for i in range(int(math.ceil(highest / step)) + 1)]


def _colour(case):
    if case.startswith("defer"):
        return OURS
    return BARE if case.startswith(("floor", "plain")) else THEIRS


def _unit_bars(cases, series, top, left, width, body):
    """The bars of one unit, below one another; returns where they end."""
    unit = series.units[cases[0]]
    everything = [v for case in cases for v in series.values[case].values()]
    positive = [v for v in everything if v > 0]
    highest = max(positive, default=1)
    lowest = min(positive, default=1)
    log = len(positive) > 1 and highest / lowest > 2000
    if log:
        low = math.floor(math.log10(lowest)) - 0.3
        high = math.ceil(math.log10(highest))
        ticks = [10.0 ** e for e in range(math.ceil(low), high + 1)]

        def place(value):
            return left + (max(math.log10(value), low) - low) / (high - low) * width if value > 0 else left
    else:
        ticks = _ticks(highest)

        def place(value):
            return left + value / ticks[-1] * width
    bottom = top + 30 * len(cases)
    for tick in ticks:
        x = place(tick)
        body.append(f"<path d='M{x:.1f} {top}V{bottom}' stroke='#e3e6ea'/>")
        body.append(_text(x, bottom + 16, _number(tick), "middle", "fill='#666' font-size='11'"))
    body.append(_text(left + width, bottom + 32, unit + (", logarithmic" if log else ""), "end",
                      "fill='#666' font-size='11'"))
    for i, case in enumerate(cases):
        y = top + 30 * i + 5
        values = series.values[case].values()
        median = statistics.median(values)
        end = place(median)
        body.append(_text(left - 8, y + 14, case, "end"))
        body.append(f"<rect x='{left}' y='{y}' width='{max(end - left, 1):.1f}' height='20' fill='{_colour(case)}'/>")
        if len(values) > 1:
            for value in values:
                body.append(f"<circle cx='{place(value):.1f}' cy='{y + 10}' r='3' fill='#fff' stroke='#222'/>")
        body.append(_text(max(place(v) for v in values) + 8, y + 14, f"{median:,.4g}" if median < 1000 else f"{median:,.0f}"))
    return bottom + 50


def bars(series):
    groups = {}
    for case in series.values:
        groups.setdefault(series.units[case], []).append(case)
    left = 40 + max(len(case) for case in series.values) * 7
    body, top = [], 46
    for cases in groups.values():
        top = _unit_bars(cases, series, top, left, 460, body)
    return _page(left + 460 + 100, top, series.title, body)


def lines(series):
    label, unit, curves = series.lines
    left, top, width, height = 70, 50, 560, 280
    highest_x = max((x for points in curves.values() for x, _ in points), default=1) or 1
    highest_y = max((y for points in curves.values() for _, y in points), default=1) or 1
    ticks = _ticks(highest_y)
    body = []

    def place(x, y):
        return left + x / highest_x * width, top + height - y / ticks[-1] * height

    for tick in ticks:
        y = place(0, tick)[1]
        body.append(f"<path d='M{left} {y:.1f}H{left + width}' stroke='#e3e6ea'/>")
        body.append(_text(left - 8, y + 4, _number(tick), "end", "fill='#666' font-size='11'"))
    for tick in _ticks(highest_x):
        if tick <= highest_x:
            body.append(_text(place(tick, 0)[0], top + height + 18, _number(tick), "middle", "fill='#666' font-size='11'"))
    body.append(_text(left + width, top + height + 36, label, "end", "fill='#666' font-size='11'"))
    body.append(_text(16, top - 8, unit, extra="fill='#666' font-size='11'"))
    for i, (name, points) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join("%.1f,%.1f" % place(x, y) for x, y in points)
        body.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        if len(points) <= 30:
            for x, y in points:
                body.append("<circle cx='%.1f' cy='%.1f' r='3' fill='%s'/>" % (*place(x, y), colour))
        body.append(f"<rect x='{left + width + 16}' y='{top + 20 * i}' width='12' height='12' fill='{colour}'/>")
        body.append(_text(left + width + 34, top + 20 * i + 11, name))
    extra = max((len(name) for name in curves), default=0) * 7
    return _page(left + width + 50 + extra, top + height + 50, series.title, body)
