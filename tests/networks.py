"""Random integer networks for tests, and their choices drawn by Hypothesis."""

from hypothesis import strategies as st

from spikeloom.sim.random_networks import random_graph, random_images, random_network

__all__ = ["networks", "random_graph", "random_images"]


class Drawn:
    """A `Chooser` whose choices Hypothesis makes, and shrinks."""

    def __init__(self, draw) -> None:
        self.draw = draw

    def integer(self, lo, hi):
        return self.draw(st.integers(lo, hi))

    def among(self, options):
        return self.draw(st.sampled_from(options))


@st.composite
def networks(draw):
    """Integer graphs."""
    return random_network(Drawn(draw))
