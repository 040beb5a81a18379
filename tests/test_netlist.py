"""A netlist, read back."""

from spikeloom.flow.netlist import count_cells


def test_cells_are_counted_by_type():
    cells = (b'{"creator":"x","modules":{"top":{"cells":{"a":{"type":"SB_LUT4"},"b":{"type":'
             b'"SB_DFFE"},"c":{"type":"SB_LUT4"}}},"SB_LUT4":{"cells":{"d":{"type":"x"}}}}}')
    assert count_cells(cells) == {"SB_LUT4": 2, "SB_DFFE": 1}
