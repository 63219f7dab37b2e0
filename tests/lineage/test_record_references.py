"""`record:KEY` and `model:NAME:VERSION`: from one data point to the run, the model and what is behind it."""

from __future__ import annotations

import pytest
from pipelines import Book, Io, otlp_lines

from mlotel.errors import RunNotFoundError
from mlotel.lineage import resolve, resolve_record, resolve_run, upstream
from mlotel.semconv import attributes as A
from mlotel.store.memory import MemoryStore
from mlotel.store.predictions.keys import hashes

SECRET = b"secret"
MODEL = Io("weights", name="delay", type="model")


def told(key: str, value: float, secret: bytes | None = None) -> dict[str, object]:
    """What the span of a run says that logged one keyed prediction."""
    return {
        A.MLOTEL_RECORD_KEY_HASH: hashes(key, secret)[0],
        "mlotel.prediction.count": 1,
        "mlotel.prediction.mean": value,
    }


def store_of(book: Book) -> MemoryStore:
    return MemoryStore(otlp_lines(book).encode().splitlines())


def test_a_record_stands_for_the_run_of_its_latest_prediction(book):
    """record:KEY is the run of the latest prediction, wherever a run is asked for; how many there are is told."""
    first = book.run("serve", attributes=told("order-1", 0.25))
    book.run("serve", attributes=told("order-2", 0.5))
    last = book.run("serve", attributes=told("order-1", 0.75))
    store = store_of(book)

    found = resolve_record(store, "record:order-1")

    assert (found.run.run_id, found.prediction.value, found.count, found.key) == (last.run_id, 0.75, 2, "order-1")
    assert resolve(store, "record:order-1").run_id == resolve_run(store, " record:order-1").run_id == last.run_id
    earlier = resolve_record(store, "order-1", until_ns=last.start_ns - 1)
    assert (earlier.run.run_id, earlier.count) == (first.run_id, 1)


def test_the_journey_of_a_data_point(book):
    """Behind a record are the model that made the prediction, the run that trained it, and that run's data."""
    book.run("ingest", writes=["raw"])
    book.run("train", ["raw"], [MODEL])
    book.run("other", ["elsewhere"], ["unrelated"])
    book.run("serve", [Io("weights", name="delay", type="model")], attributes=told("order-1", 0.25))
    store = store_of(book)

    found = upstream(store, resolve(store, "record:order-1"))

    assert [run.component for run in found.runs] == ["ingest", "train", "serve"]
    assert {each.name for each in found.artifacts} == {"raw", "delay"}


def test_a_record_whose_key_is_hashed_with_a_secret(book):
    """The secret is taken as given, or from the environment; without it there is no such record, and that is said."""
    run = book.run("serve", attributes=told("order-1", 0.25, SECRET))
    store = store_of(book)

    assert resolve_record(store, "order-1", secret=SECRET).run.run_id == run.run_id
    environment = {"MLOTEL_RECORD_KEY_SECRET": SECRET.decode()}
    assert resolve_record(store, "order-1", environment=environment).run.run_id == run.run_id
    with pytest.raises(RunNotFoundError, match=r"'order-1'.*set MLOTEL_RECORD_KEY_SECRET"):
        resolve_record(store, "order-1", environment={})


@pytest.mark.parametrize("key", ["order-2", "", " ", "\x1b[2J", "%s", "record:order-1"])
def test_a_record_that_is_not_there(book, key):
    """What nobody predicted anything for is not found, whatever the key holds."""
    book.run("serve", attributes=told("order-1", 0.25))

    with pytest.raises(RunNotFoundError, match="no prediction for the record"):
        resolve(store_of(book), f"record:{key}")


def test_a_prediction_whose_run_is_not_there(book):
    """Where the run is kept elsewhere, its trace and span are named."""

    class Without(MemoryStore):
        def run_of_span(self, trace_id, span_id):
            return None

    run = book.run("serve", attributes=told("order-1", 0.25))
    store = Without(otlp_lines(book).encode().splitlines())

    with pytest.raises(RunNotFoundError, match=f"trace {run.trace_id}, span {run.span_id}"):
        resolve_record(store, "order-1")


