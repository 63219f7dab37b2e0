"""Beside whatever else configures OpenTelemetry, logging and warnings in the same process."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlotel.store.files import FileStore

Script = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]

# What `opentelemetry-instrument` does before it runs a program: its sitecustomize.py starts the configurator that
# opentelemetry-distro takes from the SDK unchanged, with entry points for exporters and samplers.
CONFIGURE = """
import warnings

with warnings.catch_warnings():  # SDK 1.39 uses what it has deprecated itself
    warnings.simplefilter("ignore")
    from opentelemetry.sdk._configuration import _OTelSDKConfigurator

    _OTelSDKConfigurator().configure(auto_instrumentation_version="0")
"""
INSTRUMENT = {
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_TRACES_SAMPLER": "mlotel_lineage",
    "OTEL_TRACES_SAMPLER_ARG": "0",
}


@pytest.fixture
def instrumented(script: Script, tmp_path: Path) -> Script:
    """Runs a program as `opentelemetry-instrument` does, with the entry points that mlotel's package declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    metadata = tmp_path / "path" / "mlotel_declared-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mlotel-declared\nVersion: 0\n")
    samplers = declared["opentelemetry_traces_sampler"]
    lines = ["[opentelemetry_traces_sampler]", *(f"{name} = {value}" for name, value in samplers.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "path" / "sitecustomize.py").write_text(CONFIGURE)

    def run(source: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path / "path"), str(ROOT / "src")])
        return script(source, **{**INSTRUMENT, "PYTHONPATH": path, "MLOTEL_STORE": None, **variables})

    return run


def printed(text: str) -> list[dict[str, Any]]:
    """The spans that the console exporter printed, between lines that the program did."""
    decoder, found, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0:
        span, end = decoder.raw_decode(text, at)
        found.append(span)
        at = text.find("{", end)
    return found


def test_a_program_that_opentelemetry_instrument_runs(instrumented: Script) -> None:
    """Its provider and the sampler that it was told by name are used, and stay; nothing is said, no store is made."""
    done = instrumented(
        """
        import mlotel
        from opentelemetry import trace
        provider = trace.get_tracer_provider()
        with trace.get_tracer("other").start_as_current_span("request"), mlotel.component("a") as run:
            run.log_output(b"x", "x")
        assert trace.get_tracer_provider() is provider
        """,
        OTEL_LOGS_EXPORTER="console",
    )
    spans = [each for each in printed(done.stdout) if "span_id" in each.get("context", {}) and "kind" in each]
    assert sorted(span["name"] for span in spans) == ["a", "write x"]
    assert {span["resource"]["attributes"]["telemetry.auto.version"] for span in spans} == {"0"}
    assert done.stderr == ""


def test_instrumentation_that_begins_after_the_first_run(script: Script, tmp_path: Path) -> None:
    """The first run goes to the embedded store, the next ones to the provider that was configured meanwhile."""
    done = script(
        f"""
        import mlotel
        from opentelemetry import trace
        with mlotel.component("first"):
            pass
        outer = mlotel.component("outer")
        with outer:
            exec({CONFIGURE!r})
            configured = trace.get_tracer_provider()
            with mlotel.component("second"):
                pass
        with mlotel.component("third"):
            pass
        assert trace.get_tracer_provider() is configured
        assert type(configured).__module__ == "opentelemetry.sdk.trace"
        """,
        **{**INSTRUMENT, "OTEL_TRACES_SAMPLER": None, "MLOTEL_STORE": None},
    )
    assert [span["name"] for span in printed(done.stdout)] == ["second", "third"]
    assert done.stderr == "mlotel: OTEL_TRACES_EXPORTER=console is not known here: none is used\n"  # by the first run
    with FileStore(tmp_path / ".mlotel") as store:
        states = {run.component: run.state for run in store.runs()}
    assert states["first"] == states["outer"] == "ok"


