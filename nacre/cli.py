"""The command line: ``nacre demo`` and ``nacre info``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nacre.core.errors import NacreError
from nacre.demo.experiment import run_demo
from nacre.utils.environment import describe_data, describe_machine, describe_versions

__all__ = ["main"]

INTERRUPTED = 130  # what shells report for a program stopped by Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if "run" not in options:
        parser.print_help()
        return 0
    if options.data is not None:
        os.environ["NACRE_DATA"] = str(options.data)
    try:
        options.run(options)
    except (NacreError, OSError) as error:
        print(f"nacre: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nacre: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nacre",
        description="Deep learning that reads like Keras and runs like a compiled program.",
    )
    parser.add_argument("--version", action="version", version=f"nacre {metadata.version('nacre')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data", type=Path, metavar="FOLDER", help="where data sets lie (default: $NACRE_DATA)"
    )
    demo = commands.add_parser(
        "demo",
        parents=[shared],
        help="train a network on handwritten digits and write a report",
        description="Train a network on MNIST, test it, and write a report and the saved model.",
    )
    demo.add_argument("--epochs", type=_positive, metavar="N", help="epochs to train (default: 5)")
    demo.add_argument("--seed", type=int, default=1, help="seed of everything random (default: 1)")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("demo-report"),
        metavar="FOLDER",
        help="where the report goes (default: demo-report)",
    )
    demo.set_defaults(run=lambda options: run_demo(options.output, options.epochs, options.seed))
    info = commands.add_parser(
        "info",
        parents=[shared],
        help="show versions, devices, kernels and data folders",
        description="Show versions, devices, threads, the kernels in use, and the data folders.",
    )
    info.set_defaults(run=lambda options: print_info())
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def print_info() -> None:
    """Print what Nacre stands on: a table in a terminal, plain lines elsewhere."""
    facts = describe_versions() | describe_machine() | describe_data()
    if not sys.stdout.isatty():
        for name, value in facts.items():
            print(f"{name}: {value}")
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    Console(markup=False, highlight=False).print(table)
