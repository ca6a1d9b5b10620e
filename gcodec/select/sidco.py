"""SIDCo: the threshold of a fitted sparsity-inducing distribution, refined stage by stage.

Abdelmoniem, Elzanaty, Alouini, Canini (MLSys 2021). Magnitudes follow an exponential, a gamma or a
generalised Pareto law, fitted by moments; the wanted quantile is the threshold. One fit is poor in
the far tail, so later stages fit what is above the threshold before (peaks over threshold).

The published rule trusts the fit. `verified` counts what each stage really keeps, which the next
one must read anyway, and brackets the wanted number until it is within a fifth.
"""

from dataclasses import dataclass
from math import ceil, exp, expm1, inf, isfinite, lgamma, log, sqrt
from typing import Any

from .amount import Amount, bounded, exact, too_small, whole_number
from .contract import Decision, Moments, Statistics

LAWS = ("exponential", "pareto", "gamma-pareto")
FIRST_STAGE = 0.25
WINDOW = 5
TOLERANCE = 0.2
ROUNDS = 12


@dataclass(frozen=True)
class SIDCo(Amount):
    """Keep about `ratio` of all elements by a fitted threshold.

    Parameters
    ----------
    ratio, k
        As for `TopK`.
    law : {"pareto", "exponential", "gamma-pareto"}
        Of the magnitudes, in the first stage and, after it, of what lies above the last threshold
        (gamma only in the first).
    stages : int
        Fits in a row, from 1 on. 0 adapts their number to what the last five calls kept, as
        published: a state for each tensor, which `ErrorFeedback` keeps. Of no effect if `verified`.
    verified : bool
        Whether counts are checked, so that the number kept is within 20 % of min(k, nonzeros).
        Otherwise the fit decides, but where it keeps less than half or more than twice as many,
        exactly k are kept.
    """

    law: str = "pareto"
    stages: int = 3
    verified: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.law not in LAWS:
            raise ValueError(f"law is one of {', '.join(LAWS)}, not {self.law!r}")
        object.__setattr__(self, "stages", whole_number("stages", self.stages, 0))
        object.__setattr__(self, "verified", bool(self.verified))

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        k = self.wanted(statistics.n)
        if too_small(statistics, k):
            return exact(statistics, k)._replace(state=state)
        if self.verified:
            return self._verified(statistics, k)
        window = _Window.of(state)
        stages = self.stages or window.stages
        decision = bounded(statistics, self.fit(statistics, k, stages), k)
        if self.stages:
            return decision
        count = (
            statistics.count_above(statistics.element.nearest(self.fit(statistics, k, stages)))
            if decision.fallback
            else decision.kept
        )
        return decision._replace(state=window.after(count / k, k / statistics.n))

    def fit(self, statistics: Statistics, k: int, stages: int) -> float:
        """The threshold of so many stages, as published but for zeros, which no law has."""
        moments = statistics.moments(0)
        if not moments.number or k >= moments.number:
            return 0.0
        share = k / moments.number
        first = share if stages == 1 else max(FIRST_STAGE, share)
        threshold = self._first(statistics, moments, first)
        if first == share:
            return threshold
        each, pattern = (share / first) ** (1 / (stages - 1)), 0
        for _ in range(stages - 1):
            pattern = statistics.element.nearest(threshold)
            moments = statistics.moments(pattern)
            if not moments.number:
                break
            threshold += self._above(moments, threshold, each)
        if k <= moments.number <= 2 * k:
            # the last stage has little to add and may misfit: what comes next looks at these alone
            statistics.count_above(pattern)
        return threshold

    def _verified(self, statistics: Statistics, k: int) -> Decision:
        element = statistics.element
        moments = statistics.moments(0)
        k = min(k, moments.number)
        if k == moments.number:
            return Decision(0, 0, k)
        low, high = (0.0, moments.number), (element.number(statistics.largest()), 0.5)
        threshold = self._first(statistics, moments, max(FIRST_STAGE, k / moments.number))
        for _ in range(ROUNDS):
            if not low[0] < threshold < high[0]:
                threshold = _between(low, high, k)
            pattern = element.nearest(threshold)
            moments = statistics.moments(pattern)
            if abs(moments.number - k) <= TOLERANCE * k:
                return Decision(pattern, 0, moments.number)
            if moments.number > k:
                low = threshold, moments.number
                threshold += self._above(moments, threshold, max(FIRST_STAGE, k / moments.number))
            else:
                high = threshold, max(moments.number, 0.5)
                threshold = _between(low, high, k)
        return exact(statistics, k, fallback=True)

    def _first(self, statistics: Statistics, moments: Moments, share: float) -> float:
        """The threshold above which the fitted law has `share` of all nonzeros."""
        if self.law == "gamma-pareto":
            mean = moments.total / moments.number
            return _gamma_quantile(mean, log(mean) - statistics.logarithm(), share)
        return self._above(moments, 0.0, share)

    def _above(self, moments: Moments, origin: float, share: float) -> float:
        """How far past `origin` the law of what lies above it has `share` of that."""
        mean = moments.total / moments.number - origin
        if self.law != "exponential" and moments.number > 1:
            spread = moments.squares / moments.number - (mean + origin) ** 2
            if spread > 0 and isfinite(spread):
                squared = mean * mean / spread
                shape, scale = min(max((1 - squared) / 2, -0.5), 0.45), mean * (squared + 1) / 2
                if abs(shape) > 1e-6:
                    return scale / shape * expm1(-shape * log(share))
        return -mean * log(share)


