"""``spikeloom study NAME``: what a run's network does as something is varied, as curves."""

import argparse

from ...flow.cli import common
from .. import datasets, studies


def configure(parser: argparse.ArgumentParser) -> None:
    each = parser.add_subparsers(dest="study", metavar="NAME", required=True)
    for name in studies.names():
        module = studies.load(name)
        own = each.add_parser(name, help=module.WHAT, description=module.WHAT)
        common(own, nested=True)
        module.configure(own)


def run(args, out) -> int:
    seeds = getattr(args, "seeds", None)
    out.record(seeds={args.study: range(seeds) if isinstance(seeds, int) else
                      seeds or [getattr(args, "seed", 0)]})
    for name in str(getattr(args, "data", None) or "").split(","):
        if name.strip() in datasets.LOADERS:
            out.record(data=datasets.load(name.strip()))
    return studies.load(args.study).run(args, out)
