"""Wires: what their resistance leaves of the currents of a crossbar, exactly.

Row i is driven at its left end by an ideal source V[i], behind one segment of r_row; r_row lies
between neighbouring cells too. Cell (i, j) of conductance G[i, j] joins row and column. Column j
has r_col between neighbouring cells, and one more below the last row to a virtual ground, into
which I[j] flows. A row that does not spike is driven to 0 V. A wire of 0 ohm is one node.

Nodal analysis (Kirchhoff's current law at every node) is linear in V, so a crossbar is an effective
matrix W with ``I = V @ W``, whatever the batch. `effective` finds it by elimination from the far
end of the wires, for any number of crossbars at once; `nodal` solves the sparse system for given
voltages, and is slow: the two are written independently and agree.
"""

from itertools import pairwise

import numpy as np

from ...flow.errors import ConfigError, SpikeloomError

#: A segment that conducts so many times as well as a cell cannot be told from one node in float64.
MOST_RATIO = 1e12
#: Rows, and columns, of the largest crossbar whose rows and columns have wires: about a minute.
MOST_BOTH = 512


def effective(G: np.ndarray, r_row: float, r_col: float) -> np.ndarray:
    """The effective matrix W of crossbars: siemens [..., rows, cols], as G; ``I = V @ W``.

    Raises ConfigError for conductances or resistances that no array has.
    """
    G = _checked(G, r_row, r_col)
    if r_row == 0:
        return G if r_col == 0 else _columns(G, r_col)
    if r_col == 0:
        # every row is a ladder of its own that ends in its source: the same, turned around
        turned = np.flip(np.swapaxes(G, -1, -2), -2)
        return np.swapaxes(np.flip(_columns(turned, r_row), -2), -1, -2)
    return _both(G, r_row, r_col)


def column_currents(G: np.ndarray, V: np.ndarray, r_col: float) -> np.ndarray:
    """Currents [..., batch, cols] of voltages [..., batch, rows] where only columns have wires."""
    return np.asarray(V, np.float64) @ effective(G, 0.0, r_col)


def _columns(G: np.ndarray, r: float) -> np.ndarray:
    """W where only columns have wires, by eliminating the nodes of a column from the top.

    The network is reciprocal: W[i] is G[i] times the voltage at node i of the column when its
    ground is raised to 1 V and all rows are at 0 V. With y_i the conductance to the rows seen at
    node i, its own cell included, y_i = G_i + y_{i-1} / (1 + r y_{i-1}), and the segment below it
    passes on 1 / (1 + r y_i) of the voltage. All terms are positive, so nothing cancels.
    """
    seen = np.moveaxis(G, -2, 0).copy()
    for above, here in pairwise(seen):
        here += above / (1 + r * above)
    share = np.moveaxis(1 / (1 + r * seen), 0, -2)
    return G * np.cumprod(share[..., ::-1, :], -2)[..., ::-1, :]


def _both(G: np.ndarray, r_row: float, r_col: float) -> np.ndarray:
    """W where rows and columns have wires: `_columns` with matrices, row by row from the top.

    A row's nodes are eliminated first. T is its tridiagonal nodal matrix with the columns grounded;
    seen from its column nodes the row is the admittance ``S = diag(G) - diag(G) T^-1 diag(G)`` and,
    per volt of its source, the current ``s = G * T^-1[:, 0] / r_row``. Then Y_i = S_i + Y_{i-1}
    M_{i-1} with M = (1 + r_col Y)^-1, and M is what a segment passes on of the currents above it.
    """
    m, n = G.shape[-2:]
    if m * n ** 3 > MOST_BOTH ** 4:
        raise ConfigError(f"a crossbar whose rows and columns have wires must have at most "
                          f"{MOST_BOTH} x {MOST_BOTH} cells, not {m} x {n}: a solve would take "
                          "minutes; leave r_row out")
    g, at, one = 1 / r_row, np.arange(n), np.eye(n)
    wires = 2 * g * one - g * (np.eye(n, k=1) + np.eye(n, k=-1))
    wires[-1, -1] = g
    Y = np.zeros((*G.shape[:-2], n, n))
    J = np.zeros((*G.shape[:-2], n, m))
    for i in range(m):
        cells = G[..., i, :]
        inverse = np.linalg.inv(wires + cells[..., None] * one)
        M = np.linalg.inv(one + r_col * Y)
        Y = Y @ M - cells[..., :, None] * inverse * cells[..., None, :]
        Y[..., at, at] += cells
        J[..., :i] = M @ J[..., :i]
        J[..., i] = cells * inverse[..., :, 0] * g
    return np.swapaxes(np.linalg.solve(one + r_col * Y, J), -1, -2)


