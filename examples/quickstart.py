"""The smallest useful script: two components, joined by the table that one writes and the other reads.

    python examples/quickstart.py
    mlotel runs
    mlotel lineage report

Nothing is configured, so the runs go to a folder .mlotel in the working directory.
"""

import pyarrow as pa

import mlotel

sales = pa.table({"shop": ["north", "south", None, "south"], "sold": [3, 5, 4, 7]})

with mlotel.component("clean", pipeline="quickstart") as run:
    run.log_input(sales, name="sales")
    known = run.log_output(sales.drop_null(), name="known")

with mlotel.component("report", pipeline="quickstart") as run:
    run.log_input(known, name="known")
    report = run.log_output(known.group_by("shop").aggregate([("sold", "sum")]), name="report")
    run.log_metrics({"shops": report.num_rows})
