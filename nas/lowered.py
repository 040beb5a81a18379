"""How candidates become gateware: genes of the lowering, its lanes, and where weights are kept.

They are of the whole network. A space that has one of each has no such gene; `lanes` and `memory`
are active where the layers are `folded`. A genome names them there alone, so that networks of
constants in LUTs have the genomes that they always had.
"""

from ..flow import config


class Lowered:
    """The genes of a space's settings, and what their values make of a layer."""

    def __init__(self, settings: config.Space) -> None:
        self.lowerings, self.memories = list(settings.lowerings), list(settings.memories)
        self.lanes = sorted(settings.lanes)
        named = {"lowering": self.lowerings, "memory": self.memories}
        #: Genes without an order, those with a choice.
        self.choices = {name: values for name, values in named.items() if len(values) > 1}

    @property
    def bounds(self) -> dict[str, tuple[int, int]]:
        """Ordered genes and their inclusive ranges, positions in sorted lists."""
        return {"lanes": (0, len(self.lanes) - 1)} if len(self.lanes) > 1 else {}

    def size(self) -> int:
        """In how many ways the same network can be gateware."""
        others = len(set(self.lowerings) - {"folded"})
        return others + ("folded" in self.lowerings) * len(self.lanes) * len(self.memories)

    def chosen(self, vector: dict[str, int]) -> dict:
        """What a genome says of it: nothing where layers are `spatial`."""
        if self.lowerings[vector.get("lowering", 0)] != "folded":
            return {}
        return {"lowering": "folded", "lanes": self.lanes[vector.get("lanes", 0)],
                "memory": self.memories[vector.get("memory", 0)]}


def layer_of(item: dict, width: int) -> dict:
    """What a genome says of a layer of so many neurons, as `ir.chain` takes it."""
    if "lowering" not in item:
        return {}
    return {"lowering": item["lowering"], "lanes": min(item["lanes"], width),
            "memory": item["memory"]}


def described(item: dict) -> list[str]:
    """It in words: ``folded*16 spram``."""
    return [f"{item['lowering']}*{item['lanes']} {item['memory']}"] if "lowering" in item else []