def _between(low: tuple[float, float], high: tuple[float, float], k: int) -> float:
    """The threshold for k between two that are known, by a power law, or exponential from zero."""
    part = log(low[1] / k) / log(low[1] / high[1])
    part = min(max(part, 0.05), 0.95)
    if low[0] == 0:
        return high[0] * part
    return low[0] * exp(part * log(high[0] / low[0]))


def _gamma_quantile(mean: float, spread: float, share: float) -> float:
    """Where a gamma law of this mean has `share` above; spread = log(mean) - mean of logarithms."""
    spread = max(spread, 1e-6)
    shape = (3 - spread + sqrt((spread - 3) ** 2 + 24 * spread)) / (12 * spread)
    low, high = 0.0, 1.0
    while _gamma_above(shape, high) > share:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _gamma_above(shape, middle) > share else (low, middle)
    return mean / shape * high


def _gamma_above(shape: float, x: float) -> float:
    """The regularised upper incomplete gamma function: a series below shape + 1, else a
    fraction.
    """
    if x <= 0:
        return 1.0
    front = exp(shape * log(x) - x - lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        i = shape
        while term > total * 1e-16:
            i += 1
            term *= x / i
            total += term
        return 1 - front * total
    b, c = x + 1 - shape, inf
    d = fraction = 1 / b
    for i in range(1, 200):
        a = -i * (i - shape)
        b += 2
        d = 1 / (a * d + b)
        c = b + a / c
        fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * fraction


@dataclass(frozen=True)
class _Window:
    """What the published adaptation remembers: stages, and kept over wanted since they changed."""

    stages: int = 1
    kept: tuple[float, ...] = ()

    @classmethod
    def of(cls, state: Any) -> "_Window":
        return cls() if state is None else cls(int(state[0]), tuple(map(float, state[1])))

    def after(self, kept: float, share: float) -> list[Any]:
        """State after another call; every fifth moves the number of stages by at most one."""
        seen = (*self.kept, kept)
        if len(seen) < WINDOW:
            return [self.stages, list(seen)]
        mean = sum(seen) / WINDOW
        step = (mean < 1 - TOLERANCE) - (mean > 1 + TOLERANCE)
        most = max(ceil(log(share) / log(0.5)), 1)
        return [min(max(self.stages + step, 1), most), []]
