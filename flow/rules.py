"""What sections of an experiment and of other files hold their keys to."""

#: What the rules of a section yield: key, whether it holds, and what the value must be.
Rule = tuple[str, bool, str]


def within(values, lo: int, hi: int) -> bool:
    return all(lo <= value <= hi for value in values)


def choice(values) -> bool:
    """A list that a gene can choose from: not empty, nothing twice."""
    return len(values) > 0 and len(set(values)) == len(values)
