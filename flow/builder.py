"""A graph built node by node, where it is more than the chain of `ir.chain`."""

from . import ir


class Builder:
    """Appends nodes behind an Input; each layer reads the last value unless told otherwise.

    Nodes of layer n, counted from 1, end in n: conv1 or fc1, sum1 and pop1, and pool1 behind it,
    and pool1_2 behind that.
    """

    def __init__(self, **attributes) -> None:
        self.nodes: list = [ir.Input(name="input", **attributes)]
        self.layers = 0
        #: The value that the next node reads: its name, and its shape.
        self.name, self.shape = "input", self.nodes[0].shape

    def _maps(self) -> tuple[int, ...]:
        return (1, *self.shape) if len(self.shape) == 2 else self.shape

    def conv(self, out_channels: int, *, neuron, skip: str | None = None, **attributes) -> str:
        """A Conv2d and its population; with `skip`, plus the spikes of that node."""
        node = ir.Conv2d(name=f"conv{self.layers + 1}", src=self.name, in_shape=self._maps(),
                         out_channels=out_channels, **attributes)
        return self._layer(node, neuron, skip)

    def dense(self, out_features: int, *, neuron, skip: str | None = None, **attributes) -> str:
        """A Dense and its population, as `conv`."""
        size = 1
        for extent in self.shape:
            size *= extent
        node = ir.Dense(name=f"fc{self.layers + 1}", src=self.name, in_features=size,
                        out_features=out_features, **attributes)
        return self._layer(node, neuron, skip)

    def pool(self, kernel_size: int, kind: type = ir.MaxPool2d) -> str:
        """A pool, of the last layer or of the pool behind it."""
        name = f"pool{self.layers}"
        before = sum(node.name.startswith(name) for node in self.nodes)
        if before:
            name = f"{name}_{before + 1}"
        self.nodes.append(kind(name=name, src=self.name, in_shape=self._maps(),
                               kernel_size=kernel_size))
        self.name, self.shape = self.nodes[-1].name, self.nodes[-1].out_shape
        return self.name

    def graph(self, *, num_steps: int, readout: str) -> ir.Graph:
        """The graph, read out of the last population; not verified."""
        size = self.nodes[-1].size
        last = ir.Readout(name="readout", src=self.name, size=size, kind=readout)
        return ir.Graph(num_steps=num_steps, nodes=(*self.nodes, last))

    def _layer(self, node, neuron, skip: str | None) -> str:
        self.layers += 1
        self.nodes.append(node)
        if skip:
            self.nodes.append(ir.Sum(name=f"sum{self.layers}", src=(node.name, skip)))
        self.name, self.shape = f"pop{self.layers}", node.out_shape
        self.nodes.append(ir.Population(name=self.name, src=self.nodes[-1].name, size=node.size,
                                        neuron=neuron))
        return self.name
