"""Pareto fronts over rows of columns; sorting and hypervolume are pymoo's.

F is a float array [n, objectives] in which less is better, as pymoo has it.
"""

from collections.abc import Sequence

import numpy as np


def fronts(F: np.ndarray) -> list[list[int]]:
    """Positions by front, the non-dominated first, in ascending order within a front."""
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    if not len(F):
        return []
    return [sorted(map(int, front)) for front in NonDominatedSorting().do(np.asarray(F, float))]


def front(F: np.ndarray) -> list[int]:
    """Positions of the non-dominated points; of equal points only the first counts as one."""
    if not len(F):
        return []
    seen, kept = set(), []
    for index in fronts(F)[0]:
        point = tuple(np.asarray(F)[index])
        if point not in seen:
            seen.add(point)
            kept.append(index)
    return kept


def hypervolume(F: np.ndarray, reference: Sequence[float]) -> float:
    """The volume that F dominates below the point `reference`."""
    from pymoo.indicators.hv import HV

    F, reference = np.asarray(F, float).reshape(-1, len(reference)), np.asarray(reference, float)
    F = F[(F < reference).all(1)]
    if not len(F):
        return 0.0
    if len(reference) == 2:  # a staircase, which is what most searches ask for again and again
        F = F[np.lexsort((F[:, 1], F[:, 0]))]
        lowest = np.minimum.accumulate(np.concatenate([[reference[1]], F[:, 1]]))
        return float(((reference[0] - F[:, 0]) * (lowest[:-1] - lowest[1:])).sum())
    return float(HV(ref_point=reference)(F))


def gain(front: Sequence[np.ndarray], point: np.ndarray, reference: np.ndarray) -> float:
    """By how much a point enlarges the hypervolume of others."""
    if not (point < reference).all() or any((other <= point).all() for other in front):
        return 0.0
    return hypervolume([*front, point], reference) - hypervolume(front, reference)


def spread(F: np.ndarray) -> list[int]:
    """All positions, the most promising first: front after front, each from far apart to near.

    Within a front the best point of each objective comes first, then each time the point farthest
    from all of the front before it (objectives scaled to 0..1 over the front); points equal to an
    earlier one come last. Any beginning of the list is therefore a spread over the best there is.
    """
    F = np.asarray(F, float)
    order: list[int] = []
    for members in fronts(F):
        first: dict[tuple, int] = {}
        for index in members:
            first.setdefault(tuple(F[index]), index)
        unique = sorted(first.values())
        order += _apart(F, unique) + [index for index in members if index not in set(unique)]
    return order


def _apart(F: np.ndarray, members: list[int]) -> list[int]:
    """`members`, the extremes first, then greedily the farthest from all before it."""
    span = np.ptp(F[members], axis=0)
    scaled = (F - F[members].min(axis=0)) / np.where(span > 0, span, 1.0)
    chosen: list[int] = []
    for objective in range(F.shape[1]):
        best = min(members, key=lambda index: (F[index, objective], tuple(F[index])))
        if best not in chosen:
            chosen.append(best)
    while len(chosen) < len(members):
        rest = [index for index in members if index not in chosen]
        distance = [float(np.linalg.norm(scaled[chosen] - scaled[index], axis=1).min())
                    for index in rest]
        chosen.append(rest[int(np.argmax(distance))])
    return chosen
