"""The contract of stores for a backend of traces, and what such a backend does in its own way.

What it cannot hold is declared here, test by test, with the test that says what it does instead.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from contract import StoreContract
from otlp_lines import SECOND, T0, RunLines, digest, link_to, span_line

from mlotel.lineage import resolve, upstream
from mlotel.semconv import attributes as A
from mlotel.store.conditions import Condition
from mlotel.store.predictions.keys import hashes
from mlotel.store.remote import RemoteStore

DAY = 24 * 3600 * SECOND
RemoteStoreOf = Callable[..., "RemoteStore[object]"]


class RemoteContract(StoreContract):
    """`store_of(*lines, now_s=…, **arguments)` makes a store of the spans of the lines; it searches T0 ± one day."""

    # Log records tell of these: test_what_log_records_tell_is_not_there.
    test_a_run_that_has_only_started = None
    test_a_run_elsewhere_is_lost_after_three_heartbeats = None
    test_heartbeats_keep_a_run_alive = None
    test_a_run_of_a_living_process_here_is_running = None
    test_a_run_whose_process_is_gone_is_lost = None
    test_an_end_record_ends_a_run = None
    # And of these: test_what_a_manifest_lists_is_not_there.
    test_the_entries_of_a_manifest_are_found = None
    test_a_manifest_may_come_in_parts = None
    # No collector takes such lines, so that no backend has them; how lines are read is tested with the other stores.
    test_spans_that_are_not_mlotels_are_left_out = None
    test_junk_is_skipped_and_counted = None
    test_one_bad_span_costs_no_other = None
    test_variants_of_the_json_form = None

    def test_what_log_records_tell_is_not_there(self, store_of: RemoteStoreOf) -> None:
        """A run that has not ended is unknown; whoever asks for such runs is told that the answer is partial."""
        run = RunLines(1)
        store = store_of(run.start(), run.heartbeat(30), span_line(run.read("x", digest("a"))), now_s=40)

        assert (store.runs(), store.find_runs(run.run_id), store.partial) == ((), (), False)
        assert store.runs(where=[Condition("state", "=", "running")]) == ()
        assert store.partial
        assert "log records" in store.problems[0]

    def test_what_a_manifest_lists_is_not_there(self, store_of: RemoteStoreOf) -> None:
        """The entries of a manifest are unknown: a lineage that meets one is partial."""
        run = RunLines(1)
        read = run.read("parts", digest("9"), **{A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "manifest"})
        store = store_of(span_line(read), run.manifest([{"name": "part"}], read["spanId"]), run.end())

        found = upstream(store, resolve(store, run.run_id))

        assert (found.partial, [each.name for each in found.artifacts]) == (True, ["parts"])
        assert store.find_artifacts(name="part") == ()
        assert "log records" in store.problems[0]

    def test_flags_notes_and_labels_are_not_there(self, store_of: RemoteStoreOf) -> None:
        """There are none, and whoever asks is told once that the answer is partial."""
        store = store_of(RunLines(1).end())

        assert store.runs()
        assert not store.partial
        assert (store.annotations(), store.annotations(kind="flag"), store.partial) == ((), (), True)
        assert len(store.problems) == 1

    def test_what_comes_twice_counts_once(self, store_of: RemoteStoreOf) -> None:
        """A replay delivers at least once: the same spans again change nothing."""
        run = RunLines(1)
        lines = [span_line(run.read("x", digest("a"))), run.end()]
        store = store_of(*lines, *lines, span_line(run.span()), *lines)

        assert [len(each.inputs) for each in store.runs()] == [1]
        assert len(store.find_artifacts(digest=digest("a"))) == 1

    @pytest.mark.parametrize("seconds", [0, 600])
    def test_more_runs_than_a_request_brings(self, store_of: RemoteStoreOf, seconds: int) -> None:
        """Requests part the time range until each brings all that is in its part, however the runs are spread."""
        runs = [RunLines(n, start_s=n * seconds + n / 100) for n in range(60)]
        store = store_of(span_line(*[run.span() for run in runs]), page=7)

        assert [run.run_id for run in store.runs(limit=3)] == [run.run_id for run in runs[:-4:-1]]
        assert [run.run_id for run in store.runs()] == [run.run_id for run in reversed(runs)]
        assert not store.partial

    def test_what_more_requests_would_bring_is_told(self, store_of: RemoteStoreOf) -> None:
        """Where the requests of a question are used up, the latest runs are the answer, and it is partial."""
        runs = [RunLines(n, start_s=n) for n in range(60)]
        store = store_of(span_line(*[run.span() for run in runs]), page=7, max_requests=10)

        found = store.runs(component="train")

        assert store.partial
        assert "10 requests" in store.problems[0]
        assert 0 < len(found) < 60
        assert upstream(store, found[0]).partial

    def test_what_is_older_than_the_time_range_is_found_by_links_alone(self, store_of: RemoteStoreOf) -> None:
        """A search keeps to the time range; a producer that a link names is found whenever it was."""
        old, new = RunLines(1, "make", start_s=-3 * DAY / SECOND), RunLines(2, "use")
        written = old.write("x", digest("a"))
        read = new.read("x", digest("a"), links=[link_to(written)])
        store = store_of(span_line(written), old.end(), span_line(read), new.end())

        assert [run.component for run in store.runs()] == ["use"]
        assert [run.component for run in upstream(store, resolve(store, new.run_id)).runs] == ["make", "use"]
        assert [run.component for run in store.runs()] == ["use"]
        assert [one.direction for one in store.find_artifacts(digest=digest("a"))] == ["input"]

    def test_the_time_range_can_be_changed(self, store_of: RemoteStoreOf) -> None:
        """A question may ask beyond the time range; another time range holds as long as it is wanted."""
        store = store_of(RunLines(1, start_s=-3 * DAY / SECOND).end(), RunLines(2).end())

        assert [len(store.runs(since_ns=T0 - days * DAY)) for days in (0, 2, 4)] == [1, 1, 2]
        assert len(store.runs()) == 1
        with store.searching(T0 - 5 * DAY, T0 - DAY):
            assert [run.run_id for run in store.runs()] == [RunLines(1).run_id]
        with store.searching(T0 + 1):
            assert store.runs() == ()
        assert [run.run_id for run in store.runs()] == [RunLines(2).run_id]

    def test_a_prediction_is_found_by_its_key(self, store_of: RemoteStoreOf) -> None:
        """The hash of a key stands on the span of the run, or on a span of its own below it."""
        (one,), (keyed, _) = hashes("order-17"), hashes("order-18", b"secret")
        said = {A.MLOTEL_PREDICTION_COUNT: 1, A.MLOTEL_MODEL_NAME: "eta", A.MLOTEL_MODEL_VERSION: "3"}
        serving = RunLines(1, "serve", **{A.MLOTEL_RECORD_KEY_HASH: one, A.MLOTEL_PREDICTION_MEAN: 0.25, **said})
        batch = RunLines(2, "score", start_s=2)
        own = {
            **batch.read("predict"),
            "name": "predict",
            "attributes": batch.record(
                "",
                0,
                **{
                    A.MLOTEL_RUN_ID: batch.run_id,
                    A.MLOTEL_RECORD_KEY_HASH: keyed,
                    A.MLOTEL_PREDICTION_MEAN: 2.5,
                    **said,
                },
            )["attributes"],
        }
        store = store_of(serving.end(), span_line(own), batch.end())

        (found,) = store.predictions("order-17")
        assert (found.value, found.model, found.model_version, found.span_id) == (0.25, "eta", "3", serving.span_id)
        (found,) = store.predictions("order-18", secret=b"secret")
        assert (found.value, found.trace_id, found.span_id) == (2.5, batch.trace_id, batch.span_id)
        assert store.predictions("order-18") == store.predictions("order-19") == ()
        assert store.predictions("order-17", since_ns=T0 + SECOND) == ()

    def test_a_closed_store_begins_anew(self, store_of: RemoteStoreOf) -> None:
        """What was fetched is forgotten with the problems, and the next question is asked again."""
        store = store_of(RunLines(1).end())
        store.annotations()
        assert len(store.runs()) == 1

        store.close()

        assert not store.partial
        assert len(store.runs()) == 1
