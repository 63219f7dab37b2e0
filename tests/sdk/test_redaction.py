"""What a hook of `configure(redact=...)` is asked, what leaves in the place of a value, and through whose providers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry import trace

import mlotel
from mlotel.errors import ConfigurationError
from mlotel.model import Run
from mlotel.store.files import FileStore

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def recorded(root: Path) -> Run:
    with FileStore(root) as store:
        (run,) = store.runs()
    return run


def test_the_hook_is_asked_for_each_text_and_for_values_of_the_user_alone(tmp_path: Path) -> None:
    """Numbers that mlotel measures, and the ids and digests that it makes, are no business of a hook's."""
    asked: dict[str, Any] = {}

    def hook(key: str, value: Any) -> Any:
        asked[key] = value
        return value

    mlotel.configure(store=tmp_path, redact=hook)
    with mlotel.component("a", pipeline="p") as run:
        run.log_input(pa.table({"x": [1, 2]}), name="table")
        run.log_params({"depth": 3})
        run.set_attributes({"custom": True})

    shown = {key: asked.get(key) for key in ("mlotel.component.name", "mlotel.artifact.name", "mlotel.param.depth")}
    assert shown == {"mlotel.component.name": "a", "mlotel.artifact.name": "table", "mlotel.param.depth": 3}
    assert (asked["custom"], asked["mlotel.param"]) == (True, "depth")
    assert asked.keys().isdisjoint(
        {"mlotel.run.id", "mlotel.artifact.digest", "mlotel.artifact.rows", "mlotel.run.cpu.time", "process.pid"}
    )


def test_what_the_hook_returns_stands_in_the_values_place(tmp_path: Path) -> None:
    """Of lists item by item; None stands for what is redacted, and an object for its type."""
    answers: dict[Any, Any] = {"one": "1", 3: "three", "none": None, "odd": object()}
    mlotel.configure(store=tmp_path, redact=lambda key, value: answers.get(value, value))
    with mlotel.component("a", tags=["one", "two"]) as run:
        run.log_params({"number": 3, "none": "none", "odd": "odd"})
        trace.get_current_span().set_attribute("mine", "one")  # whoever sets it, it is a span of mlotel's

    found = recorded(tmp_path)
    assert found.params == {"number": "three", "[redacted]": "[redacted]", "object": "object"}
    assert found.attributes["mlotel.component.tags"] == ("1", "two")
    assert found.attributes["mine"] == "1"


def test_the_data_set_of_predictions_is_asked_for_as_well(tmp_path: Path) -> None:
    """Each class once; rows are still found by their keys."""
    asked: list[str] = []

    def hook(key: str, value: Any) -> Any:
        asked.append(key)
        return value.replace("secret", "gone")

    mlotel.configure(store=tmp_path, redact=hook, record_key_secret="s")
    with mlotel.component("a") as run:
        run.log_predictions(["secret", "b"] * 1000, keys=range(2000), model="secret model")

    with FileStore(tmp_path) as store:
        (found,) = store.predictions("0", secret=b"s")
    assert (found.value, found.model) == ("gone", "gone model")
    assert asked.count("mlotel.prediction.class") == 2


def test_texts_of_exceptions_are_kept_back_by_a_variable_too(script: Script, tmp_path: Path) -> None:
    """Those that a user's own code records on the run's span are among them."""
    script(
        """
        import mlotel
        from opentelemetry import trace
        try:
            with mlotel.component("a"):
                trace.get_current_span().record_exception(KeyError("s3cret"))
                raise ValueError("s3cret")
        except ValueError:
            pass
        """,
        MLOTEL_EXCEPTION_TEXT="false",
    )
    assert recorded(tmp_path / "store").error == {"type": "ValueError"}
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*.jsonl"))
    assert b"KeyError" in written
    assert b"s3cret" not in written


def test_an_applications_own_provider_gets_what_may_leave(script: Script) -> None:
    """Its own spans are its own business."""
    script(
        """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        import mlotel

        spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(spans))
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(MeterProvider([reader]))

        mlotel.configure(store=False, redact=lambda key, value: str(value).replace("secret", "gone"))
        with tracers.get_tracer("app").start_as_current_span("secret request"):
            with mlotel.component("secret") as run:
                run.log_params({"a": "secret"})
                with tracers.get_tracer("app").start_as_current_span("inner"):
                    pass
        inner, ours, theirs = spans.get_finished_spans()
        assert (ours.name, ours.attributes["mlotel.param.a"], theirs.name) == ("gone", "gone", "secret request")
        assert inner.parent.span_id == ours.context.span_id and ours.parent.span_id == theirs.context.span_id
        text = reader.get_metrics_data().to_json()
        assert "gone" in text and "secret" not in text
        """
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"redact": "pattern"}, "redact must be a function of an attribute's name and value, or False, not a str"),
        ({"redact": True}, "redact must be a function"),
        ({"exception_text": "no"}, "exception_text must be True or False, not a str"),
    ],
)
def test_what_is_no_hook_is_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    """A hook that is mistyped must not be found out from what has left."""
    with pytest.raises(ConfigurationError, match=message):
        mlotel.configure(**arguments)


def test_a_hook_is_taken_back_by_false(tmp_path: Path) -> None:
    """None leaves it as it was, as with all settings."""
    mlotel.configure(store=tmp_path, redact=lambda key, value: "gone")
    mlotel.configure(exception_text=True)
    with mlotel.component("a"):
        pass
    assert recorded(tmp_path).component == "gone"
    mlotel.configure(store=tmp_path / "other", redact=False)
    with mlotel.component("a"):
        pass
    assert recorded(tmp_path / "other").component == "a"
