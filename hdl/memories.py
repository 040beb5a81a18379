"""Where a synthesised memory is kept."""

#: Keep memories in EBR. What a port reads in the clock in which that word is written is never used,
#: so a build may take such a read as undefined, and need no bypass for it.
BLOCK_RAM = {"ram_style": "block"}
#: Keep memories out of EBR, in LUTs.
LOGIC = {"ram_style": "logic"}