def test_a_model_stands_for_its_latest_version(book, opened):
    """model:NAME is the latest model of that name that was written, and no other kind of artifact."""
    book.run("train", writes=[Io("old", name="delay", type="model")])
    new = book.run("train", writes=[Io("new", name="delay", type="model")])
    book.run("report", writes=[Io("text", name="delay", type="report")])
    book.run("serve", [Io("old", name="delay", type="model")])

    found = resolve(opened(book), "model:delay")

    assert (found.run_id, found.digest) == (new.run_id, new.outputs[0].digest)


def test_a_model_of_a_version(book, opened):
    """The version is the model's own, as its run says it, or that of the component, or the beginning of the digest."""
    says = {A.MLOTEL_MODEL_VERSION: "7"}
    own = book.run("train", writes=[Io("a", name="delay", type="model")], attributes=says, version="2.1")
    component = book.run("train", writes=[Io("b", name="delay", type="model")], version="2.2")
    for _ in range(3):
        book.run(
            "serve", [Io("a", name="delay", type="model")], attributes={A.MLOTEL_MODEL_VERSION: "9"}, version="2.1"
        )
    store = opened(book)

    assert resolve(store, "model:delay:7").run_id == own.run_id
    assert resolve(store, "model:delay:2.2").run_id == component.run_id
    short = component.outputs[0].digest.removeprefix("blake3:")[:6]
    assert resolve(store, f"model:delay:{short}").run_id == component.run_id
    assert resolve(store, "model:delay:9").digest == own.outputs[0].digest
    for version in ("2.1", "8", "abc"):
        with pytest.raises(RunNotFoundError):
            resolve(store, f"model:delay:{version}")


def test_a_model_of_an_old_version(book, opened):
    """However many have been written and read since, and whoever says the version."""
    own = book.run("train", writes=[Io("a", name="delay", type="model")], attributes={A.MLOTEL_MODEL_VERSION: "7"})
    component = book.run("train", writes=[Io("b", name="delay", type="model")], version="2.2")
    file = book.run("train", writes=[Io("c", name="delay", type=None)], attributes={A.MLOTEL_MODEL_VERSION: "file"})
    read = book.run("serve", [Io("d", name="delay", type="model")], attributes={A.MLOTEL_MODEL_VERSION: "read"})
    book.run("serve", [Io("a", name="delay", type="model")], attributes={A.MLOTEL_MODEL_VERSION: "7"})
    book.run("train", [Io("a", name="delay", type="model")], writes=[Io("e", name="other")], version="elsewhere")
    for number in range(100):
        said = {A.MLOTEL_MODEL_VERSION: f"later-{number}"}
        book.run("train", writes=[Io(f"{number}", name="delay", type="model")], attributes=said)
    store = opened(book)

    assert resolve(store, "model:delay:7").span_id == own.outputs[0].span_id
    assert resolve(store, "model:delay:2.2").run_id == component.run_id
    assert resolve(store, "model:delay:file").run_id == file.run_id
    assert resolve(store, "model:delay:read").run_id == read.run_id
    short = component.outputs[0].digest.removeprefix("blake3:")[:12]
    assert resolve(store, f"model:delay:{short}").run_id == component.run_id
    for version in ("later", "elsewhere", "70"):
        with pytest.raises(RunNotFoundError):
            resolve(store, f"model:delay:{version}")


def test_a_model_that_was_only_read(book, opened):
    """A model that no run in the store wrote is found by the name and version that its readers gave it."""
    run = book.run("serve", [Io("a", name="delay", type="model")], attributes={A.MLOTEL_MODEL_VERSION: "9"})

    assert resolve(opened(book), "model:delay:9").run_id == run.run_id
    assert resolve(opened(book), "model:delay").run_id == run.run_id


def test_a_models_name_may_hold_colons(book, opened):
    """A name is tried as a whole before its end is taken for a version."""
    whole = book.run("train", writes=[Io("a", name="shop:delay", type="model")])
    book.run("train", writes=[Io("b", name="shop", type="model")], version="delay")
    store = opened(book)

    assert resolve(store, "model:shop:delay").run_id == whole.run_id
    for text in ("", ":", ":1", "shop:", "x"):
        with pytest.raises(RunNotFoundError):
            resolve(store, f"model:{text}")


def test_a_model_without_a_type(book, opened):
    """A file that nobody called a model is taken for one where no model has the name."""
    run = book.run("train", writes=[Io("a", name="delay.bin", type=None)])

    assert resolve(opened(book), "model:delay.bin").run_id == run.run_id
