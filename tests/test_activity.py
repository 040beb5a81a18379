"""Actions of real inferences, and their energy: a small network on a board, spatial and folded."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import activity, targets
from spikeloom.flow.cli import main
from spikeloom.flow.cost import actions as counts
from spikeloom.flow.cost.actions import Phase, read_actions, write_actions
from spikeloom.flow.cost.prices import ACTIONS, shipped
from spikeloom.flow.cost.split import PARTS, split
from spikeloom.flow.errors import RunError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.flow.report import Report, write_report
from spikeloom.flow.run import Run
from spikeloom.sim import activity as simulated
from spikeloom.sim import reference

BOARD = targets.board("icebreaker")
#: Silent, in between, and as bright as can be.
IMAGES = np.stack([np.zeros(12), np.arange(12) * 20, np.full(12, 255)]).astype(np.uint8)


def network(**changes):
    graph = random_graph(np.random.default_rng(3), sizes=(12, 6, 3), encoder="rate", num_steps=4)
    # weights that only excite: more light is more spikes in every layer
    bright = {dense.name: {"weight": np.abs(dense.weight), "bias": np.zeros_like(dense.bias),
                           **changes} for dense, _ in graph.layers}
    return compile_graph(graph.replace(**bright))


@pytest.fixture(scope="module")
def spatial():
    return network(), simulated.count(network(), IMAGES, BOARD)


@pytest.fixture(scope="module")
def folded():
    graph = network(lowering="folded", lanes=2)
    return graph, simulated.count(graph, IMAGES, BOARD)


def scaled(price, factor):
    return msgspec.structs.replace(price, low=factor * price.low, high=factor * price.high)


def cost(actions, prices=None, **options):
    return split(actions, prices or shipped().of("UP5K"),
                 **{"divisor": actions.divisor, "clock_hz": 12e6, **options})


def test_it_counts_what_the_network_does(spatial):
    graph, found = spatial
    assert len(found.images) == 3 and found.design == graph.digest()
    wanted = reference.run(graph, IMAGES, trace=True)
    for number, image in enumerate(found.images):
        assert image.spikes == [layer[:, number].sum(1).tolist() for layer in wanted.spikes]
        # between the last bit of an image and the first of its answer: the inference, and the
        # few clocks in which the link checks, starts and answers
        assert 0 <= image.compute.clocks - inference_cycles(graph) < 100
        enabled = sum(image.compute.enabled.values())
        assert 0 < enabled < image.compute.clocks * sum(found.flip_flops.values())
    assert found.layers == ["pop1", "pop2"]
    assert (found.request, found.reply) == (12 + 6, 6 + 5 + 3 * 3 + 1)
    assert {"link", "encoder", "layer1", "layer2", "readout"} <= set(found.groups)
    assert set(found.groups.values()) <= set(counts.GROUPS)
    assert sum(found.flip_flops.values()) == sum(
        count for kind, count in found.cells.items() if kind.startswith("SB_DFF"))


def test_what_is_between_images_is_the_links(spatial):
    _, found = spatial
    for phase in (found.waiting, found.idle):
        assert phase.clocks == pytest.approx(1)
        assert phase.toggles["link"] > 0.95 * sum(phase.toggles.values())
    layers = [name for name in found.groups if name.startswith("layer")]
    for image in found.images:
        busy = sum(image.compute.toggles.get(name, 0) for name in layers)
        moved = sum(image.transfer.toggles.get(name, 0) for name in layers)
        assert busy / image.compute.clocks > 5 * moved / image.transfer.clocks


@pytest.mark.parametrize("divisor,off", [(24, 0.06), (103, 0.03)])
def test_a_slower_line_is_scaled_as_it_is_when_simulated(spatial, monkeypatch, divisor, off):
    """Clocks to within a bit; toggles within 3 % near the rate after reset, where an exchange of
    other bytes was measured, and within 6 % between."""
    graph, found = spatial
    monkeypatch.setattr(simulated, "MIN_DIVISOR", divisor)
    slow = simulated.count(graph, IMAGES[1:2], BOARD)
    told, seen = found.transfer(found.images[1], divisor), slow.images[0].transfer
    assert slow.divisor == divisor and abs(told.clocks - seen.clocks) <= divisor
    for key in ("toggles", "enabled"):
        assert sum(getattr(told, key).values()) == pytest.approx(
            sum(getattr(seen, key).values()), rel=off)
    assert slow.images[0].compute.toggles["layer1"] == pytest.approx(
        found.images[1].compute.toggles["layer1"], rel=0.02)


def test_silence_is_the_cheapest(spatial):
    """Of the others not: what spikes in every timestep changes less than what spikes in some."""
    _, found = spatial
    assert [sum(map(sum, image.spikes)) > 0 for image in found.images] == [False, True, True]
    silent, *others = (cost(found, image=k).compute["compute"] for k in range(3))
    assert all(silent.low < span.low and silent.high < span.high for span in others)


def test_more_spikes_are_more_work_where_each_takes_clocks(folded):
    _, found = folded
    spikes = [sum(map(sum, image.spikes)) for image in found.images]
    assert spikes[0] == 0 and spikes == sorted(spikes) and spikes[2] > spikes[1]
    costs = [cost(found, image=k).total("compute") for k in range(3)]
    assert costs[0].low < costs[1].low < costs[2].low
    assert costs[0].high < costs[1].high < costs[2].high


def test_a_silent_image_costs_less_where_only_spikes_take_clocks(folded):
    _, found = folded
    silent, _, bright = found.images
    assert silent.compute.clocks < bright.compute.clocks
    assert sum(silent.compute.ebr_reads.values()) < sum(bright.compute.ebr_reads.values())
    less, more = (cost(found, image=k).total("compute") for k in (0, 2))
    assert less.low < more.low and less.high < more.high


def test_the_split_sums_to_the_total(spatial):
    _, found = spatial
    whole = cost(found, divisor=104)
    for end in ("low", "high"):
        parts = [getattr(span, end) for phase in (whole.transfer, whole.compute)
                 for span in phase.values()]
        assert getattr(whole.total(), end) == pytest.approx(sum(parts))
    assert set(whole.compute) == set(whole.transfer) == set(PARTS)
    power = whole.milliwatts()
    assert power.low == pytest.approx(1e-6 * whole.total().low / whole.seconds)
    assert whole.seconds == pytest.approx(sum(whole.clocks.values()) / 12e6)
    # the mean of the images is what is priced
    each = [cost(found, divisor=104, image=k).total().high for k in range(3)]
    assert whole.total().high == pytest.approx(np.mean(each))


def test_prices_are_linear_and_touch_their_part_alone(spatial):
    _, found = spatial
    prices = shipped().of("UP5K")
    once = cost(found)
    for action, part in (("toggle", ("compute", "link", "other")), ("clock", ("clock",)),
                         ("flip_flop", ("clock",)), ("ebr_read", ("memory",)),
                         ("ebr_write", ("memory",)), ("spram_read", ()),
                         ("spram_write", ()), ("cell", ())):
        dear = msgspec.structs.replace(prices, **{action: scaled(getattr(prices, action), 3)})
        thrice = cost(found, dear)
        for name in PARTS:
            a, b = (whole.compute[name] + whole.transfer[name] for whole in (once, thrice))
            assert (b.high > a.high) == (name in part), (action, name)
        alone = msgspec.structs.replace(prices, **{
            name: scaled(getattr(prices, name), 0) for name in ACTIONS if name != action})
        again = msgspec.structs.replace(alone, **{action: getattr(dear, action)})
        rest = cost(found, alone).compute["static"].high
        assert cost(found, again).total("compute").high - rest == pytest.approx(
            3 * (cost(found, alone).total("compute").high - rest))


def test_actions_survive_their_file(spatial, tmp_path):
    _, found = spatial
    path = tmp_path / "actions.json"
    write_actions(found, path)
    assert read_actions(path) == found
    text = path.read_text()
    assert "nj" not in text and "joule" not in text, "counts alone"
    for bad, words in ((text.replace('"format": 1', '"format": 9'), "has actions format 9"),
                       (text[:-30], "is damaged"), (text.replace("waiting", "wating"), "wating")):
        path.write_text(bad)
        with pytest.raises(RunError, match=words):
            read_actions(path)
    with pytest.raises(RunError, match="cannot be read"):
        read_actions(tmp_path / "none.json")


def test_phases_add_up():
    a = Phase(clocks=3, toggles={"x": 2}, ebr_reads={"y": 1})
    b = Phase(clocks=5, toggles={"x": 1, "z": 4})
    assert a.plus(b, 2) == Phase(clocks=13, toggles={"x": 4, "z": 8}, ebr_reads={"y": 1})
    assert counts.mean([a, b]) == Phase(clocks=4, toggles={"x": 1.5, "z": 2}, ebr_reads={"y": 0.5})
    assert a.plus(a, -1) == Phase()


@pytest.fixture
def run(spatial, tmp_path):
    """A run whose actions are known."""
    graph, found = spatial
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    opened.save_samples(IMAGES, np.zeros(3, np.int64))
    write_actions(found, activity.actions_file(opened, BOARD))
    return opened


def estimate(run, capsys, *options):
    code = main(["estimate", "--run", str(run.path), "--json", *map(str, options)])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else captured.err


def test_known_actions_are_priced_without_a_simulation(run, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(simulated, "count", None)
    code, data = estimate(run, capsys, "--activity")
    found = data["activity"]
    assert code == 0 and found["images"] == 3 and found["baud"] == pytest.approx(12e6 / 104)
    assert set(found["nj"]["compute"]) == set(PARTS) and not found["borrowed"]
    for end in (0, 1):
        assert sum(span[end] for span in found["nj"]["compute"].values()) == pytest.approx(
            found["compute_nj"][end])
    _, fast = estimate(run, capsys, "--baud", 3_000_000)
    assert fast["activity"]["compute_nj"] == found["compute_nj"]
    assert fast["activity"]["transfer_nj"][0] < 0.1 * found["transfer_nj"][0]
    mine = tmp_path / "mine.toml"
    mine.write_text("format = 1\n[dynamic.UP5K.ebr_read]\nlow = 0\nhigh = 0\n"
                    "[dynamic.UP5K.ebr_write]\nlow = 0\nhigh = 0\n")
    _, cheap = estimate(run, capsys, "--prices", mine)
    assert cheap["activity"]["nj"]["compute"]["memory"] == [0, 0]
    assert cheap["activity"]["nj"]["compute"]["clock"] == found["nj"]["compute"]["clock"]
    code = main(["estimate", "--run", str(run.path), "--activity"])
    out = capsys.readouterr().out
    assert code == 0 and "counted" in out and "mean of 3 images" in out and "pop1" in out


def test_damaged_actions_are_counted_anew_when_images_are_asked_for(run, spatial, capsys,
                                                                    monkeypatch):
    monkeypatch.setattr(simulated, "count", lambda *_, **__: spatial[1])
    activity.actions_file(run, BOARD).write_text("{")
    code, err = estimate(run, capsys, "--activity")
    assert code == 2 and "is damaged" in err and "--images N' writes it again" in err
    assert estimate(run, capsys, "--images", 3)[0] == 0
    assert estimate(run, capsys, "--activity")[0] == 0


def test_measured_currents_close_the_interval(run, capsys, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("volts = 1.2\n[blank]\nma = 0.08\n[idle]\nma = 0.65\nmhz = 12\n"
                    "[running]\nma = 0.75\nmhz = 12\ninferences_per_second = 5000\n")
    _, told = estimate(run, capsys, "--baud", 3_000_000)
    code, data = estimate(run, capsys, "--baud", 3_000_000, "--measured", mine)
    low, high = data["activity"]["total_nj"]
    assert code == 0 and data["calibrated"]["residuals"].keys() == {"blank", "idle", "running"}
    before = told["activity"]["total_nj"]
    assert abs(high - low) < 0.1 * (before[1] - before[0])
    assert all(abs(value) < 1e-9 for value in data["calibrated"]["residuals"].values())
    assert main(["estimate", "--run", str(run.path), "--baud", "3000000", "--measured",
                 str(mine)]) == 0
    assert "calibrated from measured currents: static power, the clock" in capsys.readouterr().out
    mine.write_text(mine.read_text().replace("0.75", "0.60"))
    code, err = estimate(run, capsys, "--baud", 3_000_000, "--measured", mine)
    assert code == 2 and "running.ma must be above 0.6" in err


def test_actions_of_another_network_are_counted_anew(run, capsys, monkeypatch, spatial):
    graph, found = spatial
    other = replace(graph, num_steps=3)
    other.save(run.graph_file)
    asked = []

    def count(graph, images, board, **_):
        asked.append((graph.num_steps, len(images)))
        return msgspec.structs.replace(found, design=graph.digest(),
                                       images=found.images[:len(images)])

    monkeypatch.setattr(simulated, "count", count)
    code, data = estimate(run, capsys, "--images", 2)
    assert code == 0 and data["activity"]["images"] == 2
    code, data = estimate(run, capsys, "--activity")
    assert asked == [(3, 2)], "the second time they are known"
    assert estimate(run, capsys, "--images", 3)[0] == 0 and asked[1:] == [(3, 3)]


def test_a_report_prices_them_and_has_the_claims_beside_them(run, spatial, capsys):
    graph, found = spatial
    write_report(Report(
        design=graph.digest(), board="icebreaker", device="UP5K", lc=900, lut4=800, ff=300,
        carry=200, ebr=3, spram=0, dsp=0, fmax_mhz=30.0, clock_mhz=12.0, meets_clock=True,
        fits=True, problem="", router="router2", tools={}, seed=1, seconds={}, cached=False,
        plan="", bitstream="top.bin", bitstream_bytes=0, bitstream_sha256=""),
        run.build_dir("icebreaker") / "report.json")

    def report():
        code = main(["report", "--run", str(run.path), "--json"])
        return code, json.loads(capsys.readouterr().out)["builds"][0]

    code, build = report()
    total = cost(found, divisor=104).total("compute")
    assert code == 0 and build["activity"]["compute_nj"] == pytest.approx([total.low, total.high])
    promised = [claim for claim in build["claims"] if claim["lut4"]]
    assert [claim["own_terms"]["verdict"] for claim in promised] == ["out of reach"] * 2
    assert all(claim["verdict"] == "another task" for claim in promised), "fewer LUTs, less energy"
    assert main(["report", "--run", str(run.path)]) == 0
    out = capsys.readouterr().out
    assert "published beside this build" in out and "of its 109,184 synapses a clock" in out
    file = activity.actions_file(run, BOARD)
    file.write_text("{")
    code, build = report()
    assert code == 2 and "is damaged" in build["problem"] and build["activity"] is None
    file.unlink()
    code, build = report()
    assert code == 0 and build["activity"] is None and build["claims"]


@pytest.mark.parametrize("options,words", [
    (["--activity", "--layers", "4-2"], "--layers must not be used with --activity"),
    (["--measured", "a.toml", "--layers", "4-2"], "--layers must not be used with --measured"),
    (["--images", "0"], "--images must be in 1..3"),
    (["--images", "4"], "--images must be in 1..3"),
    (["--activity", "--board", "icestick"], "device with energy figures 'HX1K'"),
    (["--baud", "0"], "--baud must be a positive number"),
    (["--prices", "none.toml"], "none.toml: cannot be read"),
])
def test_wrong_options_are_refused(run, capsys, options, words):
    code, err = estimate(run, capsys, *options)
    assert code == 2 and words in err
