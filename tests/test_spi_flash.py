"""The models of the flash, in Python and in Verilog: what they answer, and what they do not put up
with.
"""

import subprocess
from functools import lru_cache

import pytest

from spikeloom.flow.errors import SpikeloomError
from spikeloom.sim.probe import FLASH_MODEL, flash_parameters
from spikeloom.sim.spi_flash import DESELECTED, PERIOD, WAKING, SpiFlash

CONTENT = bytes(range(1, 101))
#: Sets the pins as `steps.txt` says, at these times, and shows what comes back 2 ps later.
BENCH = """`timescale 1ns/1ps
module bench;
  reg cs_n = 1, clk = 0, copi = 0, lost = 0, a, b, c, d;
  wire cipo;
  spi_flash #({parameters}, .SIZE({size})) flash(cs_n, clk, copi, lost, cipo);
  integer steps;
  real at;
  initial begin
    steps = $fopen("steps.txt", "r");
    while ($fscanf(steps, "%f %b %b %b %b\\n", at, a, b, c, d) == 5) begin
      #(at - $realtime);
      {{lost, cs_n, clk, copi}} = {{a, b, c, d}};
      #0.002 $display("%b", cipo);
    end
    $finish;
  end
endmodule
"""


class Recorded(SpiFlash):
    """Keeps the `steps` of its pins, (ns, power lost, *levels), and what it `said` to each."""

    def __init__(self, content, **options):
        self.steps, self.said = [], []
        super().__init__(content, **options)

    def power_down(self):
        super().power_down()
        if self.steps:
            now = self.steps[-1][0]
            self.steps += [(now + 1, 1, 1, 0, 0), (now + 2, 0, 1, 0, 0)]
            self.said += ["1", "1"]

    def pins(self, cs_n, clk, copi, now):
        self.steps.append((1e9 * now, 0, cs_n, clk, copi))
        try:
            out = super().pins(cs_n, clk, copi, now)
        except SpikeloomError as error:
            self.said.append(f"SpikeloomError: {error}")
            raise
        self.said.append(str(out))
        return out


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The model in Verilog for a size of the flash."""
    @lru_cache
    def build(size):
        folder = tmp_path_factory.mktemp("flash")
        bench, found = folder / "bench.v", folder / "bench.vvp"
        bench.write_text(BENCH.format(parameters=flash_parameters("content.bin", 0), size=size))
        subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", found, bench, FLASH_MODEL],
                       check=True)
        return found
    return build


@pytest.fixture
def flash(compiled, tmp_path):
    """Makes flashes of CONTENT; in the end those in Verilog must have said the same."""
    made = []

    def make(**options):
        made.append(Recorded(CONTENT, **options))
        return made[-1]

    yield make
    (tmp_path / "content.bin").write_bytes(CONTENT)
    for one in made:
        (tmp_path / "steps.txt").write_text("".join(
            f"{at:.3f} {lost} {cs_n} {clk} {copi}\n" for at, lost, cs_n, clk, copi in one.steps))
        ran = subprocess.run(["vvp", compiled(one.size)], cwd=tmp_path, check=True,
                             capture_output=True, text=True)
        assert ran.stdout.lower().splitlines() == [said.lower() for said in one.said]


@pytest.fixture
def awake(flash):
    def make(**options):
        master = Master(flash(**options))
        master.wake()
        return master
    return make


class Master:
    """Drives the pins of a flash by hand, `half` a period of the clock at a time."""

    def __init__(self, flash, half=PERIOD):
        self.flash, self.half, self.now = flash, half, 0.0
        self.cs_n, self.clk, self.copi, self.cipo = 1, 0, 0, 1

    def set(self, wait=None, **levels):
        self.now += self.half if wait is None else wait
        for name, level in levels.items():
            setattr(self, name, level)
        self.cipo = self.flash.pins(self.cs_n, self.clk, self.copi, self.now)

    def byte(self, value=0):
        got = 0
        for k in reversed(range(8)):
            self.set(copi=value >> k & 1)
            self.set(clk=1)
            got = got << 1 | self.cipo
            self.set(clk=0)
        return got

    def command(self, *sent, read=0):
        self.set(wait=2 * DESELECTED, cs_n=0)
        for value in sent:
            self.byte(value)
        got = bytes(self.byte() for _ in range(read))
        self.set(cs_n=1)
        return got

    def wake(self):
        self.command(0xAB)
        self.now += WAKING


@pytest.mark.parametrize("address,n", [(0, 5), (37, 1), (98, 4), (0x010203, 2)])
def test_it_reads_from_an_address_on_and_is_erased_behind_its_content(awake, address, n):
    master = awake()
    got = master.command(3, *address.to_bytes(3, "big"), read=n)
    assert got == (CONTENT + b"\xff" * n)[address:address + n].ljust(n, b"\xff")
    assert master.flash.reads == [address]


def test_behind_its_end_it_goes_on_at_its_beginning(awake):
    assert awake(size=128).command(3, 0, 0, 126, read=4) == b"\xff\xff\1\2"


def test_it_may_be_woken_again_and_sleeps_after_a_configuration(awake):
    master = awake()
    master.wake()
    assert master.command(3, 0, 0, 0, read=2) == CONTENT[:2]
    master.flash.power_down()
    with pytest.raises(SpikeloomError, match="asked for 0x03 in deep power-down"):
        master.command(3, 0, 0, 0, read=1)


@pytest.mark.parametrize("abuse,what", [
    (lambda m: m.command(0x9F), "no opcode 0x9F"),
    (lambda m: m.command(0x0B, 0, 0, 0), "no opcode 0x0B"),
    (lambda m: (m.set(clk=1), m.set(clk=0)), "clock runs while it is not selected"),
    (lambda m: (m.set(clk=1, cs_n=0)), "selected while its clock is high"),
    (lambda m: (m.set(wait=1, cs_n=0), m.set(clk=1), m.set(cs_n=1)), "deselected while its clock"),
    (lambda m: (m.set(wait=1, cs_n=0), m.set(clk=1), m.set(clk=0), m.set(cs_n=1)),
     "a command ends after 1 bits"),
    (lambda m: (m.set(wait=1, cs_n=0), m.set(clk=1, copi=0)), "changes with the rising edge"),
    (lambda m: (m.set(wait=1, cs_n=0), setattr(m, "half", PERIOD / 4), m.byte(3)),
     "faster than 50 MHz"),
    (lambda m: (m.command(0xAB), m.set(wait=WAKING / 2, cs_n=0)), "before it is ready"),
    (lambda m: (m.command(3, 0, 0, 0, read=1), m.set(wait=DESELECTED / 2, cs_n=0)),
     "before it is ready"),
])
def test_what_it_need_not_understand_ends_the_simulation(awake, abuse, what):
    with pytest.raises(SpikeloomError, match=f"the simulated SPI flash: .*{what}"):
        abuse(awake())
