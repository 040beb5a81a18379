"""Proofs about gateware: bounded model checking and k-induction with an SMT solver.

A `Spec` is a module with the component under test, free inputs, assumptions and properties, each
one bit that must be high in every clock. Yosys turns it into BTOR2, `model` unrolls that, and
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
        self._assumed: list[str] = []
        self._initially: list[str] = []
        self._proved: dict[str, str] = {}
        self._related: dict = {}
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

    def _output(self, name: str, value) -> str:
        signal = Signal(name=name)
        self.m.d.comb += signal.eq(value)
        self._ports.append(signal)
        return name

    def assume(self, value) -> None:
        """Look only at runs in which `value` is true in every clock."""
        self._assumed.append(self._output(f"assume{len(self._assumed)}", value.bool()))

    def initially(self, value) -> None:
        """Look only at runs in which `value` is true in the first clock."""
        self._initially.append(self._output(f"initially{len(self._initially)}", value.bool()))

    def always(self, name: str, value) -> None:
        """`value` is to be true in every clock."""
        self._proved[name] = self._output(f"prove{len(self._proved)}", value.bool())

    def relate(self, name: str, test) -> None:
        """A property of registers and inputs within: ``test(run, step)`` gives its term."""
        self._related[name] = test

    def at_most(self, register: str, limit: int) -> None:
        """A register within, by its path such as ``uart.half``, is never above `limit`."""
        def test(run: Unrolling, step: int):
            term = run.named(step)[register]
            bound = run.terms.mk_bv_value(term.sort(), limit)
            return run.terms.mk_term(Kind.BV_ULE, [term, bound])
        self.relate(f"{register} <= {limit}", test)

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
                self._circuit = Circuit((work / "top.btor").read_text())
        return self._circuit

    def bounded(self, clocks: int, *, free: bool = False) -> Refuted | None:
        """Search the first `clocks` clocks, from the reset or, `free`, from any state.

        A free start keeps registers whose names begin with ``ghost`` at their reset values.
        """
        run = Unrolling(self.circuit, free=free)
        solver = self._solver(run)
        for name in self._initially:
            solver.assert_formula(run.output(name, 0))
        for step in range(clocks):
            self._assume(solver, run, step)
            found = self._search(solver, run, step)
            if found is not None:
                return found
        assert solver.check_sat() == Result.SAT, "the assumptions contradict each other"
        return None

    def inductive(self, clocks: int) -> Refuted | None:
        """Prove for all time: so many clocks from the reset, and any one after so many good ones.

        A result whose step is `clocks` may stem from a state that no run reaches: then the
        properties are too weak to be inductive, or `clocks` is too small.
        """
        found = self.bounded(clocks)
        if found is not None:
            return found
        run = Unrolling(self.circuit, free=True, ghosts="\0")
        solver = self._solver(run)
        for step in range(clocks):
            self._assume(solver, run, step)
            for term in self._properties(run, step).values():
                solver.assert_formula(term)
        self._assume(solver, run, clocks)
        return self._search(solver, run, clocks)

    @staticmethod
    def _solver(run: Unrolling) -> Bitwuzla:
        options = Options()
        options.set(Option.PRODUCE_MODELS, True)
        return Bitwuzla(run.terms, options)

    def _assume(self, solver, run: Unrolling, step: int) -> None:
        for name in self._assumed:
            solver.assert_formula(run.output(name, step))

    def _properties(self, run: Unrolling, step: int) -> dict:
        good = {name: run.output(port, step) for name, port in self._proved.items()}
        return good | {name: test(run, step) for name, test in self._related.items()}

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
