"""Export: the core without board and link, as Verilog, and a description of its ports."""

import re
from dataclasses import asdict, dataclass
from importlib import metadata

from amaranth.hdl import Shape, Value
from amaranth.lib.wiring import Flow, In

from . import ir, tools
from .errors import ConfigError, GraphError
from .lower import core as lower_core
from .lower import design_hash
from .passes.folding import event_driven
from .passes.schedule import inference_cycles, load_cycles
from .weights_image import sprams

FORMAT = 1
#: What a synthesiser needs to know: without them, block memories become flip-flops.
ATTRIBUTES = ("ram_style", "parallel_case")

MEANINGS = {
    "clk": "clock; everything happens at its rising edge",
    "rst": "synchronous reset; registers also have initial values",
    "pixels_valid": "a byte of the image is offered",
    "pixels_ready": "the byte is taken at the next rising edge at which both are high",
    "pixels_payload": "the byte",
    "restart": "one clock before each image: forgets bytes received and any inference under way",
    "start": "one clock, after the last byte was taken: the image is complete",
    "done": "scores and class are there; stays high until the next restart",
    "cls": "the class, while done is high: the largest score, ties to the lowest class",
    "select": "the class whose score is asked for",
    "score": "the score of class select, two's complement, from one clock after select was set",
    "steps": "timesteps of an inference, from 1 to those of the network; hold it until done",
    "shift": "run-time length: every bitstream stops after L >> shift clocks; hold it until done",
}
#: What only a board's link and proof builds use: inputs keep their initial values.
LEFT_OUT = ("trace", "word", "failed", "counter")
BYTES = {
    "rate": "one byte per pixel, 0..255, in index order",
    "stream": "one byte per pixel, 0..255, in index order",
    "spikes": "one frame per timestep, each from a byte of its own on: input 0 is the lowest bit "
              "of its first byte; the bits above the last input are ignored",
}


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port of the exported module; width in bits, `rest` what its bench holds an input at."""

    name: str
    direction: str
    width: int
    signed: bool
    rest: int
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Description:
    """The exported module: all that its README and its bench have to know.

    latency: rising edges from the one that takes `start` to the one after which `done` is high, if
    `start` comes at least `load_clocks` after the last byte; up to `load_clocks` more if not.
    Where it is `event_driven` it depends on the spikes, and this is the most that can be.
    """

    module: str
    design: str
    encoder: str
    bytes_per_image: int
    byte_format: str
    inputs: int
    classes: int
    num_steps: int
    latency: int
    event_driven: bool
    load_clocks: int
    ports: tuple[Port, ...]
    graph: str

    def document(self) -> dict:
        """The content of core.json."""
        return {"format": FORMAT, "spikeloom": metadata.version("spikeloom"), **asdict(self)}


def module_name(run: str) -> str:
    """The module of a run directory's network, unless another name is asked for."""
    return "spikeloom_" + re.sub(r"\W", "_", run, flags=re.ASCII)