def nodal(G: np.ndarray, V: np.ndarray, r_row: float, r_col: float) -> np.ndarray:
    """Currents [batch, cols] of one crossbar G [rows, cols] for V [batch, rows], by nodal analysis.

    One sparse LU factorisation (scipy's SuperLU) serves the batch. Raises ConfigError for values
    that no array has, SpikeloomError for a system that cannot be solved.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    G = _checked(G, r_row, r_col)
    V = np.atleast_2d(np.asarray(V, np.float64))
    m, n = G.shape
    # Nodes: 0 is ground, then the sources, then what wires and cells join.
    count = 1 + m
    if r_row:
        row = count + np.arange(m * n).reshape(m, n)
        count += m * n
    else:
        row = np.broadcast_to(1 + np.arange(m)[:, None], (m, n))
    if r_col:
        column = count + np.arange(m * n).reshape(m, n)
        count += m * n
    else:
        column = np.zeros((m, n), np.int64)
    ends = [(row, column, G)]
    if r_row:
        before = np.concatenate([1 + np.arange(m)[:, None], row[:, :-1]], 1)
        ends.append((before, row, np.full((m, n), 1 / r_row)))
    if r_col:
        after = np.concatenate([column[1:], np.zeros((1, n), np.int64)])
        ends.append((column, after, np.full((m, n), 1 / r_col)))
    a, b, g = (np.concatenate([part[k].ravel() for part in ends]) for k in range(3))
    laplacian = coo_matrix((np.concatenate([g, g, -g, -g]), (np.concatenate([a, b, a, b]),
                            np.concatenate([a, b, b, a]))), (count, count)).tocsc()
    fixed = np.concatenate([np.zeros((len(V), 1)), V], 1).T
    v = fixed
    if count > 1 + m:
        free = laplacian[1 + m:]
        try:
            inner = splu(free[:, 1 + m:].tocsc()).solve(-(free[:, :1 + m] @ fixed))
        except RuntimeError as error:
            raise SpikeloomError(f"the currents of a {m} x {n} crossbar cannot be solved "
                                 f"({error}); its conductances must connect every node") from error
        v = np.concatenate([fixed, inner])
    if not _bounded(v, V):
        raise SpikeloomError(f"the currents of a {m} x {n} crossbar cannot be told: its nodal "
                             "matrix is ill-conditioned; bring r_row, r_col and the cells' "
                             "resistances closer together")
    if not r_col:
        return np.einsum("mn,mnb->bn", G, v[row])
    return v[column[-1]].T / r_col


def _bounded(v: np.ndarray, V: np.ndarray) -> bool:
    """Whether all nodes lie between ground and the sources, as a network of resistors must."""
    low, high = min(V.min(initial=0), 0), max(V.max(initial=0), 0)
    slack = 1e-9 * (high - low)
    return bool(np.isfinite(v).all() and v.min() >= low - slack and v.max() <= high + slack)


def _checked(G: np.ndarray, r_row: float, r_col: float) -> np.ndarray:
    G = np.asarray(G, np.float64)
    if G.ndim < 2 or 0 in G.shape[-2:]:
        raise ConfigError(f"a crossbar must have rows and columns, not the shape {list(G.shape)}")
    if not (np.isfinite(G).all() and (G >= 0).all()):
        raise ConfigError("conductances must be 0 or more siemens and finite, not "
                          f"{G[~(np.isfinite(G) & (G >= 0))].flat[0]:g}")
    for name, r in (("r_row", r_row), ("r_col", r_col)):
        if not 0 <= r < float("inf"):
            raise ConfigError(f"{name} must be at least 0 ohm and finite, not {r:g}")
        if 0 < r * G.max(initial=0) < 1 / MOST_RATIO:
            raise ConfigError(f"{name} must be 0, or at least {1 / MOST_RATIO / G.max():.3g} ohm "
                              f"beside cells of {1 / G.max():.3g} ohm, not {r:g}: the solve would "
                              "be ill-conditioned")
    return G
