"""Secrets planted in every place that a user has, looked for in all that is written, sent and shown."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "ui"))

from kept_telemetry import Kept, keeping, written_in
from ui_server import serving

from mlotel.cli import main
from mlotel.store.files import FileStore

HERE = Path(__file__).parent
HIDDEN = (
    # cells of tables, and what else is content
    *("cell", "cell_category", "cell_bytes", "cell_list", "cell_struct", "cell_map_key", "cell_map_value"),
    *("cell_feather", "cell_csv", "schema_metadata", "reference_category", "served_cell", "served_prediction"),
    *("text_value", "bytes_value", "array_value", "file_content", "model_attribute", "record_key"),
    # parameters and tags that look like secrets, and objects that are no scalars
    *("param_password", "param_api_key", "param_token", "param_uri", "param_connection", "param_nested", "param_list"),
    *("param_repr", "param_dataclass", "default_argument", "argument_secret", "tag_cookie"),
    # environment variables and command lines
    *("environment", "environment_cloud_key", "environment_database", "exporter_headers", "query_headers"),
    *("collector_header", "record_key_secret", "argument_of_program", "exec_argument", "exec_param"),
    # credentials in addresses, and what travels in headers
    *("uri_password", "uri_signature", "uri_fragment", "uri_data", "uri_jdbc", "uri_scp", "remote_password"),
    *("baggage", "baggage_header", "tracestate", "authorization", "local_variable"),
)
EXCEPTIONS = ("exception", "exception_cell")
"""Kept unless `exception_text` is switched off."""
TOLD = (
    # the user's own words, written down to be found again
    *("component", "pipeline", "version", "owner", "component_tag", "description", "artifact_name", "artifact_type"),
    *("param_plain", "param_name", "metric_name", "tag", "custom_attribute", "model_name", "variant", "label", "note"),
    *("flag", "author", "resource_attribute", "file_name", "column_name", "uri_path", "branch", "predicted_class"),
)
COMMAND_TOLD = ("exec_plain",)
SENT_WITH_REQUESTS = {"exporter_headers", "collector_header"}
"""What a collector is to be shown: in headers of requests, and nowhere else."""

COMMANDS = (
    ["runs"],
    ["runs", "-f", "json"],
    ["components"],
    ["tags"],
    ["lineage", "output"],
    *(["lineage", "output", "-f", each] for each in ("json", "html", "mermaid", "table", "openlineage")),
    ["find", "--where", "state", "=", "failed", "-f", "json"],
    ["review"],
)


def planted() -> dict[str, str]:
    """A text for each place, that nothing else holds."""
    places = (*HIDDEN, *EXCEPTIONS, *TOLD, *COMMAND_TOLD)
    return {place: f"planted-{number}-{secrets.token_hex(6)}" for number, place in enumerate(places)}


def environment_of(texts: Mapping[str, str], endpoint: str) -> dict[str, str]:
    ours = ("OTEL_", "MLOTEL_", "TRACEPARENT")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return inherited | {
        "PYTHONPATH": str(Path(main.__code__.co_filename).parents[2]),
        "NO_PROXY": "127.0.0.1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={texts['exporter_headers']}",
        "MLOTEL_QUERY_HEADERS": f"authorization={texts['query_headers']}",
        "MY_SETTING": texts["environment"],
        "AWS_SECRET_ACCESS_KEY": texts["environment_cloud_key"],
        "DATABASE_URL": f"postgresql://me:{texts['environment_database']}@db/x",
    }


def run_pipeline(folder: Path, texts: Mapping[str, str], how: str, endpoint: str, **variables: str) -> str:
    """Run the pipeline in a repository of its own; return what it said on standard error."""
    shutil.copy(HERE / "planted_pipeline.py", folder)
    (folder.parent / "texts.json").write_text(json.dumps(dict(texts)))
    for command in (
        ["init", "-q", "-b", texts["branch"]],
        ["remote", "add", "origin", f"https://me:{texts['remote_password']}@host.example/repository"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    arguments = ["planted_pipeline.py", folder.parent / "texts.json", how, texts["argument_of_program"]]
    environment = environment_of(texts, endpoint) | variables
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def shown(store: Path) -> Iterator[tuple[str, bytes]]:
    """What the command line and the web view say of a store."""
    with FileStore(store) as opened:
        run_ids = [run.run_id for run in opened.runs()]
    for command in (*COMMANDS, *(["show", run_id] for run_id in run_ids), *(["explain", each] for each in run_ids)):
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
            main([*command, "--store", str(store)])
        yield " ".join(["mlotel", *command]), out.buffer.getvalue()
    with FileStore(store) as opened, serving(opened) as client:
        for path in ("/api/runs", *(f"/api/runs/{run_id}" for run_id in run_ids)):
            answer = client.get(path)
            assert answer.status == 200
            yield f"GET {path}", answer.body


def left_by(folder: Path, kept: Kept) -> dict[str, bytes]:
    """All that is written and sent, but for the folder of the pipeline's own data."""
    written = {name: text for name, text in written_in(folder).items() if not name.startswith(("work/", ".git/"))}
    del written["planted_pipeline.py"]
    return {**written, **kept.texts()}


