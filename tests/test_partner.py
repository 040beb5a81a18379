"""The link against another implementation of a UART, on the Verilog of a whole design."""

import pytest
from test_link import PIXELS, info, request, result

from spikeloom.flow import tools
from spikeloom.hdl.protocol import SYNC_REPLY, Command, Features, Status, frame
from spikeloom.sim import icarus


@pytest.mark.parametrize("divisor", [4, 7])
@pytest.mark.parametrize("duplex", [False, True])
def test_requests_from_another_uart(counting_top, tmp_path, duplex, divisor):
    """Two back to back where the link is duplex; else one, behind some noise."""
    from cocotb_tools.runner import get_runner

    icarus.check()
    features = Features(duplex=duplex)
    top = counting_top(divisor=divisor, features=features)
    (tmp_path / "top.v").write_text(tools.amaranth_verilog(
        top, ports=[top.rx, top.tx, top.busy, top.cls]))
    sent = [request(Command.INFER, PIXELS)]
    wanted = [frame(SYNC_REPLY, Status.OK, result(PIXELS))]
    if duplex:
        sent.append(request(Command.INFO))
        wanted.append(frame(SYNC_REPLY, Status.OK, info(features=features)))
    else:
        sent.insert(0, b"noise")
    (tmp_path / "sent.bin").write_bytes(b"".join(sent))
    runner = get_runner("icarus")
    runner.build(sources=[tmp_path / "top.v"], hdl_toplevel="top", build_dir=tmp_path / "icarus",
                 timescale=("1ns", "1ps"), always=True, log_file=tmp_path / "log")
    runner.test(hdl_toplevel="top", test_module="partner_bench", build_dir=tmp_path / "icarus",
                test_dir=tmp_path, log_file=tmp_path / "log", timescale=("1ns", "1ps"),
                results_xml=str(tmp_path / "results.xml"),
                extra_env={"FOLDER": str(tmp_path), "DIVISOR": str(divisor),
                           "COUNT": str(sum(map(len, wanted)))})
    assert (tmp_path / "received.bin").read_bytes() == b"".join(wanted)
