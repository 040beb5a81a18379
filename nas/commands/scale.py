"""Where the work of a command runs: `--workers N` on this machine, or `--cluster ADDRESS`."""

from argparse import ArgumentParser, Namespace

from ...flow.errors import ConfigError

#: Processes where nothing else is said.
WORKERS = 2


def add_arguments(parser: ArgumentParser, default: str = str(WORKERS)) -> None:
    """--workers, which --jobs is another name of, and --cluster; default: in words."""
    parser.add_argument("--workers", "--jobs", type=int, metavar="N", dest="workers",
                        help=f"processes that work at once (default: {default}); does not change "
                             "the outcome")
    parser.add_argument("--cluster", metavar="ADDRESS",
                        help="in place of them, the workers of the Dask scheduler at this address, "
                             "such as tcp://10.0.0.5:8786; does not change the outcome")


def check(args: Namespace) -> None:
    """Raise ConfigError for options that cannot be meant, before anything is written."""
    if args.workers is not None and args.cluster is not None:
        raise ConfigError("--workers must not be used with --cluster, whose workers are those that "
                          "joined its scheduler; leave one of them out")
    if args.workers is not None and args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, not {args.workers}")
    if args.cluster is not None:
        from ..cluster import check_address

        check_address(args.cluster)


def executor(args: Namespace, again: str = "go on with --resume", note=None):
    """`workers.workers` as the options say."""
    from .. import workers

    return workers.workers(args.workers or WORKERS, again, cluster=args.cluster, note=note)
