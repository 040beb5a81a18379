# Thin: every target is one line of the command line, which has all the logic.

BOARD ?= icebreaker
DATA  ?= digits
DATA_DIR ?=
RUN   ?= runs/$(if $(filter digits,$(DATA)),default,$(DATA))
JOBS  ?= 2
SIM   ?= rtl
SEED  ?=
COUNT ?=
WAVES ?=
ONLY  ?=
ONE_IMAGE ?=
PORT  ?=
FILE  ?=

PYTHON    ?= $(shell command -v python3.11 || command -v python3)
SPIKELOOM  = .venv/bin/spikeloom
DATASETS   = $(if $(DATA_DIR),SPIKELOOM_DATASETS="$(DATA_DIR:~/%=$(HOME)/%)")
PIP        = .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt
APT        = [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null
INSTALL    = apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
             apt-get -qq install -y --no-install-recommends

# Install the system packages in $$missing where we may; else say in one line what they are for.
need = [ -z "$$missing" ] || { $(APT) && $(INSTALL) $$missing; } || \
	  echo "missing:$$missing, for $(1) (Debian: apt install$$missing)"

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup search synth sim test flash demo bench infer export doctor report clean
.PHONY: system system-sim system-test system-flash

help:
	@echo "make search synth            search networks for digits, build the chosen one: top.bin"
	@echo "make search synth DATA=mnist DATA_DIR=~/mnist     the same for MNIST, whose files you bring"
	@echo "make demo BOARD=icebreaker   build, check and flash the network that ships (no torch)"
	@echo
	@echo "make sim       replay test images on a rung of the ladder, compare with the reference model"
	@echo "make flash     program the board            make infer    classify on it, or simulated"
	@echo "make export    the core as Verilog, for a design of your own, with a bench that is run"
	@echo "make report    what a run has measured      make doctor   boards, tools, what is missing"
	@echo "make bench     this installation's figures  make test     everything but boards"
	@echo "make setup     .venv and system packages    make clean    remove .venv, keep runs/"
	@echo
	@echo "variables (now): BOARD=$(BOARD) DATA=$(DATA) RUN=$(RUN) JOBS=$(JOBS) SIM=$(SIM)"
	@echo "  DATA=name: examples/name.toml is searched (search)   DATA_DIR=folder of its files (bench, too)"
	@echo "  SIM=reference, amaranth, rtl, netlist, bitstream or, with PORT, board"
	@echo "  SEED=n (search, synth)  COUNT=n images (sim, infer, export)  WAVES=1 (sim)  PORT=/dev/ttyUSB1"
	@echo "  FILE=images (infer)  ONE_IMAGE=1 (flash: bitstream and weights as one file)"
	@echo "  ONLY=word (test, bench)  PYTHON=python3.11 (to make .venv)"

setup: .venv/full.stamp system

search: .venv/full.stamp
	$(DATASETS) $(SPIKELOOM) search --run $(RUN) --board $(BOARD) --jobs $(JOBS) \
	  $(if $(SEED),--seed $(SEED)) $(if $(wildcard $(RUN)/search.sqlite),--resume) \
	  examples/$(DATA).toml

synth: .venv/base.stamp
	$(SPIKELOOM) synth --run $(RUN) --board $(BOARD) $(if $(SEED),--seed $(SEED))

sim: .venv/full.stamp system-sim
	$(SPIKELOOM) sim --run $(RUN) --level $(SIM) --board $(BOARD) $(if $(PORT),--port $(PORT)) \
	  $(if $(COUNT),--count $(COUNT)) $(if $(WAVES),--waves)

test: .venv/test.stamp system-test
	.venv/bin/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile $(if $(ONLY),-k "$(ONLY)")

flash: .venv/base.stamp system-flash
	$(SPIKELOOM) flash --run $(RUN) --board $(BOARD) $(if $(ONE_IMAGE),--one-image)

demo: .venv/base.stamp system-flash
	$(SPIKELOOM) demo --board $(BOARD)

bench: .venv/full.stamp system-sim
	$(DATASETS) $(SPIKELOOM) bench --json --jobs $(JOBS) $(if $(ONLY),--only "$(ONLY)")

infer: .venv/base.stamp
	$(SPIKELOOM) infer --run $(RUN) $(if $(PORT),--port $(PORT),--sim) \
	  $(if $(COUNT),--count $(COUNT)) $(FILE)

export: .venv/base.stamp system-sim
	$(SPIKELOOM) export --verilog --check --run $(RUN) $(if $(COUNT),--images $(COUNT))

doctor: .venv/base.stamp
	$(SPIKELOOM) doctor

report: .venv/base.stamp
	$(SPIKELOOM) report --run $(RUN)

.venv/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  $(APT) && $(INSTALL) python3-venv; } || { \
	  echo "missing: python3-venv, to make .venv (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/base.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

.venv/full.stamp: .venv/base.stamp
	$(PIP) -e '.[search,test]'
	@touch $@

# Yardsticks of tests alone, which ask for more than what is used of them, and bring a `tests` along.
.venv/test.stamp: .venv/full.stamp
	$(PIP) --no-deps --upgrade --target .venv/yardsticks badcrossbar neurobench \
	  snntorch spikingjelly tonic
	@touch $@

system: system-sim system-flash

# cocotb loads libpython into the simulator; Debian's python3 does not bring it along.
system-sim: .venv/bin/python
	@missing=""; \
	command -v iverilog >/dev/null || missing="$$missing iverilog"; \
	command -v icebox_vlog >/dev/null || missing="$$missing fpga-icestorm"; \
	lib=$$(.venv/bin/python -c 'import os, sys; print("libpython%d.%d" % sys.version_info[:2] \
	  if os.path.realpath(sys.executable).startswith("/usr/bin/") else "")'); \
	[ -z "$$lib" ] || ldconfig -p 2>/dev/null | grep -q "$$lib.so" || missing="$$missing $$lib"; \
	$(call need,simulating RTL and bitstreams)

system-test: system-sim
	@missing=""; \
	command -v ngspice >/dev/null || missing="$$missing ngspice"; \
	$(call need,solving netlists of crossbars in tests)

system-flash:
	@missing=""; \
	command -v iceprog >/dev/null || missing="$$missing fpga-icestorm"; \
	$(call need,programming boards)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
