"""A pipeline that has something to hide in every place that a user has; run as a program of its own.

Its arguments: a file of JSON texts by the name of the place where each is planted, how it is configured, and (for one
who looks at command lines) a secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
from opentelemetry import baggage
from opentelemetry import context as context_api

import mlotel
from mlotel import annotations

S: dict[str, str] = json.loads(Path(sys.argv[1]).read_text())
HOW = sys.argv[2]


def tables(work: Path) -> dict[str, pa.Table]:
    rows = 40
    table = pa.table(
        {
            "number": pa.array(range(rows), pa.float64()),
            "text": [S["cell"]] * rows,
            "category": pa.array([S["cell_category"]] * rows).dictionary_encode(),
            "bytes": [S["cell_bytes"].encode()] * rows,
            "list": [[S["cell_list"]]] * rows,
            "struct": [{"inner": S["cell_struct"]}] * rows,
            "map": pa.array([[(S["cell_map_key"], S["cell_map_value"])]] * rows, pa.map_(pa.string(), pa.string())),
            S["column_name"]: [1.0] * rows,
        }
    )
    table = table.replace_schema_metadata({"made_by": S["schema_metadata"]})
    pq.write_table(table, work / "table.parquet")
    pa.feather.write_feather(pa.table({"text": [S["cell_feather"]] * rows}), work / "table.arrow")
    pa.csv.write_csv(pa.table({"text": [S["cell_csv"]] * rows}), work / "table.csv")
    (work / f"{S['file_name']}.txt").write_text(S["file_content"])
    return {"table": table}


@dataclasses.dataclass
class Config:
    inner: str


class Shown:
    def __repr__(self) -> str:
        return S["param_repr"]

    __str__ = __repr__


class Model:
    def __init__(self) -> None:
        self.weights = S["model_attribute"]


def configure(folder: Path) -> None:
    options: dict[str, object] = {}
    if HOW == "redacted":
        # told by their beginning, as a user's own pattern would tell customers' numbers or addresses
        import re

        options["redact"] = lambda key, value: re.sub("planted-[0-9]+-[0-9a-f]+", "[gone]", f"{value}")
    elif HOW == "raising":

        def refuse(key: str, value: object) -> object:
            raise ValueError(f"{value}")

        options["redact"] = refuse
    elif HOW == "no_exception_text":
        options["exception_text"] = False
    mlotel.configure(
        store=folder / "store",
        headers={"x-collector-key": S["collector_header"]},
        resource_attributes={"deployment.environment.name": S["resource_attribute"]},
        record_key_secret=None if HOW == "default" else S["record_key_secret"],  # else the store makes one
        **options,
    )


def main() -> None:
    folder = Path.cwd()
    work = folder / "work"
    work.mkdir()
    made = tables(work)
    configure(folder)
    context_api.attach(baggage.set_baggage("user", S["baggage"]))
    server = mlotel.scrape.start_http_server(0) if HOW == "scraped" else None

    @mlotel.component("decorated", params=True)
    def decorated(data: pa.Table, password: str = S["default_argument"], depth: int = 3) -> pa.Table:
        return data.slice(1)

    decorated(made["table"])
    decorated(made["table"], S["argument_secret"])

    reference = mlotel.Reference.fit(
        pa.table({"text": [S["reference_category"], "other"] * 40, "number": list(range(80))}),
        model=S["model_name"],
        version="1",
    )
    with mlotel.component(
        S["component"],
        pipeline=S["pipeline"],
        version=S["version"],
        owner=S["owner"],
        tags=[S["component_tag"]],
        description=S["description"],
    ) as run:
        run.log_input(
            made["table"], name=S["artifact_name"], profile=True, uri=f"s3://user:{S['uri_password']}@bucket/a"
        )
        run.log_input(work / "table.parquet", profile=True, reference=reference)
        run.log_input(work / "table.arrow")
        run.log_input(work / "table.csv", profile=True)
        run.log_input(work / f"{S['file_name']}.txt", uri=f"https://host/a?sig={S['uri_signature']}&version=3")
        run.log_input(S["text_value"], name="text")
        run.log_input(S["bytes_value"].encode(), name="bytes", uri=f"https://host/{S['uri_path']}#{S['uri_fragment']}")
        run.log_input(np.array([S["array_value"]]), name="array", uri=f"data:text/plain,{S['uri_data']}")
        run.log_input(Model(), name="model", uri=f"jdbc:postgresql://host/db?user=u&password={S['uri_jdbc']}")
        run.log_output(b"1", name="copied", uri=f"{S['uri_scp']}@host.example:path")
        run.log_params(
            {
                "password": S["param_password"],
                "api_key": S["param_api_key"],
                "hf_token": S["param_token"],
                "database": f"postgresql://me:{S['param_uri']}@db/x",
                "connect_to": f"host=db;Password={S['param_connection']};",
                "nested": {"deep": S["param_nested"]},
                "list": [S["param_list"]],
                "object": Shown(),
                "config": Config(S["param_dataclass"]),
                "note": S["param_plain"],
                S["param_name"]: 1,
            }
        )
        run.log_metrics({S["metric_name"]: 1.0})
        run.set_tag("stage", S["tag"])
        run.set_tag("auth_cookie", S["tag_cookie"])
        run.set_attributes({"custom.attribute": S["custom_attribute"]})
        run.log_predictions(
            [S["predicted_class"], "other"], keys=[S["record_key"], "k2"], model=S["model_name"], variant=S["variant"]
        )
        found = mlotel.extract(
            {
                "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
                "tracestate": f"vendor={S['tracestate']}",
                "baggage": f"k={S['baggage_header']}",
                "authorization": f"Bearer {S['authorization']}",
            }
        )
        run.log_input(b"message", name="message", context=found)
        annotations.note(run, S["note"], author=S["author"])
        run.log_output(b"output", name="output", type=S["artifact_type"], labels=[S["label"]])
    annotations.flag(run.run_id, S["flag"])

    local = S["local_variable"]
    with contextlib.suppress(ValueError), mlotel.component("fails"):
        raise ValueError(S["exception"] if local else "")
    with contextlib.suppress(pa.ArrowInvalid), mlotel.component("converts"):
        pa.array([S["exception_cell"]]).cast(pa.int64())

    monitor = mlotel.serving.Monitor(reference)
    monitor.observe({"text": S["served_cell"], "number": 1})
    monitor.observe({"text": S["reference_category"], "number": 1}, S["served_prediction"])
    mlotel.flush()

    commanded = [sys.executable, "-m", "mlotel", "exec", "-c", "command", "-p", f"api_key={S['exec_param']}"]
    program = [sys.executable, "-c", "import sys; sys.exit(len(sys.argv) - 3)", "--password", S["exec_argument"]]
    if HOW == "default":
        subprocess.run([*commanded, "-p", f"plain={S['exec_plain']}", "--", *program], check=True, timeout=120)
    if server is not None:
        address = f"http://127.0.0.1:{server.port}/metrics"
        (folder / "exposition.txt").write_bytes(urllib.request.urlopen(address, timeout=30).read())
        server.close()
    mlotel.shutdown(20)


main()
