"""``spikeloom study NAME``: what a run's network does as something is varied, as curves."""

import argparse

from ...flow.cli import common
from .. import studies


def configure(parser: argparse.ArgumentParser) -> None:
    each = parser.add_subparsers(dest="study", metavar="NAME", required=True)
    for name in studies.names():
        module = studies.load(name)
        own = each.add_parser(name, help=module.WHAT, description=module.WHAT)
        common(own, nested=True)
        module.configure(own)


def run(args, out) -> int:
    return studies.load(args.study).run(args, out)
