"""What the link stands: nonsense through the pins of whole designs."""

import numpy as np

from ...flow.lower import core, design_hash
from ...flow.passes.compile import compile_graph
from ...hdl.protocol import BASIC, SYNC_REPLY, SYNC_REQUEST, Command, Features, frame, pack_info
from ...hdl.top import Top
from ...hdl.uart import MIN_DIVISOR
from ...sim import fuzz, reference
from ...sim.random_networks import random_graph
from ..bench import FOLDER, Bench, group

#: Frames by build.
FRAMES = {"basic": 7_500, "duplex": 7_500}
BUILDS = {"basic": BASIC, "duplex": Features(duplex=True, steps=True)}
REST = 700


@group(link__fuzz_frames=("frames", ">= 10000"), link__wedged=("frames", "== 0"))
def frames(bench: Bench) -> dict:
    """Random and mutated frames into the RTL of a small network's whole designs, at divisor 4."""
    total, bad, details = 0, 0, []
    for name, count in FRAMES.items():
        found = measure(name, count)
        total += found.frames
        bad += len(set(found.wedged) | set(found.broken))
        statuses = ", ".join(f"{number:,} {status.name}" for status, number in
                             found.answers.items())
        details.append(f"{found.frames:,} into a {name} link ({statuses})")
    detail = (f"frames of at most {fuzz.LONGEST} bytes, some at wrong rates or with a reset, each "
              f"followed by a good request whose reply must be exact: {'; '.join(details)}")
    return {"link.fuzz_frames": (total, detail), "link.wedged": (bad, detail)}


def measure(name: str, count: int) -> fuzz.Outcome:
    """So many frames into one of `BUILDS`; INFER of the reference model's answer in between."""
    rng = np.random.default_rng(len(name))
    graph = compile_graph(random_graph(rng, sizes=(6, 4, 3), encoder="rate", num_steps=3))
    image = rng.integers(0, 256, (1, 6))
    top = Top(core(graph), design_hash(graph), MIN_DIVISOR, fuzz.SILENCE_BITS, BUILDS[name])
    wanted = reference.run(graph, image)
    scores = b"".join(int(score).to_bytes(3, "little", signed=True) for score in wanted.scores[0])
    answer = frame(SYNC_REPLY, 0, pack_info(top.link.info)[:5] + scores
                   + bytes([int(wanted.classes[0])]))
    return fuzz.fuzz(
        top, fuzz.random_frames(rng, count, list(Command), 6),
        frame(SYNC_REQUEST, Command.INFER, image[0].astype(np.uint8).tobytes()), answer, REST,
        FOLDER / "fuzz" / name, rng=rng)
