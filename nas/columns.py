"""Columns: what every candidate has a number for, and what it is before any tool has run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..boards import Board
from ..flow import ir
from ..flow.cost.energy import energy_if_known
from ..flow.cost.features import describe
from ..flow.cost.structure import LOW_SPREAD, Structure, assume_weights, structure
from ..flow.cost.work import work
from .train import zeros


@dataclass(frozen=True)
class Column:
    """A number that every candidate has; `sense` is 1 where less is better, -1 where more is.

    ideal: what no candidate can better; None where nobody can say.
    """

    title: str
    sense: int
    digits: int = 0
    ideal: float | None = 0.0

    def text(self, value: float | None) -> str:
        return "-" if value is None else f"{value:,.{self.digits}f}"


#: What may be an objective, a constraint, or just looked at.
COLUMNS: dict[str, Column] = {
    "accuracy": Column("accuracy", -1, 4, 1.0),
    "lc": Column("LCs", 1),
    "lut4": Column("LUT4s", 1),
    "ff": Column("FFs", 1),
    "ebr": Column("EBRs", 1),
    "spram": Column("SPRAMs", 1),
    "fmax_mhz": Column("Fmax [MHz]", -1, 1, 275.0),  # an HX8K's global buffer
    "cycles": Column("cycles", 1),  # at most, of an image, where they depend on its spikes
    "mean_cycles": Column("mean cycles", 1),  # of some validation images, for a trained network
    "latency_us": Column("latency [us]", 1, 1),
    "energy_nj": Column("energy [nJ]", 1, 1),
    "zeros": Column("zeros", -1, 2, 1.0),
    "weights": Column("weights", 1),
    "weight_memory": Column("weight bits", 1),
    "additions": Column("additions", 1),
    "cim_accuracy": Column("CIM accuracy", -1, 4, 1.0),
    "cim_mm2": Column("CIM [mm2]", 1, 3),
    "cim_ms": Column("CIM [ms]", 1, 5),
    "cim_uj": Column("CIM [uJ]", 1, 4),
    "cim_memory": Column("CIM weight bits", 1),
    "score": Column("score", -1, 3, None),  # what [cells] names, the fitness of blocks
    "spikes": Column("spikes", 1),  # of an image; of cells also before training
}
#: Those of a chip of crossbars, which candidates have where an experiment asks for any (`nas.cim`).
CIM = tuple(name for name in COLUMNS if name.startswith("cim_"))
#: Estimates of a closed form, whatever was measured; tables mark them with ~.
ESTIMATES = ("energy_nj", "cim_mm2", "cim_ms", "cim_uj")


def title(name: str) -> str:
    """Of a column; what stays an estimate whatever is measured is marked."""
    return ("~" if name in ESTIMATES else "") + COLUMNS[name].title


def price(graph: ir.Graph, board: Board, sparsity: float = 0.0, spread: float = LOW_SPREAD
          ) -> dict[str, float]:
    """Every column that needs no training and no tool; cells are counts by structure.

    latency_us is at the board's clock, without the transfer of the image. Of a graph of shapes it
    is an optimist's price, with `sparsity` the share of zeros to assume and `spread` that of the
    others (`flow.cost.structure`); it has no `zeros`.
    """
    if graph.stage != "shape":
        return priced(graph, board)[0]
    return _counts(assume_weights(graph, sparsity, spread), board)[0]


def priced(graph: ir.Graph, board: Board) -> tuple[dict[str, float], dict[str, float]]:
    """The columns of `price` of a graph with weights, and the features that predict its cells."""
    columns, found = _counts(graph, board)
    return {**columns, "zeros": zeros(graph)}, describe(found)


def _counts(graph: ir.Graph, board: Board) -> tuple[dict[str, float], Structure]:
    found = structure(graph)
    return complete({"lc": found.cells.lc, "lut4": found.cells.lut, "ff": found.cells.ff,
                     "ebr": found.ebr, "spram": found.spram, "cycles": found.cycles,
                     **asdict(work(graph))}, board), found


def complete(columns: Mapping[str, float], board: Board) -> dict[str, float]:
    """Columns with latency and energy that follow from `lc` and `cycles` on a board.

    Without figures of the device there is no energy.
    """
    found = {**columns, "latency_us": 1e6 * columns["cycles"] / board.clock_hz}
    energy = energy_if_known(board.device, columns["lc"], columns["cycles"], board.clock_hz)
    return found if energy is None else {**found, "energy_nj": energy.total_nj}