def check_module(name: str) -> None:
    """Raise ConfigError for what Verilog would have to escape; reserved words are seen later."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(f"--module must be a Verilog identifier (letters, digits and _, no digit "
                          f"first), not {name!r}")


def core_ports(core) -> dict[str, tuple[Flow, Value]]:
    """The ports of a core that a design around it uses, by name, without those of `LEFT_OUT`."""
    return {"_".join(path): (member.flow, Value.cast(value))
            for path, member, value in core.signature.flatten(core) if path[0] not in LEFT_OUT}


def export(graph: ir.Graph, module: str, *, note=None) -> tuple[str, Description]:
    """Verilog of the core of a scheduled graph, in one file whose top is `module`, and its ports.

    Raises ConfigError for a reserved word as name, GraphError for weights in SPRAM, ToolError as
    `tools.yosys`.
    """
    check_module(module)
    if count := sprams(graph):
        raise GraphError("memory must be 'ebr' or 'lut' in a core that is exported, not 'spram' as "
                         f"in this one, whose {count} SPRAMs nobody would load")
    core = lower_core(graph)
    values = core_ports(core)
    verilog = tools.amaranth_verilog(
        core, name=module, ports={name: (value, None) for name, (_, value) in values.items()},
        attributes=True, note=note)
    if f"\nmodule {module}(" not in verilog:
        raise ConfigError(f"--module must be no reserved word of Verilog, as {module!r} is; choose "
                          "another name")
    ports = [_port(graph, name, True, Shape(1)) for name in ("clk", "rst")]
    ports += [_port(graph, name, flow == In, value.shape())
              for name, (flow, value) in values.items()]
    description = Description(
        module=module, design=design_hash(graph).hex(), encoder=graph.input.encoder,
        bytes_per_image=core.n_inputs, byte_format=BYTES[graph.input.encoder],
        inputs=graph.input.size, classes=core.n_classes, num_steps=graph.num_steps,
        latency=latency(graph, inference_cycles(graph)), event_driven=event_driven(graph),
        load_clocks=load_cycles(graph), ports=tuple(ports), graph=graph.text())
    return _header(description) + _stripped(verilog), description


def latency(graph: ir.Graph, cycles: int) -> int:
    """Rising edges from the one that takes `start` to the one after which `done` is high.

    cycles: clocks of the inference (`schedule.inference_cycles`). For `stream` the encoder's first
    one is a clock later, once it has seen that its columns are complete; a folded layer has none.
    """
    columns = graph.input.encoder == "stream" and graph.layers[0][0].lowering != "folded"
    return cycles + columns


def _port(graph: ir.Graph, name: str, is_input: bool, shape: Shape) -> Port:
    assert name in MEANINGS, f"say in MEANINGS what the core's port {name} is for, or leave it out"
    return Port(name=name, direction="input" if is_input else "output", width=shape.width,
                signed=shape.signed, rest=graph.num_steps if name == "steps" else 0,
                meaning=MEANINGS[name])


def _header(description: Description) -> str:
    return (f"// {description.module}: the core of spikeloom design {description.design}, generated"
            "; README.md describes\n// its ports.\n")


def _stripped(verilog: str) -> str:
    """Verilog without attributes other than `ATTRIBUTES`."""
    return re.sub(rf"\(\* (?!(?:{'|'.join(ATTRIBUTES)})\b)[^*]*\*\)\s?", "", verilog)


def readme(description: Description) -> str:
    """The port description as Markdown."""
    d = description
    rows = [f"| `{port.name}` | {port.direction} | {port.width}{' signed' if port.signed else ''} "
            f"| {port.meaning} |" for port in d.ports]
    last = d.classes - 1
    early = (f"\n   If `start` comes within {d.load_clocks} clocks of the last byte, it may be up "
             f"to {d.load_clocks}\n   edges later." if d.load_clocks else "")
    done = f"`done` is high from the {d.latency}th rising edge on after the one that takes `start`"
    done += (", or from an earlier one:\n   the fewer spikes, the fewer clocks." if d.event_driven
             else ".")
    return f"""# {d.module}

A spiking network as one Verilog module, without board and link: `core.v`, Verilog-2005, made by
spikeloom {metadata.version("spikeloom")}. Design {d.design}.
`core.json` says the same as this page, for programs.

| Port | Direction | Bits | Meaning |
|---|---|---|---|
{chr(10).join(rows)}

## One inference

1. `restart` high for one clock.
2. {d.bytes_per_image} bytes through `pixels_*`: {d.byte_format}. A byte is
   taken at every rising edge at which `pixels_valid` and `pixels_ready` are high; once offered, it
   has to stay until then. Gaps are allowed.
3. `start` high for one clock, after the last byte was taken.
4. {done}{early}
5. `cls` is the class, 0..{last}. Set `select` to 0..{last}, wait one clock, read `score`.

The network runs for {d.num_steps} timesteps. All signals belong to the clock domain of `clk`.

## Check it

    iverilog -g2005 -o bench.vvp bench.v core.v && vvp -n bench.vvp

`bench.v` sends the images of `pixels.hex` and compares every score, every class and the clocks of
every inference with `scores.hex`, `classes.hex` and `clocks.hex`, which the integer reference model
made. It prints every difference, then a line that begins with PASS or FAIL. A failure ends by
`$fatal`, in Icarus with exit code 1.

## The network

```
{d.graph.rstrip()}
```
"""
