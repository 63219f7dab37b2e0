"""`mlotel lineage --send-trace`: the answer goes to the collector, as one trace."""

from __future__ import annotations

import sys

from mlotel.cli.output import complain, print_json
from mlotel.cli.text import amount, clean
from mlotel.errors import RunNotFoundError
from mlotel.model import Lineage

__all__ = ["send_trace"]


def send_trace(lineage: Lineage, *, as_json: bool) -> None:
    """Send a lineage as one trace to the collector that is configured, and say which trace it is.

    Args:
        lineage: what to send.
        as_json: print a JSON document, as `projection.schema.json` describes it.

    Raises:
        ConfigurationError: no collector is configured.
        DeliveryError: it did not take the trace.
        RunNotFoundError: no run of it has ended.
    """
    from mlotel.sdk.delivery import deliver
    from mlotel.sdk.projection import project

    projection = project(lineage)
    if not projection.spans:
        raise RunNotFoundError("nothing to send: no run of this lineage has ended")
    endpoint = deliver(projection.spans)
    if projection.unended:
        complain(f"{amount(projection.unended, 'run')} left out, not having ended: send the trace again later")
    if as_json:
        document = {
            "trace_id": projection.trace_id,
            "endpoint": endpoint,
            "runs": projection.runs,
            "spans": len(projection.spans),
            "unended": projection.unended,
        }
        print_json(document)
    else:
        counts = f"{amount(projection.runs, 'run')}, {amount(len(projection.spans), 'span')}"
        sys.stdout.write(f"sent trace {projection.trace_id} to {clean(endpoint)}: {counts}\n")
