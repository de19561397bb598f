"""What was measured: medians, ratios, spread; one table, the raw numbers."""
import csv
import os
import statistics

import plot


def human(number):
    """Four digits at most, thousands separated."""
    size = abs(number)
    if size >= 100:
        return f"{number:,.0f}"
    if size >= 10:
        return f"{number:.1f}"
    if size >= 1:
        return f"{number:.2f}"
    return f"{number:.3f}" if size else "0"


class Series:
    """The measurements of one series, and what is to be said about them.

    add() takes a value of a case in a round.  compare() asks for the ratio of
    two cases, round by round; limit() and compare() may carry a mark, which is
    ("≥", number) or ("≤", number).
    """

    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.values = {}            # case -> {round: value}
        self.units = {}
        self.comparisons = {}       # case -> [(other, mark)]
        self.limits = {}            # case -> mark
        self.notes = []
        self.lines = None           # (x label, unit, {name: [(x, y)]}) for the plot

    def add(self, case, value, unit, number=0):
        self.values.setdefault(case, {})[number] = value
        self.units[case] = unit
        print(f"  {case}: {human(value)} {unit}", flush=True)

    def compare(self, case, other, mark=None):
        self.comparisons.setdefault(case, []).append((other, mark))

    def limit(self, case, sign, number):
        self.limits[case] = (sign, number)

    def note(self, text):
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def median(self, case):
        return statistics.median(self.values[case].values())

    def ratio(self, case, other):
        """Median of the rounds' ratios; None: there is nothing to compare."""
        if case not in self.values or other not in self.values:
            return None
        mine, theirs = self.values[case], self.values[other]
        both = [mine[n] / theirs[n] for n in mine if theirs.get(n)]
        return statistics.median(both) if both else None


def _met(value, mark):
    sign, number = mark
    return value >= number if sign == "≥" else value <= number


def _verdict(value, mark):
    return f" (mark {mark[0]} {human(mark[1])}: {'reached' if _met(value, mark) else '**NOT reached**'})"


def _row(series, case):
    values = list(series.values[case].values())
    median = statistics.median(values)
    spread = "–"
    if len(values) > 1:
        spread = f"{human(min(values))} … {human(max(values))}"
        if median:
            spread += f" ({(max(values) - min(values)) / median * 100:.0f} %)"
    said = []
    if case in series.limits:
        said.append(human(median) + _verdict(median, series.limits[case]))
    for other, mark in series.comparisons.get(case, []):
        ratio = series.ratio(case, other)
        if ratio is not None:
            said.append(f"{human(ratio)} × {other}" + (_verdict(ratio, mark) if mark else ""))
    return (series.name, case, f"{human(median)} {series.units[case]}", spread, str(len(values)),
            "; ".join(said))


HEAD = ("series", "what", "median", "lowest … highest (spread)", "rounds", "ratio, mark")


def table(all_series):
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for series in all_series:
        for case in series.values:
            lines.append("| " + " | ".join(_row(series, case)) + " |")
    return "\n".join(lines)


def write(folder, all_series, environment):
    """bench.md, bench.csv and a plot for each series."""
    parts = ["# defer and its peers", "", environment, "", table(all_series), ""]
    for series in all_series:
        if series.notes:
            parts += [f"**{series.name}**: " + " ".join(series.notes), ""]
    for series in all_series:
        if series.values:
            parts += [f"![{series.title}]({series.name}.svg)", ""]
            with open(os.path.join(folder, series.name + ".svg"), "w", encoding="utf-8") as file:
                file.write(plot.lines(series) if series.lines else plot.bars(series))
    with open(os.path.join(folder, "bench.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(parts))
    with open(os.path.join(folder, "bench.csv"), "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("series", "what", "round", "value", "unit"))
        for series in all_series:
            for case, values in series.values.items():
                for number, value in values.items():
                    out.writerow((series.name, case, number + 1, f"{value:.9g}", series.units[case]))
