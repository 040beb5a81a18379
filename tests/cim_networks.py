"""Shapes of layers for the mapper's tests, and those that Hypothesis draws, with arrays."""

from hypothesis import strategies as st

from spikeloom.flow.cim.array import ENCODINGS, Array
from spikeloom.flow.cim.shapes import Layer, Network

#: An array in which a weight takes one column, as in the released script.
SINGLE = Array(encoding="offset", cell_bits=4)


def conv(name, inputs, outputs, size, kernel_size=3, bits=3, **more):
    return Layer(name=name, kind="conv2d", in_channels=inputs, out_channels=outputs,
                 magnitude_bits=bits, kernel_size=kernel_size, in_size=(size, size),
                 out_size=(size, size), **more)


def dense(name, inputs, outputs, bits=3, **more):
    return Layer(name=name, kind="dense", in_channels=inputs, out_channels=outputs,
                 magnitude_bits=bits, **more)


def network(*layers, name="net", num_steps=5):
    return Network(name=name, num_steps=num_steps, layers=layers)


arrays = st.builds(
    Array, rows=st.integers(1, 12), cols=st.integers(8, 24), cell_bits=st.integers(1, 4),
    encoding=st.sampled_from(ENCODINGS), crossbars_per_pe=st.integers(1, 12),
    pes_per_tile=st.integers(1, 6), share_tiles=st.booleans())
sizes = st.integers(1, 30)


@st.composite
def networks(draw):
    layers = []
    for index in range(draw(st.integers(1, 4))):
        kernel_size = draw(st.sampled_from((0, 1, 2, 3, 4)))
        make = (lambda *a, k=kernel_size, **m: conv(*a, 4, k, **m)) if kernel_size else dense
        layers.append(make(f"layer{index}", draw(sizes), draw(sizes), bits=draw(st.integers(1, 4)),
                           digital="why" if draw(st.integers(0, 5)) == 0 else ""))
    return network(*layers)
