# SPDX-License-Identifier: Apache-2.0
"""From the results of two builds, round by round, to a verdict for each figure. Pure: reads no file, runs
nothing."""

import dataclasses
import enum
import math
import re

# The quartiles of the rounds' ratios must lie wholly beyond this.
MARGIN = 1.02
# Quartiles of fewer rounds say little: of so few, chance alone makes one figure in twenty worse.
ROUNDS_MIN = 10
# A percentile of fewer samples beyond it, in each round, is one of them, by chance.
BEYOND_MIN = 1
PERCENTILES = {"p50": 50, "p99": 99, "p99_9": 99.9}
# How contestants of ours are named; others are yardsticks, which no change of ours can move.
OURS = ("vgpu-ring", "adaptive", "always asleep", "vm_", "host_", "sleep_")


class Verdict(enum.Enum):
    WORSE = "worse"
    MISSING = "missing"  # OLD measured it, NEW does not
    WRONG = "wrong answers"
    NOT_AGAIN = "worse at first, not when measured again"
    OUTSIDE_WORSE = "outside the base's quartiles, on the worse side"
    OUTSIDE_BETTER = "outside the base's quartiles, on the better side"
    BETTER = "better"
    AS_BEFORE = "as before"
    INCONCLUSIVE = "inconclusive"
    NEW = "new"  # OLD does not measure it
    SKIPPED = "skipped"
    FAILED = "failed"  # in both


FAILING = (Verdict.WORSE, Verdict.MISSING, Verdict.WRONG)
# So improbable by chance that it is not.
CHANCE_MAX = 0.02


@dataclasses.dataclass(frozen=True)
class Value:
    """What one run came to for one figure."""
    value: float
    better: str = "lower"  # or "higher"
    title: str = ""
    ours: bool = True
    samples: int | None = None  # behind a percentile
    percent: float | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One run of one measurement: its figures by name, and why others are not there."""
    values: dict = dataclasses.field(default_factory=dict)
    # By name of figure or measurement, "" for the run itself.
    reasons: dict = dataclasses.field(default_factory=dict)
    skipped: bool = False  # and not failed

    def why_not(self, name, measurement):
        for known in (name, name.split("/")[0], measurement, ""):
            if known in self.reasons:
                return " ".join(self.reasons[known].split())
        return "the run did not name it"


@dataclasses.dataclass
class Comparison:
    measurement: str
    name: str
    title: str
    better: str
    ours: bool
    verdict: Verdict
    reason: str = ""
    old: list = dataclasses.field(default_factory=list)  # by round, of rounds with both
    new: list = dataclasses.field(default_factory=list)
    ratios: list = dataclasses.field(default_factory=list)  # above 1: NEW is worse
    old_samples: int | None = None  # of all rounds
    new_samples: int | None = None
    left_out: int = 0  # rounds in which one of both was not measured
    again: "Comparison | None" = None  # of the rounds that were to show whether it is worse indeed

    @property
    def is_detail(self):
        return "/" in self.name


# ---- numbers ----

def quantile(values, share):
    """Interpolated, as in bench/lib/stats.cc; infinite values are allowed."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    part = place - below
    return low if part == 0 or low == high else low + (high - low) * part


def quartiles(values):
    return tuple(quantile(values, share) for share in (0.25, 0.5, 0.75))


def cost_ratio(old, new, better):
    """How many times worse NEW is. None: these two have no ratio."""
    if not (math.isfinite(old) and math.isfinite(new)) or old < 0 or new < 0:
        return None
    worse, base = (new, old) if better == "lower" else (old, new)
    if base == 0:
        return 1.0 if worse == 0 else math.inf
    return worse / base


def chance_of_worse(rounds):
    """How probable it is, at most, that a figure that has not changed, and varies much, is called worse: no
    more than a quarter of its rounds would be on the other side."""
    most = math.ceil(0.25 * (rounds - 1))
    return sum(math.comb(rounds, k) for k in range(most + 1)) / 2**rounds


# ---- what a result says ----

