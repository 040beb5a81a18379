"""Strategies compared: traces of searches at equal evaluations and at equal seconds, as tables."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from ..flow.output import counted
from . import paired
from .anytime import Measure, Trace
from .pictures import Curve, Line
from .study import Sheet

EVALUATIONS, SECONDS = "evaluations", "seconds"
#: Places of a curve.
PLACES = 24


@dataclass
class Comparison:
    """Traces by strategy and seed, at so many evaluations, and at so many seconds."""

    measure: Measure
    traces: dict[tuple[str, int], Trace]
    strategies: list[str]
    seeds: list[int]
    evaluations: int
    budget: float | None

    @property
    def seconds(self) -> float:
        """The budget, or the least time in which a search came to its evaluations."""
        if self.budget is not None:
            return self.budget
        reached = [trace.seconds[self.evaluations - 1] for trace in self.traces.values()
                   if len(trace.seconds) >= self.evaluations]
        return min(reached) if reached else max(
            (trace.seconds[-1] for trace in self.traces.values() if trace.seconds), default=0.0)

    def of(self, name: str) -> list[Trace]:
        return [self.traces[name, seed] for seed in self.seeds]

    def count(self, trace: Trace, over: str, limit: float) -> int:
        """Evaluations of a search within a limit."""
        return trace.within(limit) if over == SECONDS else min(int(limit), len(trace.seconds))

    def values(self, name: str, over: str, limit: float) -> list[float]:
        """By seed, less is better."""
        return [self.measure.value(trace, self.count(trace, over, limit))
                for trace in self.of(name)]

    @property
    def limits(self) -> dict[str, float]:
        return {EVALUATIONS: self.evaluations, SECONDS: self.seconds}

    def sheets(self) -> list[Sheet]:
        """Strategies, pairs, curves and single searches."""
        measure, spec = self.measure, self.measure.spec
        sign = "+" + spec
        seeds = counted(len(self.seeds), "seed")
        return [
            Sheet("compare", f"{measure.title}: median over {seeds} and its 95 % interval",
                  (("at equal", ""), ("strategy", ""), ("median", spec), ("low", spec),
                   ("high", spec), ("without", "d"), (EVALUATIONS, ",.1f"), ("distinct", ",.1f"),
                   (SECONDS, ",.3f"), ("own ms", ",.3f"), ("ended", "")),
                  tuple(self._row(over, name) for over in self.limits
                        for name in self.strategies)),
            Sheet("pairs", f"Pairs: Wilcoxon's signed ranks over {seeds}, two-sided; p corrected "
                  "as Holm has it for all pairs of one kind",
                  (("at equal", ""), ("strategy", ""), ("and", ""), ("better", "d"),
                   ("the same", "d"), ("worse", "d"), ("difference", sign), ("p", ".4f"),
                   ("corrected p", ".4f"), ("differs", "")),
                  tuple(row for over in self.limits for row in self._pairs(over))),
            Sheet("curves", "Best so far: median and quartiles",
                  (("over", ""), ("at", ",.3f"), ("strategy", ""), ("median", spec),
                   ("first quartile", spec), ("third quartile", spec)), tuple(self._curves())),
            Sheet("searches", "Every search",
                  (("strategy", ""), ("seed", "d"), ("at equal evaluations", spec),
                   ("at equal seconds", spec), (EVALUATIONS, ",d"), (SECONDS, ",.3f"),
                   ("refused", ",d"), ("ended", ""), ("network", "")), tuple(self._searches()))]

    def _row(self, over: str, name: str) -> tuple:
        limit, traces, natural = self.limits[over], self.of(name), self.measure.natural
        values = self.values(name, over, limit)
        ends = sorted(paired.interval(values), reverse=self.measure.sense < 0)
        counts = [self.count(trace, over, limit) for trace in traces]
        times = [trace.seconds[count - 1] if count else 0.0
                 for trace, count in zip(traces, counts)]
        distinct = [trace.distinct(count) for trace, count in zip(traces, counts)]
        own = [1e3 * trace.own / max(1, len(trace.seconds)) for trace in traces]
        return (over, name, natural(paired.median(values)), *map(natural, ends),
                sum(math.isinf(value) for value in values),
                *(float(np.mean(each)) for each in (counts, distinct, times, own)),
                self._ended(name, over))

    def _ended(self, name: str, over: str) -> str | None:
        """Marks a strategy that had no more to ask for before the limit."""
        early = [trace for trace in self.of(name) if trace.ended and (
            len(trace.seconds) < self.evaluations if over == EVALUATIONS
            else not trace.seconds or trace.seconds[-1] < self.seconds)]
        return "by itself" if early else None

    def _pairs(self, over: str) -> list[tuple]:
        natural = self.measure.natural
        found = paired.pairs([self.values(name, over, self.limits[over])
                              for name in self.strategies])
        return [(over, self.strategies[pair.one], self.strategies[pair.other], pair.wins, pair.ties,
                 pair.losses, natural(pair.difference), pair.p, pair.corrected,
                 "yes" if pair.differs else None) for pair in found]

    def places(self, over: str) -> list[float]:
        """Where a curve has points."""
        limit = self.limits[over]
        if over == SECONDS:
            return np.linspace(limit / PLACES, limit, PLACES).tolist()
        return sorted({max(1, round(at)) for at in np.linspace(limit / PLACES, limit, PLACES)})

    def _curves(self) -> Iterator[tuple]:
        natural = self.measure.natural
        for over in self.limits:
            for name, at in product(self.strategies, self.places(over)):
                values = self.values(name, over, at)
                ends = sorted((paired.quantile(values, share) for share in (0.25, 0.75)),
                              reverse=self.measure.sense < 0)
                yield (over, float(at), name, natural(paired.median(values)), *map(natural, ends))

    def _searches(self) -> Iterator[tuple]:
        for (name, seed), trace in self.traces.items():
            own = [self.measure.natural(self.measure.value(trace, self.count(trace, over, limit)))
                   for over, limit in self.limits.items()]
            count = min(self.evaluations, len(trace.seconds))
            yield (name, seed, *own, len(trace.seconds), trace.seconds[-1] if count else 0.0,
                   trace.refused, "by itself" if trace.ended else None,
                   self.measure.network(trace, count) or None)

    def panels(self) -> list[Curve]:
        """Over evaluations, and over seconds; what ended by itself goes on level."""
        rows = list(self._curves())
        found = []
        for over in self.limits:
            lines = []
            for name in self.strategies:
                own = [[math.nan if value is None else value for value in row[3:]]
                       for row in rows if row[0] == over and row[2] == name]
                mean, low, high = (tuple(line) for line in zip(*own))
                label = f"{name}, ended by itself" if self._ended(name, over) else name
                lines.append(Line(label, mean, low=low, high=high))
            x = tuple(float(at) for at in self.places(over))
            title = (f"at equal {over}, {self.evaluations:,}" if over == EVALUATIONS
                     else f"at equal {over}, {self.seconds:,.3g} s")
            found.append(Curve(title, over, x, tuple(lines), percent=False, steps=True,
                               y_label=self.measure.title))
        return found

    def _same(self, one: str, other: str) -> bool:
        """Whether all that was best at a time was the same, as where one draws as another does."""
        found = [[[step for step in trace.steps if step.at <= self.evaluations]
                  for trace in self.of(name)] for name in (one, other)]
        return found[0] == found[1]

    def notes(self, recorded: bool) -> list[str]:
        """What a reader has to know, in sentences."""
        needed, count = paired.seeds_needed(len(self.strategies)), len(self.seeds)
        time = ("seconds are those that evaluations took when they were recorded, without the "
                "strategies' own" if recorded else
                "seconds are process time on one thread, strategies' own included")
        kind = "" if self.budget is not None else (
            ", the least in which a search came to its evaluations")
        lines = [f"equal evaluations: {self.evaluations:,}; equal seconds: {self.seconds:.4g}"
                 f"{kind}; {time}; own ms are a strategy's for an evaluation"]
        if len(self.strategies) > 1 and count < needed:
            lines.append(f"{counted(count, 'seed')} can show no difference at {paired.ALPHA:g}, "
                         f"whatever was found; {len(self.strategies)} strategies need {needed}")
        lines += [f"{one} and {other} found the same networks from every seed"
                  for one, other in combinations(self.strategies, 2) if self._same(one, other)]
        for name in self.strategies:
            broken = sum(trace.returned is False for trace in self.of(name))
            if broken:
                lines.append(f"what {name} returns breaks limits from {counted(broken, 'seed')}; "
                             "its best that keeps them is compared")
        return lines
