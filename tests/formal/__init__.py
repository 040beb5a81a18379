"""Proofs about gateware: bounded model checking and k-induction with an SMT solver.

A `Spec` is a module with the component under test, free inputs and properties, each one bit that
must be high in every clock. Yosys turns it into BTOR2, `model` unrolls that, and
Bitwuzla looks for a clock in which a property is low.
"""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.asserts import AnyConst
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Signal
from bitwuzla import Bitwuzla, Kind, Option, Options, Result

from spikeloom.flow import tools

from .model import Circuit, Unrolling

YOSYS = """read_rtlil top.il
proc
flatten
opt -full
memory_map
opt -full
dffunmap
opt_clean
write_btor top.btor
"""


@dataclass(frozen=True)
class Refuted:
    """A property that does not hold: in which clock, and inputs and registers in each until it."""

    name: str
    step: int
    values: list[dict[str, int]] = field(repr=False)


class Spec:
    """What to prove: add submodules and ghost registers to `m`, then properties."""

    def __init__(self) -> None:
        self.m = Module()
        self.m.domains.sync = self.domain = ClockDomain("sync", reset_less=True)
        self._ports: list[Signal] = []
        self._proved: dict[str, str] = {}
        self._inside: dict[str, str] = {}
        self._circuit: Circuit | None = None

    def any(self, shape, name: str) -> Signal:
        """An input that may have any value in any clock."""
        signal = Signal(shape, name=name)
        self._ports.append(signal)
        return signal

    def constant(self, shape, name: str) -> Signal:
        """A value that may be any, and stays."""
        signal = Signal(shape, name=name)
        self.m.d.comb += signal.eq(AnyConst(len(signal)))
        return signal

    def always(self, name: str, value) -> None:
        """`value` is to be true in every clock."""
        signal = Signal(name=f"prove{len(self._proved)}")
        self.m.d.comb += signal.eq(value.bool())
        self._ports.append(signal)
        self._proved[name] = signal.name

    def inside(self, path: str, shape) -> Signal:
        """A register within, by its path such as ``uart.half``, for properties to speak of.

        An invariant about it is proved like any other property, so none can make a proof unsound.
        """
        signal = Signal(shape, name=f"inside{len(self._inside)}")
        self._inside[signal.name] = path
        self._ports.append(signal)
        return signal

    @property
    def circuit(self) -> Circuit:
        if self._circuit is None:
            found, = tools.prepare(["yosys"])
            with TemporaryDirectory(prefix="spikeloom-") as folder:
                work = Path(folder)
                text = rtlil.convert(self.m, name="top", emit_src=False,
                                     ports=[self.domain.clk, *self._ports])
                (work / "top.il").write_text(text)
                (work / "top.ys").write_text(YOSYS)
                ran = tools.run(found, ["-q", "top.ys"], cwd=work, log=work / "log", timeout=600)
                assert ran.problem is None, (work / "log").read_text()
                self._circuit = Circuit((work / "top.btor").read_text(), self._inside)
        return self._circuit

    def bounded(self, clocks: int) -> Refuted | None:
        """Search the first `clocks` clocks from the reset."""
        run = Unrolling(self.circuit)
        solver = self._solver(run)
        for step in range(clocks):
            found = self._search(solver, run, step)
            if found is not None:
                return found
        return None

    def inductive(self, clocks: int) -> Refuted | None:
        """Prove for all time: so many clocks from the reset, and any one after so many good ones.

        A result whose step is `clocks` may stem from a state that no run reaches: then the
        properties are too weak to be inductive, or `clocks` is too small.
        """
        found = self.bounded(clocks)
        if found is not None:
            return found
        run = Unrolling(self.circuit, free=True)
        solver = self._solver(run)
        for step in range(clocks):
            for term in self._properties(run, step).values():
                solver.assert_formula(term)
        return self._search(solver, run, clocks)

    @staticmethod
    def _solver(run: Unrolling) -> Bitwuzla:
        options = Options()
        options.set(Option.PRODUCE_MODELS, True)
        return Bitwuzla(run.terms, options)

    def _properties(self, run: Unrolling, step: int) -> dict:
        return {name: run.output(port, step) for name, port in self._proved.items()}

    def _search(self, solver, run: Unrolling, step: int) -> Refuted | None:
        terms = run.terms
        good = self._properties(run, step)
        every = list(good.values())
        together = every[0] if len(every) == 1 else terms.mk_term(Kind.AND, every)
        if solver.check_sat(terms.mk_term(Kind.NOT, [together])) == Result.UNSAT:
            solver.assert_formula(together)
            return None
        names = [name for name, term in good.items() if not solver.get_value(term).value()]
        values = [{name: int(solver.get_value(term).value(10))
                   for name, term in run.named(k).items()} for k in range(step + 1)]
        return Refuted(names[0], step, values)