def read(result):
    """An Outcome of the JSON that a benchmark program writes with --json."""
    outcome = Outcome(skipped=True)
    skipped = []
    for figure in result.get("figures", []):
        name = figure["name"]
        if figure.get("broken"):
            outcome.reasons[name] = figure["broken"]
            skipped.append(False)
        elif figure.get("skipped"):
            outcome.reasons[name] = figure["skipped"]
            skipped.append(True)
        elif figure.get("rounds", 0) > 0 and isinstance(figure.get("median"), (int, float)):
            outcome.values[name] = Value(figure["median"], figure["better"], figure.get("title", name))
            outcome.values.update(_of_detail(name, figure.get("detail")))
            skipped.append(False)
    for group in result.get("groups", []):
        for row in group.get("rows", []):
            outcome.values.update(_percentiles(group["title"], row["name"], row, row.get("samples", 0)))
    return dataclasses.replace(outcome, skipped=all(skipped) and bool(skipped))


def _of_detail(figure, detail):
    """A figure's contestants: their percentiles, and their times in nanoseconds."""
    values = {}
    if isinstance(detail, dict) and "latency_ns" not in detail:
        for key, times in detail.items():
            if key.endswith("_ns") and isinstance(times, list) and times:
                values[f"{figure}/{key}"] = Value(quantile(times, 0.5), title=key, ours=_is_ours(key))
        return values
    for series in detail if isinstance(detail, list) else [detail]:
        if isinstance(series, dict) and isinstance(series.get("latency_ns"), dict) and "name" in series:
            latency = series["latency_ns"]
            values.update(_percentiles(figure, series["name"], latency, latency.get("samples", 0)))
            if series.get("ns_per_request"):
                who = _plain(series["name"])
                values[f"{figure}/{who}/ns"] = Value(quantile(series["ns_per_request"], 0.5),
                                                     title=f"{who}, ns a request", ours=_is_ours(who))
    return values


def _percentiles(figure, name, latency, samples):
    who = _plain(name)
    return {f"{figure}/{who}/{key}": Value(latency[key], title=f"{who}, {key.replace('_', '.')} ns",
                                           ours=_is_ours(who), samples=samples, percent=percent)
            for key, percent in PERCENTILES.items() if samples and key in latency}


def _plain(contestant):
    """Without what a run chose by trying: batch size and way of polling."""
    return re.sub(r", (batch \d+|eager|relaxed)\b", "", contestant)


def _is_ours(contestant):
    return contestant.startswith(OURS)


# ---- verdicts ----

def compare(rounds):
    """rounds: for each measurement and round a pair (Outcome of OLD, Outcome of NEW) of runs that followed
    one another, as (measurement, old, new). The Comparisons, in the order in which figures were first
    seen."""
    measurements = {}
    for measurement, old, new in rounds:
        measurements.setdefault(measurement, []).append((old, new))
    return [comparison for measurement, pairs in measurements.items()
            for comparison in _of_one(measurement, pairs)]


class _Pairs:
    """What all rounds say of one figure."""

    def __init__(self, name, measurement, outcomes):
        self.old_rounds = sum(name in old.values for old, _ in outcomes)
        self.new_rounds = sum(name in new.values for _, new in outcomes)
        both = [(old.values[name], new.values[name]) for old, new in outcomes
                if name in old.values and name in new.values]
        self.both = [(old, new) for old, new in both
                     if cost_ratio(old.value, new.value, old.better) is not None]
        self.left_out = len(outcomes) - len(self.both)
        self.only_old = sum(name in old.values and name not in new.values for old, new in outcomes)
        self.only_new = sum(name in new.values and name not in old.values for old, new in outcomes)
        self.why_old = [old.why_not(name, measurement) for old, _ in outcomes if name not in old.values]
        self.why_new = [new.why_not(name, measurement) for _, new in outcomes if name not in new.values]

    def lacks_more_than_chance(self):
        """Were both as likely to fail, would NEW alone have failed so often?"""
        only_one = self.only_old + self.only_new
        return sum(math.comb(only_one, k) for k in range(self.only_new + 1)) / 2**only_one < CHANCE_MAX

    def left_out_text(self):
        sides = (("OLD", self.why_old), ("NEW", self.why_new))
        return "; ".join(f"{label} lacks {len(why)} rounds: {why[-1]}" for label, why in sides if why)