def test_providers_that_an_application_sets_while_runs_go_to_a_collector(script: Script, tmp_path: Path) -> None:
    """What was recorded before is not lost with the providers that it was recorded by."""
    script(
        """
        import mlotel
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        with mlotel.component("before"):
            pass
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        assert trace.get_tracer_provider() is provider
        with mlotel.component("after"):
            pass
        assert [span.name for span in exporter.get_finished_spans()] == ["after"]
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",  # nobody listens: it goes to the spool
    )
    spooled = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "store" / "spool").rglob("*.jsonl"))
    spans = [line for line in spooled.splitlines() if "resourceSpans" in line]
    assert [('"name":"before"' in line, '"name":"after"' in line) for line in spans] == [(True, False)]


@pytest.mark.parametrize(
    ("exporter", "said"),
    [("otlp,console", ""), ("console", "mlotel: OTEL_TRACES_EXPORTER=console is not known here: otlp is used")],
)
def test_an_exporter_of_another_name_is_told_once_where_otlp_is_used(script: Script, exporter: str, said: str) -> None:
    """Mlotel's own providers speak OTLP alone: one sentence, not one a run."""
    done = script(
        """
        import mlotel
        for _ in range(3):
            with mlotel.component("a"):
                pass
        mlotel.shutdown(0.1)
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_TRACES_EXPORTER=exporter,
    )
    lines = [line for line in done.stderr.splitlines() if "is not known" in line]
    assert lines == ([said] if said else [])


# -- warnings and logs

BAD_INPUT = """
    import mlotel
    from pathlib import Path

    @mlotel.component("work", params=True)
    def work(x, path):
        run = mlotel.current_run()
        run.log_input("text", "text")
        run.log_output(object(), "a name\\x00", derived_from="nothing")
        run.log_metrics({"m": "no number"})
        run.log_metrics({f"m{i}": i for i in range(100)})
        run.log_predictions([[1], [2, 3]])
        run.set_tag(1, 2)
        run.depends_on(7)
        run.log_params({1: object()})
        run.inject(None)
        return x

    assert [work(n, Path("nowhere")) for n in range(3)] == [0, 1, 2]
    mlotel.extract(7)
    mlotel.start_component("", attempt=1).end()
    """


def test_warnings_that_are_errors_stay_out_of_the_users_code(script: Script, tmp_path: Path) -> None:
    """Mlotel speaks through logging alone: where each Python warning is an error, bad input still breaks nothing."""
    done = script("    import warnings\n    warnings.simplefilter('error')" + BAD_INPUT)
    assert "mlotel: " in done.stderr
    assert "Traceback" not in done.stderr
    with FileStore(tmp_path / "store") as store:
        assert [run.state for run in store.runs(component="work")] == ["ok"] * 3


RAISE = "raise RuntimeError('strict')"
HANDLERS = {
    "handler": f"""
    class Strict(logging.Handler):
        def emit(self, record):
            {RAISE}
    logging.getLogger().addHandler(Strict())
    """,
    "filter": f"""
    class Strict(logging.Handler):
        def filter(self, record):
            {RAISE}
    logging.getLogger("mlotel").addHandler(Strict())
    """,
    "factory": f"""
    def strict(*args, **kwargs):
        {RAISE}
    logging.setLogRecordFactory(strict)
    """,
}


@pytest.mark.parametrize("kind", list(HANDLERS))
def test_log_handlers_that_raise_stay_out_of_the_users_code(script: Script, tmp_path: Path, kind: str) -> None:
    """A service that makes every warning an error of its own still gets its results, and has its runs."""
    script("    import logging" + HANDLERS[kind] + BAD_INPUT)
    with FileStore(tmp_path / "store") as store:
        assert [run.state for run in store.runs(component="work")] == ["ok"] * 3


def test_a_handler_that_is_a_component_itself_does_not_recurse(script: Script, tmp_path: Path) -> None:
    """What handles a warning of mlotel's may be traced, and give cause for a warning."""
    strict = """
    import logging
    import mlotel

    class Traced(logging.Handler):
        @mlotel.component("handle")
        def emit(self, record):
            mlotel.current_run().log_input("text", record.getMessage()[:20])

    logging.getLogger().addHandler(Traced())
    """
    script(strict + BAD_INPUT)
    with FileStore(tmp_path / "store") as store:
        assert [run.state for run in store.runs(component="work")] == ["ok"] * 3
        assert {run.state for run in store.runs(component="handle")} == {"ok"}


def test_warnings_name_the_line_that_gave_cause(caplog: pytest.LogCaptureFixture) -> None:
    """A record of mlotel's logger is of mlotel's module that warns, not of the one that keeps handlers in check."""
    from mlotel._log import logger

    logger.warning("mlotel: %s", "test")
    (record,) = caplog.records
    assert (record.filename, record.funcName) == (
        Path(__file__).name,
        "test_warnings_name_the_line_that_gave_cause",
    )
    assert record.getMessage() == "mlotel: test"


# -- what is imported

LOADED = "print(*(n for n in ('opentelemetry.sdk', 'pyarrow', 'numpy', 'pandas', 'grpc') if n in sys.modules))"


@pytest.fixture
def loaded(script: Script) -> Iterator[Callable[..., list[str]]]:
    def run(source: str, **variables: Any) -> list[str]:
        return script(f"import sys, mlotel\n{source}\n{LOADED}", **variables).stdout.split()

    return run


def test_arrow_is_loaded_when_a_table_comes(loaded: Callable[..., list[str]]) -> None:
    """Neither by runs, parameters, metrics and bytes, nor with a collector configured."""
    body = (
        "with mlotel.component('a', params={'x': 1}) as run:\n    run.log_input(b'x', 'x'); run.log_metrics({'m': 1})"
    )
    assert loaded(body) == []
    assert "pyarrow" not in loaded(body, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert "pyarrow" in loaded(
        "class Table:\n"
        "    def __arrow_c_stream__(self, requested_schema=None):\n"
        "        import pyarrow\n"
        "        return pyarrow.table({'x': [1]}).__arrow_c_stream__(requested_schema)\n"
        "with mlotel.component('a') as run:\n    run.log_input(Table(), 'x')"
    )
