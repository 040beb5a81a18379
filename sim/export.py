"""The bench of an exported core: plain Verilog, with vectors from the reference model."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..flow import ir, tools
from ..flow.errors import ToolError
from ..flow.export import Description, Port, latency
from ..hdl.readout import SCORE_BITS
from . import reference
from .images import payload
from .seen import cycles

_BENCH = """\
// Self-checking bench of {module}: prints each difference, then PASS or FAIL.
// Vectors are read from the current directory. Inputs change, and outputs are read, at falling
// edges, so it also serves for a netlist with delays.
`timescale 1ns/1ps

module {module}_bench;
  localparam IMAGES = {images};
  localparam BYTES = {bytes};
  localparam CLASSES = {classes};
  localparam LOAD = {load};  // an early start may cost up to as many clocks
  localparam PATIENCE = {patience};

{declarations}

  {module} dut(
{connections});

  reg [7:0] pixels [0:IMAGES * BYTES - 1];
  reg signed [{score_top}:0] scores [0:IMAGES * CLASSES - 1];
  reg [7:0] classes [0:IMAGES - 1];
  reg [31:0] clocks [0:IMAGES - 1];
  reg signed [{score_top}:0] expected;
  integer image, index, waited, took, least, most, differences;

  always #5 clk = ~clk;

  task pulse_restart;
    begin
      restart = 1;
      @(negedge clk);
      restart = 0;
    end
  endtask

  task send(input [7:0] value);
    begin
      pixels_valid = 1;
      pixels_payload = value;
      waited = 0;
      while (pixels_ready !== 1) begin
        @(negedge clk);
        waited = waited + 1;
        if (waited > PATIENCE) begin
          $display("FAIL: image %0d: pixels_ready stays low at byte %0d", image, index);
          $fatal;
        end
      end
      @(negedge clk);
      pixels_valid = 0;
    end
  endtask

  task infer;
    begin
      pulse_restart;
      if (image % 2 == 1) begin  // a byte that the next restart must forget
        index = 0;
        send(8'hff);
        pulse_restart;
      end
      for (index = 0; index < BYTES; index = index + 1) begin
        if ((image + index) % 5 == 0) @(negedge clk);  // a gap
        send(pixels[image * BYTES + index]);
      end
      if (image == 0) repeat (LOAD) @(negedge clk);
      start = 1;
      @(negedge clk);
      start = 0;
      took = 0;
      while (done !== 1) begin
        @(negedge clk);
        took = took + 1;
        if (took > PATIENCE) begin
          $display("FAIL: image %0d: done stays low", image);
          $fatal;
        end
      end
    end
  endtask

  task check;
    begin
      if (took < clocks[image] || took > clocks[image] + (image == 0 ? 0 : LOAD)) begin
        $display("image %0d: took %0d clocks, expected %0d", image, took, clocks[image]);
        differences = differences + 1;
      end
      if (cls !== classes[image]) begin
        $display("image %0d: class %0d, expected %0d", image, cls, classes[image]);
        differences = differences + 1;
      end
      for (index = 0; index < CLASSES; index = index + 1) begin
        select = index;
        repeat (2) @(negedge clk);
        expected = scores[image * CLASSES + index];
        if (score !== expected) begin
          $display("image %0d, class %0d: score %0d, expected %0d", image, index, score, expected);
          differences = differences + 1;
        end
      end
      if (image == 0 || took < least) least = took;
      if (image == 0 || took > most) most = took;
    end
  endtask

  initial begin
    $readmemh("pixels.hex", pixels);
    $readmemh("scores.hex", scores);
    $readmemh("classes.hex", classes);
    $readmemh("clocks.hex", clocks);
{rests}
    differences = 0;
    rst = 1;
    repeat (4) @(negedge clk);
    rst = 0;
    for (image = 0; image < IMAGES; image = image + 1) begin
      infer;
      check;
    end
    if (differences != 0) begin
      $display("FAIL: %0d differences in %0d images", differences, IMAGES);
      $fatal;
    end
    $display("PASS: %0d images, %0d scores equal, %0d to %0d clocks each", IMAGES,
             IMAGES * CLASSES, least, most);
    $finish;
  end
endmodule
"""


def bench(graph: ir.Graph, images: np.ndarray, description: Description) -> dict[str, str]:
    """The bench and its vectors for images [batch, *input_shape], by name of file."""
    d = description
    wanted = reference.run(graph, images, trace=True)
    clocks = [latency(graph, count) for count in cycles(graph, images, wanted)]
    inputs = [port for port in d.ports if port.direction == "input"]
    text = _BENCH.format(
        module=d.module, images=len(images), bytes=d.bytes_per_image, classes=d.classes,
        load=d.load_clocks, patience=2 * (d.latency + d.load_clocks) + 1000,
        score_top=SCORE_BITS - 1,
        rests="\n".join(f"    {port.name} = {port.rest};" for port in inputs),
        declarations="\n".join(map(_declaration, d.ports)),
        connections=",\n".join(f"    .{port.name}({port.name})" for port in d.ports))
    mask = (1 << SCORE_BITS) - 1
    return {
        "bench.v": text,
        "pixels.hex": _hex((byte for image in images for byte in payload(graph, image)), 2),
        "scores.hex": _hex((int(score) & mask for score in wanted.scores.flat), SCORE_BITS // 4),
        "classes.hex": _hex(map(int, wanted.classes), 2),
        "clocks.hex": _hex(clocks, 8),
    }


def _declaration(port: Port) -> str:
    kind = "reg" if port.direction == "input" else "wire"
    sign = " signed" if port.signed else ""
    bits = f" [{port.width - 1}:0]" if port.width > 1 else ""
    return f"  {kind}{sign}{bits} {port.name};"


def _hex(numbers, digits: int) -> str:
    return "".join(f"{number:0{digits}x}\n" for number in numbers)


def check(folder: Path, *, timeout: float = 3600.0) -> tuple[bool, list[str]]:
    """Run the bench of an export with Icarus: whether it passed, and what it printed.

    Raises ToolError if Icarus is missing, cannot read the Verilog, or takes longer than `timeout`
    seconds.
    """
    compiler, = tools.prepare(["iverilog"])
    simulator = replace(compiler, path=compiler.path.with_name("vvp"))
    with TemporaryDirectory(prefix="spikeloom-") as work:
        program, log = Path(work) / "bench.vvp", Path(work) / "bench.log"
        sources = ["bench.v", "core.v"]
        ran = tools.run(compiler, ["-g2005", "-o", str(program), *sources], cwd=folder, log=log,
                        timeout=timeout)
        if ran.problem:
            raise ToolError(f"{folder}: iverilog cannot read {' and '.join(sources)}: "
                            f"{ran.problem}")
        ran = tools.run(simulator, ["-n", str(program)], cwd=folder, log=log, timeout=timeout)
        lines = log.read_text(errors="replace").splitlines()
    verdicts = [line for line in lines if line.startswith(("PASS: ", "FAIL: "))]
    if not verdicts:
        raise ToolError(f"{folder}: bench.v came to no end: {ran.problem or 'it said nothing'}")
    passed = not ran.problem and verdicts[-1].startswith("PASS: ")
    return passed, lines[:lines.index(verdicts[-1]) + 1]
