// An SPI flash as `spi_flash.SpiFlash` is one, in Verilog: mode 0, single bits, asleep until it is
// woken, and as strict. Whatever it need not understand is said, and ends the simulation.
//
// FILE is its content from byte AT on; there are zeros in front of it, and it is erased behind. A
// read goes on at 0 behind SIZE bytes. `lost` is high while it has no power: it sleeps afterwards.
// Times are in ns: DESELECTED and WAKING between two commands, PERIOD of the clock in a read.

`timescale 1ns/1ps

module spi_flash #(
  parameter FILE = "weights.bin",
  parameter integer AT = 0,
  parameter integer SIZE = 1 << 22,
  parameter integer MOST = 1 << 18,  // bytes of FILE
  parameter integer READ = 0,
  parameter integer WAKE = 0,
  parameter integer ADDRESS_BITS = 24,
  parameter real DESELECTED = 0,
  parameter real WAKING = 0,
  parameter real PERIOD = 0
)(input cs_n, input clk, input copi, input lost, output reg cipo);
  localparam real SETTLED = 0.001;  // after a change, until all that changes with it has changed
  localparam real NEVER = -1e12;

  reg [7:0] content [0:MOST-1];
  integer file, length;
  initial begin
    file = $fopen(FILE, "rb");
    length = file ? $fread(content, file) : 0;
  end

  reg asleep, was_deselected, was_high, was_copi, deselected, high, level;
  reg [7:0] opcode, data;
  reg [ADDRESS_BITS-1:0] address;
  integer taken;
  real ready, risen, now;

  task power_down;
    begin
      asleep = 1;
      {was_deselected, was_high, was_copi} = 3'b100;
      ready = NEVER;
      risen = NEVER;
      taken = 0;
      opcode = 0;
      cipo = 1;
    end
  endtask

  reg over = 0;
  reg [8*80:1] text;
  task complain;
    input [8*80:1] what;
    begin
      if (!over)
        $display("SpikeloomError: the simulated SPI flash: %0s; this must never happen, please %0s",
                 what, "report it");
      over = 1;
      $finish;
    end
  endtask

  task take;
    begin
      if (taken < 8)
        opcode = {opcode[6:0], level};
      else if (taken < 8 + ADDRESS_BITS)
        address = {address[ADDRESS_BITS-2:0], level};
      taken = taken + 1;
      if (taken == 8) begin
        if (opcode != READ && opcode != WAKE) begin
          $sformat(text, "it has no opcode 0x%02x here", opcode);
          complain(text);
        end else if (asleep && opcode != WAKE) begin
          $sformat(text, "it is asked for 0x%02x in deep power-down", opcode);
          complain(text);
        end
      end
    end
  endtask

  task shift;
    integer bits, at;
    begin
      bits = taken - 8 - ADDRESS_BITS;
      if (bits >= 0 && opcode == READ) begin
        at = (address + bits / 8) % SIZE;
        data = at < AT ? 0 : at - AT < length ? content[at - AT] : 8'hFF;
        cipo = data[7 - bits % 8];
      end
    end
  endtask

  task deselect;
    begin
      if (high || was_high)
        complain("it is deselected while its clock is high");
      if (taken < 8 || taken % 8) begin
        $sformat(text, "a command ends after %0d bits", taken);
        complain(text);
      end
      ready = now + DESELECTED;
      if (opcode == WAKE) begin
        asleep = 0;
        ready = now + WAKING;
      end
    end
  endtask

  initial power_down;

  always @(cs_n or clk or copi or lost) begin
    #(SETTLED);
    now = $realtime - SETTLED;
    // What is unknown is no command.
    {deselected, high, level} = ^{cs_n, clk, copi} === 1'bx ? 3'b100 : {cs_n, clk, copi};
    if (lost)
      power_down;
    else if (deselected) begin
      cipo = 1;
      if (!was_deselected)
        deselect;
      else if (high != was_high)
        complain("its clock runs while it is not selected");
    end else if (was_deselected) begin
      if (high || was_high)
        complain("it is selected while its clock is high, which is not mode 0");
      if (now < ready)
        complain("it is selected before it is ready for another command");
      taken = 0;
    end else if (high && !was_high) begin
      if (level != was_copi)
        complain("its input changes with the rising edge, which is not mode 0");
      if (now - risen < PERIOD * (1 - 1e-6)) begin
        $sformat(text, "its clock is faster than %0.0f MHz", 1e3 / PERIOD);
        complain(text);
      end
      risen = now;
      take;
    end else if (!high && was_high)
      shift;
    if (!lost)
      {was_deselected, was_high, was_copi} = {deselected, high, level};
  end
endmodule