def _of_one(measurement, pairs):
    names = {name: None for pair in pairs for outcome in pair for name in outcome.values}
    if names:
        return _without_repetitions([_judge(name, measurement, pairs) for name in names])
    verdict = Verdict.SKIPPED if all(outcome.skipped for pair in pairs
                                     for outcome in pair) else Verdict.FAILED
    old_why, new_why = (outcome.why_not(measurement, measurement) for outcome in pairs[-1])
    reason = old_why if old_why == new_why else f"OLD: {old_why}; NEW: {new_why}"
    return [Comparison(measurement, measurement, measurement, "lower", True, verdict, reason)]


def _without_repetitions(comparisons):
    """A contestant of two figures has its percentiles once."""
    seen, kept = set(), []
    for comparison in comparisons:
        values = (comparison.title, *comparison.old, *comparison.new)
        if not comparison.is_detail or not comparison.ratios or values not in seen:
            kept.append(comparison)
        seen.add(values)
    return kept


def confirm(comparisons, again):
    """What was worse by chance is not so in other rounds, too: `again` are the Comparisons of those."""
    by_name = {comparison.name: comparison for comparison in again}
    for comparison in comparisons:
        comparison.again = by_name.get(comparison.name) if comparison.verdict is Verdict.WORSE else None
        measured = comparison.again is not None and len(comparison.again.ratios) >= ROUNDS_MIN
        if measured and not fails(comparison.again):
            comparison.verdict = Verdict.NOT_AGAIN
    return comparisons


def _judge(name, measurement, outcomes):
    known = next(outcome.values[name] for pair in outcomes for outcome in reversed(pair)
                 if name in outcome.values)
    pairs = _Pairs(name, measurement, outcomes)
    result = Comparison(measurement, name, known.title or name, known.better, known.ours, Verdict.AS_BEFORE)
    result.old, result.new = [old.value for old, _ in pairs.both], [new.value for _, new in pairs.both]
    result.ratios = [cost_ratio(old.value, new.value, known.better) for old, new in pairs.both]
    result.left_out = pairs.left_out
    if known.samples is not None:
        result.old_samples = sum(old.samples for old, _ in pairs.both)
        result.new_samples = sum(new.samples for _, new in pairs.both)
    result.verdict, result.reason = _verdict(pairs, result)
    return result


def _verdict(pairs, result):
    wrong = [why for why in pairs.why_new if "wrong answer" in why]
    if wrong:
        return Verdict.WRONG, wrong[0]
    if pairs.old_rounds == 0:
        return Verdict.NEW, "OLD: " + pairs.why_old[-1]
    if pairs.new_rounds == 0 or pairs.lacks_more_than_chance():
        return Verdict.MISSING, pairs.left_out_text()
    if few := _too_few(pairs.both):
        return Verdict.INCONCLUSIVE, few
    return _of_quartiles(result), pairs.left_out_text()


def _too_few(both):
    if len(both) < ROUNDS_MIN:
        return f"{len(both)} rounds of at least {ROUNDS_MIN}"
    for old, new in both:
        for value in (old, new):
            if value.percent is not None and value.samples * (100 - value.percent) / 100 < BEYOND_MIN:
                return f"a run has {value.samples} samples"
    return ""


def _of_quartiles(result):
    q1, _, q3 = quartiles(result.ratios)
    if q1 > MARGIN:
        return Verdict.WORSE
    if q3 < 1 / MARGIN:
        return Verdict.BETTER
    base_q1, _, base_q3 = quartiles(result.old)
    median = quantile(result.new, 0.5)
    if base_q1 <= median <= base_q3:
        return Verdict.AS_BEFORE
    worse = (median > base_q3) == (result.better == "lower")
    return Verdict.OUTSIDE_WORSE if worse else Verdict.OUTSIDE_BETTER


def fails(comparison):
    return comparison.ours and comparison.verdict in FAILING


# ---- for people and programs ----

