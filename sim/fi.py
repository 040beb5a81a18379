"""f-I curves of Izhikevich's neuron: the fixed-point one against one in floating point.

Both take the same half steps of the same equations (see `hdl.neurons.izhikevich`); the floating
one has 0.04 where the fixed one has 41/1024, no rounding, and nothing that saturates. A second
floating one with 41/1024 tells what that constant does from what rounding does.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..hdl.neurons.izhikevich import ONE, PRESETS, Izhikevich
from .neurons.izhikevich import IzhikevichState

#: Constant inputs I of the equation, in mV/ms, and the milliseconds for which each is given.
CURRENTS = tuple(range(4, 21))
DURATION = 1000


@dataclass(frozen=True)
class Curve:
    """Spikes of one preset in `DURATION` at each of `currents`; rates int64."""

    preset: str
    currents: tuple[int, ...]
    fixed: np.ndarray
    floating: np.ndarray
    same_constant: np.ndarray

    @property
    def error(self) -> float:
        """Largest difference of the rates, as a share of the floating model's highest rate."""
        return self._share(self.floating)

    @property
    def rounding(self) -> float:
        """The same against the floating model that has 41/1024 as well."""
        return self._share(self.same_constant)

    def _share(self, wanted: np.ndarray) -> float:
        return float(np.abs(self.fixed - wanted).max() / wanted.max())


def fixed_rates(neuron: Izhikevich, currents: tuple[int, ...] = CURRENTS) -> np.ndarray:
    """Spikes in `DURATION` timesteps of the reference model: one neuron a current, as its bias."""
    state = IzhikevichState(replace(neuron, gain=ONE), 1, len(currents))
    bias = np.array(currents, np.int64)
    none = np.zeros((1, len(currents)), np.int64)
    return sum(state.step(none, bias, True)[0] for _ in range(DURATION))


def floating_rates(neuron: Izhikevich, currents: tuple[int, ...] = CURRENTS,
                   square: float = 0.04) -> np.ndarray:
    """The same in float64, with `square` before v*v."""
    drive = np.array(currents, np.float64)
    v = np.full(len(currents), -65.0)
    u = neuron.b * v
    count = np.zeros(len(currents), np.int64)
    for _ in range(DURATION):
        for half in range(2):
            moved = v + 0.5 * (square * v * v + 5 * v + 140 - u + drive)
            v = moved if half == 0 else np.where(v < 30, moved, v)
        u = u + neuron.a * (neuron.b * v - u)
        fired = v >= 30
        count += fired
        v, u = np.where(fired, neuron.c, v), np.where(fired, u + neuron.d, u)
    return count


def curves() -> list[Curve]:
    """The curve of every preset."""
    return [Curve(name, CURRENTS, fixed_rates(neuron), floating_rates(neuron),
                  floating_rates(neuron, square=41 / 1024))
            for name, neuron in PRESETS.items()]


WIDTH, HEIGHT = 720, 460
LEFT, RIGHT, TOP, BOTTOM = 56, 190, 44, 48
#: Okabe and Ito's colours, which everyone can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def svg(found: list[Curve]) -> str:
    """The curves as a picture: lines for the floating models, dots for the fixed-point ones."""
    highest = max(int(max(c.fixed.max(), c.floating.max())) for c in found)
    tick = max(10, 10 * round(highest / 60))
    top = -(-highest // tick) * tick
    low, high = found[0].currents[0], found[0].currents[-1]

    def place(current: float, rate: float) -> str:
        x = LEFT + (current - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - rate / top * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    def text(x: float, y: float, words: str, more: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12" '
           'fill="#222">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(LEFT, 24, "Izhikevich's neuron in fixed point (dots) and in float64 (lines)",
                'font-size="14" font-weight="bold"')]
    for rate in range(0, top + 1, tick):
        x, y = place(low, rate).split(",")
        end = place(high, rate).split(",")[0]
        out += [f'<line x1="{x}" y1="{y}" x2="{end}" y2="{y}" stroke="#ddd"/>',
                text(float(x) - 8, float(y) + 4, str(rate), 'text-anchor="end"')]
    for current in range(low, high + 1, 2):
        x, y = place(current, 0).split(",")
        out.append(text(float(x), float(y) + 18, str(current), 'text-anchor="middle"'))
    out += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "constant input I (mV/ms)",
                 'text-anchor="middle"'),
            text(0, 0, "spikes in 1,000 ms", 'text-anchor="middle" transform="translate(16 '
                 f'{(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"')]
    for k, (curve, colour) in enumerate(zip(found, COLOURS, strict=True)):
        line = " ".join(map(place, curve.currents, curve.floating))
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for current, rate in zip(curve.currents, curve.fixed, strict=True):
            x, y = place(current, rate).split(",")
            out.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        x, y = WIDTH - RIGHT + 16, TOP + 16 + 34 * k
        out += [f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>',
                text(x + 12, y, curve.preset.replace("_", " ")),
                text(x + 12, y + 14, f"within {100 * curve.error:.1f} % of its peak",
                     'fill="#666" font-size="11"')]
    return "\n".join([*out, "</svg>", ""])
