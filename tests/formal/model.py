"""A synchronous circuit as bit vector terms, unrolled clock by clock: BTOR2 in, Bitwuzla terms out.

BTOR2 (Niemetz et al., CAV 2018) is what Yosys' `write_btor` writes: one line a node, every node
before its use. Memories must have been mapped to registers; there are no arrays here.
"""

from bitwuzla import Kind, TermManager

#: BTOR2 operators that are one Bitwuzla operator on bit vectors.
PLAIN = {
    "not": Kind.BV_NOT, "neg": Kind.BV_NEG, "inc": Kind.BV_INC, "dec": Kind.BV_DEC,
    "redor": Kind.BV_REDOR, "redand": Kind.BV_REDAND, "redxor": Kind.BV_REDXOR,
    "and": Kind.BV_AND, "or": Kind.BV_OR, "xor": Kind.BV_XOR, "nand": Kind.BV_NAND,
    "nor": Kind.BV_NOR, "xnor": Kind.BV_XNOR, "add": Kind.BV_ADD, "sub": Kind.BV_SUB,
    "mul": Kind.BV_MUL, "sll": Kind.BV_SHL, "srl": Kind.BV_SHR, "sra": Kind.BV_ASHR,
    "concat": Kind.BV_CONCAT, "eq": Kind.BV_COMP,
}
#: Those that give a truth value, which BTOR2 holds to be a vector of one bit.
ORDER = {
    "ult": Kind.BV_ULT, "ulte": Kind.BV_ULE, "ugt": Kind.BV_UGT, "ugte": Kind.BV_UGE,
    "slt": Kind.BV_SLT, "slte": Kind.BV_SLE, "sgt": Kind.BV_SGT, "sgte": Kind.BV_SGE,
}


class Circuit:
    """The nodes of a BTOR2 text; `outputs` and `states` are node numbers by name.

    aliases: inputs that are no inputs, but the register of this name.
    """

    def __init__(self, text: str, aliases: dict[str, str]) -> None:
        self.sorts: dict[int, int] = {}
        self.nodes: list[tuple[int, str, int, list[int], str]] = []
        self.init: dict[int, int] = {}
        self.next: dict[int, int] = {}
        self.outputs: dict[str, int] = {}
        for line in text.splitlines():
            words = line.split(";")[0].split()
            if not words:
                continue
            node, op, rest = int(words[0]), words[1], words[2:]
            if op == "sort":
                assert rest[0] == "bitvec", line
                self.sorts[node] = int(rest[1])
            elif op == "output":
                self.outputs[rest[1]] = int(rest[0])
            elif op in ("init", "next"):
                getattr(self, op)[int(rest[1])] = int(rest[2])
            else:
                width, rest = self.sorts[int(rest[0])], rest[1:]
                arity = {"const": 1, "state": 0, "input": 0, "uext": 2, "sext": 2, "slice": 3,
                         "ite": 3, "zero": 0, "one": 0, "ones": 0}.get(op)
                if arity is None:
                    assert op in PLAIN or op in ORDER or op in ("neq", "iff"), line
                    arity = 1 if op in ("not", "neg", "inc", "dec") or op.startswith("red") else 2
                args = [rest[0]] if op == "const" else [int(word) for word in rest[:arity]]
                name = rest[arity] if len(rest) > arity else f"${node}"
                self.nodes.append((node, op, width, args, name))
        self.states = {name: node for node, op, _, _, name in self.nodes if op == "state"}
        missing = set(aliases.values()) - set(self.states)
        assert not missing, f"no register {missing}, there are {sorted(self.states)}"
        self.aliases = {name: self.states[path] for name, path in aliases.items()}
        # Registers depend on nothing within a clock, but on constants that they start with.
        order = {"const": 0, "zero": 0, "one": 0, "ones": 0, "state": 1}
        self.nodes.sort(key=lambda item: order.get(item[1], 2))


class Unrolling:
    """Copies of a circuit's nodes, one per clock; registers begin at reset values, or `free`."""

    def __init__(self, circuit: Circuit, *, free: bool = False) -> None:
        self.circuit, self.free = circuit, free
        self.terms = TermManager()
        self.steps: list[dict[int, object]] = []

    def output(self, name: str, step: int):
        """The term of an output in a clock, as a truth value."""
        while len(self.steps) <= step:
            self._step()
        bit = self.steps[step][self.circuit.outputs[name]]
        return self.terms.mk_term(Kind.EQUAL, [bit, self.terms.mk_bv_value(bit.sort(), 1)])

    def named(self, step: int) -> dict[str, object]:
        """The terms of registers and inputs in a clock, by name."""
        return {name: self.steps[step][node] for node, op, _, _, name in self.circuit.nodes
                if op in ("state", "input") and not name.startswith("$")}

    def _step(self) -> None:
        terms, step, new = self.terms, len(self.steps), {}
        before = self.steps[-1] if self.steps else None
        for node, op, width, args, name in self.circuit.nodes:
            sort = terms.mk_bv_sort(width)
            if op == "state":
                if before is not None and node in self.circuit.next:
                    new[node] = before[self.circuit.next[node]]
                elif before is None and node in self.circuit.init and not self.free:
                    new[node] = new[self.circuit.init[node]]
                else:
                    new[node] = terms.mk_const(sort, f"{name}@{step}")
            elif name in self.circuit.aliases:
                register = new[self.circuit.aliases[name]]
                new[node] = terms.mk_term(Kind.BV_ZERO_EXTEND, [register],
                                          [width - register.sort().bv_size()])
            elif op == "input":
                new[node] = terms.mk_const(sort, f"{name}@{step}")
            elif op == "const":
                new[node] = terms.mk_bv_value(sort, args[0], 2)
            elif op in ("zero", "one", "ones"):
                new[node] = getattr(terms, f"mk_bv_{op}")(sort)
            elif op in ("uext", "sext"):
                kind = Kind.BV_ZERO_EXTEND if op == "uext" else Kind.BV_SIGN_EXTEND
                new[node] = terms.mk_term(kind, [new[args[0]]], [args[1]])
            elif op == "slice":
                new[node] = terms.mk_term(Kind.BV_EXTRACT, [new[args[0]]], args[1:])
            elif op == "ite":
                condition = terms.mk_term(Kind.EQUAL, [
                    new[args[0]], terms.mk_bv_one(terms.mk_bv_sort(1))])
                new[node] = terms.mk_term(Kind.ITE, [condition, new[args[1]], new[args[2]]])
            elif op in ORDER:
                truth = terms.mk_term(ORDER[op], [new[a] for a in args])
                new[node] = terms.mk_term(Kind.ITE, [truth, terms.mk_bv_one(sort),
                                                     terms.mk_bv_zero(sort)])
            elif op == "neq":
                same = terms.mk_term(Kind.BV_COMP, [new[a] for a in args])
                new[node] = terms.mk_term(Kind.BV_NOT, [same])
            else:
                new[node] = terms.mk_term(PLAIN[op], [new[a] for a in args])
        self.steps.append(new)
