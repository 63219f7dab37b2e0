"""`mlotel gc`: remove what is old from the embedded store."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from mlotel.cli.options import OutputFormat, format_option
from mlotel.cli.output import complain, print_json
from mlotel.cli.text import amount, bytes_
from mlotel.errors import ConfigurationError, QueryError, StoreNotFoundError

__all__ = ["command"]


@click.command()
@click.option("--keep", metavar="TIME", help="Days that ended longer ago than this go: 90d, 12w.")
@click.option(
    "--max-size",
    metavar="SIZE",
    help="The oldest days go until the store is no larger than this: 5GB, 500MB, 1.5GiB. Today and yesterday stay.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing, and say what would go.")
@format_option
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The .mlotel folder. Default: MLOTEL_STORE, else the nearest .mlotel folder upwards.",
)
def command(
    keep: str | None, max_size: str | None, dry_run: bool, output_format: OutputFormat, store: Path | None
) -> None:
    """Remove what is old from the embedded store, while others write to it and read it.

    Example: mlotel gc --keep 90d --max-size 5GB --dry-run
    """
    from mlotel.store.location import find_store
    from mlotel.store.retention import collect
    from mlotel.store.sizes import parse_size

    age = None if keep is None else _age(keep)
    most = None if max_size is None else parse_size(max_size)
    root = find_store() if store is None else store
    if root is None or not root.exists():
        raise StoreNotFoundError(f"no store at {root}: name the .mlotel folder with --store")
    done = collect(root, keep=age, max_bytes=most, dry_run=dry_run)
    if output_format is OutputFormat.JSON:
        print_json({**asdict(done), "dry_run": dry_run})
    else:
        days = f" ({done.days[0]} to {done.days[-1]})" if done.days else ""
        files = amount(done.segments + done.predictions, "file")
        removed, left = ("would remove", "would be left") if dry_run else ("removed", "are left")
        sys.stdout.write(
            f"{removed} {amount(done.runs, 'run')} of {amount(len(done.days), 'day')}{days}: "
            f"{files}, {bytes_(done.removed_bytes)}; {bytes_(done.size)} {left}\n"
        )
    if most is not None and done.size > most:
        complain(f"the store is larger than {max_size}: today, yesterday and what still runs are not removed")
        raise click.exceptions.Exit(1)


def _age(said: str) -> timedelta:
    from mlotel.store.times import parse_duration

    if said.strip().replace(".", "").isdigit():  # seconds, elsewhere: too little to be meant
        raise QueryError(f"--keep {said} needs a unit: write {said}d for days")
    try:
        return timedelta(seconds=parse_duration(said))
    except OverflowError:
        raise ConfigurationError(f"--keep {said} is longer than there are days: leave it out to keep all") from None
