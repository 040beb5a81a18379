"""Random integer networks for tests, and their choices drawn by Hypothesis."""

from hypothesis import strategies as st

from spikeloom.sim.random_maps import random_maps, residual_graph
from spikeloom.sim.random_networks import random_graph, random_images, random_network

__all__ = ["maps", "networks", "random_graph", "random_images", "residual_graph"]


class Drawn:
    """A `Chooser` whose choices Hypothesis makes, and shrinks."""

    def __init__(self, draw) -> None:
        self.draw = draw

    def integer(self, lo, hi):
        return self.draw(st.integers(lo, hi))

    def among(self, options):
        return self.draw(st.sampled_from(options))


@st.composite
def networks(draw, served=False):
    """Integer graphs."""
    return random_network(Drawn(draw), served)


@st.composite
def maps(draw, served=False):
    """Integer graphs with convolutions, pools and skips."""
    return random_maps(Drawn(draw), served)
