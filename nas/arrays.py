"""Arrays as genes: what a search may choose of a chip of crossbars, beside the network."""

from collections.abc import Iterator, Mapping, Sequence

#: Genes of an array, and how a genome's description writes each.
GENES = {"size": "{0}x{0}", "cell_bits": "cell={}", "adc_bits": "ADC={}", "mux": "mux={}",
         "encoding": "{}"}


class Arrays:
    """Values by gene; numbers in ascending order, so that neighbours are alike.

    As bounds of a vector (`Space.bounds`) a gene is a position in its values, and there only where
    there is a choice.
    """

    def __init__(self, values: Mapping[str, Sequence]) -> None:
        self.values = {name: list(values[name]) if name == "encoding" else sorted(values[name])
                       for name in GENES}

    @property
    def bounds(self) -> dict[str, tuple[int, int]]:
        return {f"array_{name}": (0, len(values) - 1) for name, values in self.values.items()
                if len(values) > 1}

    def size(self) -> int:
        """How many arrays there are."""
        count = 1
        for values in self.values.values():
            count *= len(values)
        return count

    def chosen(self, vector: Mapping[str, int]) -> dict[str, int | str]:
        """The value of every gene, as a genome has it."""
        return {name: values[vector.get(f"array_{name}", 0)]
                for name, values in self.values.items()}

    def neighbours(self, vector: dict[str, int]) -> Iterator[dict[str, int]]:
        """Vectors with one gene a step away, in either direction: what makes a chip smaller or
        faster depends on the others.
        """
        for name, (lo, hi) in self.bounds.items():
            for value in (vector[name] - 1, vector[name] + 1):
                if lo <= value <= hi:
                    yield {**vector, name: value}


def described(chosen: Mapping[str, int | str]) -> str:
    """An array of a genome in a few words: ``64x64 cell=1 ADC=4 mux=8 differential``."""
    return " ".join(text.format(chosen[name]) for name, text in GENES.items())