def where_found(texts: Mapping[str, str], places: Iterable[str], left: Mapping[str, bytes]) -> dict[str, list[str]]:
    """The places of `left` that hold the text of each place, for those whose text is held anywhere."""
    found = {each: [name for name, text in left.items() if texts[each].encode() in text] for each in places}
    return {each: names for each, names in found.items() if names}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pipeline"
    made.mkdir()
    return made


def test_nothing_but_the_users_own_words_leaves(folder: Path) -> None:
    """Of the texts planted, those that somebody wrote to be found again are all there, and no others anywhere."""
    texts = planted()
    assert len(HIDDEN) >= 50
    with keeping() as kept:
        run_pipeline(folder, texts, "default", kept.endpoint)
    left = {**left_by(folder, kept), **dict(shown(folder / "store"))}

    assert where_found(texts, HIDDEN, left) == {}
    assert set(where_found(texts, HIDDEN, {"headers": "".join(kept.headers).encode()})) == SENT_WITH_REQUESTS
    told = {*TOLD, *COMMAND_TOLD, *EXCEPTIONS}
    assert set(where_found(texts, told, left)) == told
    assert all(kept.bodies.values())


def test_the_spool_and_the_exposition_hold_no_more(folder: Path) -> None:
    """Where no collector listens, what is kept for later says the same; so do the metrics that a process offers."""
    texts = planted()
    with keeping() as kept:
        pass  # its port is free again
    run_pipeline(folder, texts, "scraped", kept.endpoint, OTEL_METRICS_EXPORTER="none")
    left = left_by(folder, kept)

    assert where_found(texts, HIDDEN, left) == {}
    names = [name for name, _ in left.items() if "spool" in name]
    assert set(where_found(texts, ["component", "note"], {name: left[name] for name in names})) == {"component", "note"}
    assert texts["model_name"].encode() in left["exposition.txt"]


def test_texts_of_exceptions_can_be_kept_back(folder: Path) -> None:
    """Neither message nor stack trace nor status says then what the exception said; its type is still known."""
    texts = planted()
    with keeping() as kept:
        run_pipeline(folder, texts, "no_exception_text", kept.endpoint)
    left = left_by(folder, kept)

    assert where_found(texts, (*HIDDEN, *EXCEPTIONS), left) == {}
    assert set(where_found(texts, TOLD, left)) == set(TOLD)
    with FileStore(folder / "store") as store:
        (run,) = store.runs(component="fails")
    assert (run.state, run.error) == ("failed", {"type": "ValueError"})


def test_a_hook_sees_every_text_before_it_leaves(folder: Path) -> None:
    """What it replaces is nowhere: not in spans, log records, labels, resource, store, index, nor data set."""
    texts = planted()
    with keeping() as kept:
        run_pipeline(folder, texts, "redacted", kept.endpoint)
    left = left_by(folder, kept)

    assert where_found(texts, texts, left) == {}
    assert {name for name, text in left.items() if b"[gone]" in text} >= {*kept.texts()}


def test_a_hook_that_raises_redacts_and_warns_once(folder: Path) -> None:
    """No text passes for want of a verdict, the warning does not repeat it, and lineage stays whole."""
    texts = planted()
    with keeping() as kept:
        said = run_pipeline(folder, texts, "raising", kept.endpoint)
    left = left_by(folder, kept)

    assert where_found(texts, texts, left) == {}
    assert said.count("the hook of configure(redact=...)") == 1
    assert "planted" not in "".join(line for line in said.splitlines() if "redact" in line)
    with FileStore(folder / "store") as store:
        run = max(store.runs(), key=lambda each: len(each.inputs))
    assert run.component == "[redacted]"
    assert len(run.inputs) >= 9
    assert sum(each.digest is not None for each in run.inputs) >= 6


def test_a_forked_child_knows_the_hook_too(script: Callable[..., object]) -> None:
    """It counts with instruments of its own, of whose labels no more leaves than of its parent's."""
    with keeping() as kept:
        script(
            """
            import os, mlotel
            mlotel.configure(redact=lambda key, value: "kept back" if value == "planted" else value)

            def run():
                with mlotel.component("planted") as run:
                    run.log_metrics({"planted": 1.0})
                mlotel.shutdown()

            with mlotel.component("parent"):
                pass
            if os.fork():
                os.wait()
            run()
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=kept.endpoint,
        )
    assert sum(b"kept back" in body for body in kept.bodies["/v1/metrics"]) >= 2
    assert where_found({"label": "planted"}, ["label"], kept.texts()) == {}
