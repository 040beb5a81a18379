"""Nonsense for the link: random and mutated frames into the pins of a design.

After every frame, and a pause in which the link may answer it, a good request must be answered
exactly as ever: a design that does not is wedged. Bytes, wrong rates and resets are on a tape,
which a bench in C++ plays to what Yosys' CXXRTL makes of the design, by far the fastest simulation
of those here.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.back import rtlil

from ..flow import tools
from ..flow.errors import ToolError
from ..hdl.checksum import crc16
from ..hdl.protocol import CHECKSUM_BYTES, SYNC_REPLY, SYNC_REQUEST, Command, Status, frame
from ..hdl.uart import MIN_DIVISOR

#: Most bytes of a frame, and the bit times of the silence that the design is built with.
LONGEST, SILENCE_BITS = 16, 5
#: Clocks per bit of those that come at a wrong rate.
WRONG_RATES = (1, 2, 3, 5, 6, 8, 13)
TIMEOUT = 3600.0

_BENCH = """#define CXXRTL_NDEBUG  // an address may be out of range in a clock that writes nothing
#include "top.cc"
#include <cstdio>
cxxrtl_design::p_top top;
FILE *out;
long still, since = -1;
int byte;
void tick() {
  top.p_clk.set(false); top.step();
  top.p_clk.set(true); top.step();
  bool tx = top.p_tx.get<bool>();
  still = tx && top.p_rx.get<bool>() ? still + 1 : 0;
  if (since < 0) { if (!tx) { since = 0; byte = 0; } return; }
  since++;
  int bit = since / DIVISOR;
  if (since % DIVISOR == DIVISOR / 2 && bit >= 1 && bit <= 8) byte |= tx << (bit - 1);
  if (bit == 9 && since % DIVISOR == DIVISOR / 2) { fprintf(out, "%02x", byte); since = -1; }
}
void send(int value, int divisor) {
  for (int bit = -1; bit < 9; bit++) {
    top.p_rx.set(bit < 0 ? false : bit < 8 ? bool(value >> bit & 1) : true);
    for (int k = 0; k < divisor; k++) tick();
  }
}
int main() {
  FILE *tape = fopen("tape.hex", "r");
  out = fopen("log", "w");
  int word, divisor = DIVISOR;
  top.p_rx.set(true);
  while (fscanf(tape, "%x", &word) == 1) {
    int value = word & 255;
    switch (word >> 8) {
      case 0: send(value, divisor); break;
      case 1: still = 0; while (still < REST) tick(); break;
      case 2: divisor = value; break;
      case 3: top.p_rst.set(true); tick(); top.p_rst.set(false); break;
      case 4: fputc(value, out); break;
    }
  }
  fclose(out);
}
"""
_REST, _RATE, _RESET, _MARK = (code << 8 for code in range(1, 5))


@dataclass(frozen=True)
class Outcome:
    """What came of a tape: frames, the indices after which the design was wedged or had answered
    with something that is no reply, and how often each status answered a frame."""

    frames: int
    wedged: tuple[int, ...]
    broken: tuple[int, ...]
    answers: dict[Status, int]


def random_frames(rng: np.random.Generator, count: int, commands: Sequence[Command],
                  image_bytes: int) -> list[bytes]:
    """Frames of 1 to `LONGEST` bytes: noise, noise behind a sync byte, good ones damaged up to
    three times, and those with a right checksum over a wrong rest. None changes the rate.
    """
    def noise(most: int) -> bytes:
        return rng.integers(0, 256, rng.integers(0, most + 1), np.uint8).tobytes()

    def good() -> bytes:
        command = commands[rng.integers(len(commands))]
        size = {Command.INFER: image_bytes, Command.INFO: 0, Command.STATS: 0}.get(command, 2)
        return frame(SYNC_REQUEST, command, rng.integers(0, 256, size, np.uint8).tobytes())

    def damaged(data: bytes) -> bytes:
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(data)))
            data = (data[:at] + bytes([data[at] ^ 1 << rng.integers(8)]) + data[at + 1:],
                    data[:at] + data[at + 1:], data[:at] + noise(2) + data[at:],
                    data[:at + 1])[rng.integers(4)] or noise(3) or b"\0"
        return data

    def signed() -> bytes:
        body = bytes([rng.integers(0, 8)]) + rng.integers(0, 8, 2, np.uint8).tobytes()[:1]
        body += bytes([0]) + noise(LONGEST - 6)
        return bytes([SYNC_REQUEST]) + body + crc16(body).to_bytes(CHECKSUM_BYTES, "little")

    kinds = (lambda: noise(LONGEST), lambda: bytes([SYNC_REQUEST]) + noise(LONGEST - 1), good,
             lambda: damaged(good()), lambda: damaged(good()), signed)
    found: list[bytes] = []
    while len(found) < count:
        data = kinds[rng.integers(len(kinds))]()[:LONGEST]
        if data and not _lasts(data):
            found.append(data)
    return found


def _lasts(data: bytes) -> bool:
    """Whether a frame may hold a request that changes what the next ones meet."""
    lasting = (Command.DIVISOR, Command.STEPS, Command.SHIFT)
    bodies = (data[at + 1:at + 8] for at, byte in enumerate(data) if byte == SYNC_REQUEST)
    return any(len(body) == 7 and body[0] in lasting and crc16(body) == 0 for body in bodies)


def fuzz(top, frames: Sequence[bytes], probe: bytes, answer: bytes, rest: int, folder: Path, *,
         rng: np.random.Generator) -> Outcome:
    """Send frames to a `hdl.top.Top` with divisor 4, and `probe` after each.

    Its reply must be `answer`. One frame in ten comes at a wrong rate, one in twenty ends in a
    reset. rest: clocks without a change on the line after which all is answered. Raises ToolError
    if g++ or Yosys is missing or fails.
    """
    if shutil.which("g++") is None:
        raise ToolError("g++ is missing, which compiles the simulation; install it with: apt-get "
                        "install g++")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tape = []
    for data in frames:
        wrong = rng.random() < 0.1
        tape += [_RATE | WRONG_RATES[rng.integers(len(WRONG_RATES))]] if wrong else []
        tape += [*data, _RATE | MIN_DIVISOR]
        tape += [_RESET] if rng.random() < 0.05 else []
        tape += [_REST, _MARK | ord(" "), *probe, _REST, _MARK | ord("\n")]
    (folder / "tape.hex").write_text("\n".join(f"{word:04x}" for word in tape))
    design = rtlil.convert(top, name="top", ports=[top.rx, top.tx], emit_src=False)
    (folder / "top.cc").write_bytes(tools.yosys(
        "top.il", design, "read_rtlil top.il\nwrite_cxxrtl top.cc\n", "top.cc",
        what="write C++"))
    (folder / "bench.cc").write_text(_BENCH)
    for command in (["g++", "-O2", "-std=c++14", f"-I{tools.cxxrtl()}", f"-DREST={rest}",
                     f"-DDIVISOR={MIN_DIVISOR}", "-o", "bench", "bench.cc"], ["./bench"]):
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True,
                           timeout=TIMEOUT)
        except (subprocess.SubprocessError, OSError) as error:
            raise ToolError(f"{command[0]} failed ({error}); its files are in {folder}") from error
    return outcome((folder / "log").read_text(), len(frames), answer)


def outcome(log: str, frames: int, answer: bytes) -> Outcome:
    """Judge a log: per frame a line, what the design sent to it, a blank, what it sent then."""
    wedged, broken, answers = [], [], dict.fromkeys(Status, 0)
    lines = log.split("\n")[:-1]
    for index in range(frames):
        before, _, after = lines[index].partition(" ") if index < len(lines) else ("", "", "")
        if bytes.fromhex(after) != answer:
            wedged.append(index)
        try:
            for status in _statuses(bytes.fromhex(before)):
                answers[status] += 1
        except ValueError:
            broken.append(index)
    return Outcome(frames, tuple(wedged), tuple(broken), answers)


def _statuses(data: bytes):
    """The statuses of replies in a row; ValueError if it is anything else."""
    while data:
        size = 4 + int.from_bytes(data[2:4], "little") + CHECKSUM_BYTES
        reply, data = data[:size], data[size:]
        if len(reply) != size or reply[0] != SYNC_REPLY or crc16(reply[1:]):
            raise ValueError("no reply")
        yield Status(reply[1])