def to_json(comparison):
    """Infinite numbers are null: JSON has none."""
    def plain(number):
        return number if math.isfinite(number) else None

    json = {"measurement": comparison.measurement, "name": comparison.name, "title": comparison.title,
            "better": comparison.better, "ours": comparison.ours,
            "verdict": comparison.verdict.value, "rounds": len(comparison.ratios),
            "left_out": comparison.left_out,
            "old": comparison.old, "new": comparison.new,
            "ratios": [plain(ratio) for ratio in comparison.ratios]}
    if comparison.reason:
        json["reason"] = comparison.reason
    if comparison.again is not None:
        json["again"] = to_json(comparison.again)
    for key, values in (("old", comparison.old), ("new", comparison.new), ("ratio", comparison.ratios)):
        if values:
            json.update({f"{key}_{which}": plain(value)
                         for which, value in zip(("q1", "median", "q3"), quartiles(values))})
    if comparison.old_samples is not None:
        json["samples"] = {"old": comparison.old_samples, "new": comparison.new_samples}
    return json


def _number(value):
    return f"{value:.4g}"


def _row(comparison, width):
    title = ("    " if comparison.is_detail else "") + comparison.title
    if len(title) > width:
        title = title[:width - 2] + ".."
    old = new = ratio = "-"
    if comparison.ratios:
        old, new = (_number(quantile(values, 0.5)) for values in (comparison.old, comparison.new))
        q1, median, q3 = quartiles(comparison.ratios)
        ratio = f"{median:.3f} ({q1:.3f} .. {q3:.3f})"
    word = comparison.verdict.value.upper() if fails(comparison) else comparison.verdict.value
    samples = "" if comparison.old_samples is None else str(min(comparison.old_samples,
                                                                comparison.new_samples))
    line = f"{title:<{width}} {old:>9} {new:>9} {ratio:>25} {len(comparison.ratios):>6} {samples:>9}  {word}"
    if comparison.again is not None and comparison.again.ratios:
        line += "; again: {1:.3f} ({0:.3f} .. {2:.3f})".format(*quartiles(comparison.again.ratios))
    elif comparison.reason and not (comparison.is_detail and comparison.left_out
                                    and comparison.verdict is not Verdict.MISSING):
        line += ": " + comparison.reason  # why rounds are left out stands at the figure
    return line


def _is_shown(comparison):
    """Of what a figure is made of, the median and what is not as it was; the rest, and yardsticks, are in the
    JSON."""
    changed = (*FAILING, Verdict.BETTER, Verdict.NOT_AGAIN)
    is_median = comparison.name.endswith(("/p50", "_p50_ns"))
    return comparison.ours and (not comparison.is_detail or is_median or comparison.verdict in changed)


def table(comparisons):
    shown = list(filter(_is_shown, comparisons))
    width = min(66, max([len(comparison.title) + 4 for comparison in shown] + [6]))
    head = (f"{'figure':<{width}} {'OLD':>9} {'NEW':>9} {'ratio: median (quartiles)':>25} {'rounds':>6} "
            f"{'samples':>9}  verdict")
    return "\n".join([head, *(_row(comparison, width) for comparison in shown)])


def summary(comparisons):
    """What it comes to, in a few lines."""
    lines = []
    judged = [comparison for comparison in comparisons if len(comparison.ratios) >= ROUNDS_MIN]
    if judged:
        rounds = min(len(comparison.ratios) for comparison in judged)
        ours = [comparison for comparison in judged if comparison.ours]
        lines.append("ratio: NEW/OLD where lower is better, OLD/NEW where higher is; above 1 is worse. Of "
                     f"{len(ours)} figures that vary and have not changed, chance alone makes at most "
                     f"{len(ours) * chance_of_worse(rounds):.2g} worse at first.")
        theirs = [comparison for comparison in judged if not comparison.ours]
        moved = [comparison for comparison in theirs if comparison.verdict in (Verdict.WORSE, Verdict.BETTER)]
        if moved:
            lines.append(f"yardsticks: {len(moved)} of {len(theirs)} changed, though nothing of ours is in "
                         f"them: the machine, "
                         "not the build (" + ", ".join(comparison.name for comparison in moved[:4]) + ")")
    bad = [comparison for comparison in comparisons if fails(comparison)]
    if bad:
        lines.append(f"{len(bad)} worse or missing: " + ", ".join(comparison.name for comparison in bad))
    elif judged:
        lines.append("nothing is worse")
    else:
        lines.append("nothing can be said: too few rounds, or nothing was measured")
    return "\n".join(lines)
