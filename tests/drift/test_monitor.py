"""Many windows: one signal when drift begins, one when it is over, and none where nothing changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from mlotel.drift import Monitor, Reference, Signal
from mlotel.errors import ArtifactError, ConfigurationError, InvalidReferenceError

if TYPE_CHECKING:
    from conftest import TableOf


@pytest.fixture
def reference() -> Reference:
    return Reference.fit(pa.table({"x": np.random.default_rng(0).normal(size=20_000)}))


def windows(monitor: Monitor, means: list[float], *, rows: int = 1_000, seed: int = 1) -> list[tuple[int, Signal]]:
    rng = np.random.default_rng(seed)
    return [
        (number, signal)
        for number, mean in enumerate(means)
        for signal in monitor.observe(pa.table({"x": rng.normal(mean, 1, rows)}), at_ns=number)
    ]


def test_an_episode_is_told_twice(reference: Reference) -> None:
    """When it begins, and when it is over: with start, peak, end and recovery."""
    means = [0.0] * 5 + [0.4] * 3 + [1.0] + [0.4] * 4 + [0.0] * 10
    (begun, alarm), (ended, recovery) = windows(Monitor(reference), means)
    assert (alarm.kind, recovery.kind) == ("alarm", "recovery")
    assert begun in (5, 6)
    assert ended == 15
    episode = recovery.episode
    assert (episode.start_ns, episode.alarm_ns, episode.peak_ns) == (5, begun, 8)
    assert (episode.end_ns, episode.recovered_ns) == (13, 15)
    assert episode.reasons == ("distribution", "tails")
    assert not alarm.episode.over
    assert episode.over


def test_a_small_drift_takes_longer_and_is_found(reference: Reference) -> None:
    """At a PSI of about 0.09 it takes a few windows; evidence adds up."""
    monitor = Monitor(reference)
    ((begun, alarm),) = windows(monitor, [0.0] * 3 + [0.3] * 20)
    assert 3 < begun < 12
    assert monitor.episodes[0].alarm_ns == alarm.episode.alarm_ns == begun
    assert monitor.evidence("x") > 1


def test_two_drifts_are_two_episodes(reference: Reference) -> None:
    """What comes again after a recovery is told again."""
    told = windows(Monitor(reference), ([0.0] * 4 + [0.8] * 3) * 3 + [0.0] * 4)
    assert [signal.kind for _, signal in told] == ["alarm", "recovery"] * 3


def test_nothing_is_told_where_nothing_changes(reference: Reference) -> None:
    """Not in two thousand windows, and not where the change is one that is tolerated."""
    assert windows(Monitor(reference), [0.0] * 1_000) == []
    assert windows(Monitor(reference), [0.1] * 1_000) == []


def test_a_change_at_the_limit_is_not_told_whatever_the_reference_was() -> None:
    """At a PSI of 0.02 windows beside one small reference do not add up to an alarm, in 20 references."""
    rng = np.random.default_rng(3)
    shares = np.full(20, 0.05)
    moved = shares.copy()
    low, high = 0.0, 0.05
    for _ in range(60):
        middle = (low + high) / 2
        moved = shares + np.where(np.arange(20) < 10, middle, -middle)
        low, high = (middle, high) if np.sum((moved - shares) * np.log(moved / shares)) < 0.02 else (low, middle)
    texts = np.array([f"{letter}" for letter in "abcdefghijklmnopqrst"])
    alarms = 0
    for _ in range(20):
        monitor = Monitor(Reference.fit(pa.table({"c": rng.choice(texts, 5_000, p=shares)})))
        for _ in range(40):
            alarms += len(monitor.observe(pa.table({"c": rng.choice(texts, 2_000, p=moved)})))
    assert alarms <= 1


def test_a_restart_goes_on_where_it_was(reference: Reference) -> None:
    """State that went through JSON between any two windows gives the signals of a monitor that never stopped."""
    means = [0.0] * 3 + [0.3] * 9 + [0.0] * 6
    expected = windows(Monitor(reference), means)
    rng = np.random.default_rng(1)
    told = []
    state: Any = None
    for number, mean in enumerate(means):
        monitor = Monitor(Reference.from_json(json.dumps(reference.document())))
        if state is not None:
            monitor.restore(json.loads(state))
        told += [(number, each) for each in monitor.observe(pa.table({"x": rng.normal(mean, 1, 1_000)}), at_ns=number)]
        state = json.dumps(monitor.state(), allow_nan=False)
    assert [signal.kind for _, signal in expected] == ["alarm", "recovery"]
    assert told == expected


def test_counts_of_replicas_are_those_of_one_service(reference: Reference) -> None:
    """Merged counts of three replicas give what all rows in one table give."""
    rng = np.random.default_rng(4)
    one, many = Monitor(reference), Monitor(reference)
    for number in range(12):
        table = pa.table({"x": rng.normal(0.35 if number > 3 else 0.0, 1, 1_500)})
        parts = [reference.counts(table.slice(first, 500)) for first in (0, 500, 1_000)]
        merged = parts[2].merge(parts[0]).merge(parts[1])
        assert many.observe(merged, at_ns=number) == one.observe(table, at_ns=number)
    assert len(one.episodes) == 1
    assert one.state() == many.state()


def test_small_windows_are_added_up(reference: Reference) -> None:
    """Ten windows of a hundred rows are two of five hundred, also over a restart."""
    rng = np.random.default_rng(5)
    monitor = Monitor(reference)
    for _ in range(10):
        monitor.observe(pa.table({"x": rng.normal(size=100)}))
        state = json.loads(json.dumps(monitor.state()))
        monitor = Monitor(reference)
        monitor.restore(state)
    assert monitor.windows == 2


def test_lacking_columns_and_types_are_told_at_once(table_of: TableOf) -> None:
    """One window is enough for what is no matter of chance; once, and recovery when it is as it was."""
    monitor = Monitor(Reference.fit(table_of(5_000)), recovery=2)
    changed = table_of(1_000, 2).drop_columns("city").set_column(1, "score", pa.array(["x"] * 1_000))
    signals = monitor.observe(changed, at_ns=0)
    assert {(each.episode.feature, each.episode.reasons) for each in signals} == {
        ("city", ("column_missing",)),
        ("score", ("type_changed",)),
    }
    assert monitor.observe(changed, at_ns=1) == ()
    assert monitor.observe(table_of(1_000, 3), at_ns=2) == ()
    recovered = monitor.observe(table_of(1_000, 4), at_ns=3)
    assert {(each.kind, each.episode.end_ns) for each in recovered} == {("recovery", 2)}
    assert len(recovered) == 2


def test_missing_values_over_many_windows(table_of: TableOf) -> None:
    """A share that rose to what one small window cannot tell adds up."""
    rng = np.random.default_rng(6)
    monitor = Monitor(Reference.fit(table_of(50_000)))
    told = []
    for number in range(60):
        score = pa.array(rng.normal(size=500), mask=rng.random(500) < 0.02)
        told += monitor.observe(table_of(500, number + 10, score=score), at_ns=number)
    assert [each.episode.feature for each in told] == ["score"]
    assert "missing_values" in told[0].episode.reasons


def test_segments_share_the_evidence() -> None:
    """Windows of day and night are compared with their own references; drift in both adds up."""
    rng = np.random.default_rng(7)

    def rows(night: bool, shift: float, number: int) -> pa.Table:
        return pa.table({"night": [night] * number, "x": rng.normal((3.0 if night else 0.0) + shift, 1, number)})

    reference = Reference.fit(pa.concat_tables([rows(True, 0, 10_000), rows(False, 0, 10_000)]), segments="night")
    monitor = Monitor(reference)
    assert [monitor.observe(rows(n % 2 > 0, 0.0, 1_000), segment=n % 2 > 0) for n in range(20)] == [()] * 20
    told = [each for n in range(6) for each in monitor.observe(rows(n % 2 > 0, 0.5, 1_000), segment=n % 2 > 0)]
    assert [each.kind for each in told] == ["alarm"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"version": 2},
        {"reference": "blake3:0"},
        {"features": {}},
        {"windows": None},
        {"pending": 3},
        {"features": {"x": {"evidence": float("nan"), "since_ns": 0, "well": 0, "well_ns": 0, "episode": None}}},
    ],
)
def test_a_state_that_is_none_is_refused(change: dict[str, Any], reference: Reference) -> None:
    """Nothing of it is used."""
    monitor = Monitor(reference)
    before = monitor.state()
    with pytest.raises(InvalidReferenceError, match="begin without one"):
        monitor.restore({**before, **change})
    assert monitor.state() == before


def test_what_cannot_be_watched_is_told(reference: Reference) -> None:
    """Numbers out of range, unknown features, segments and detectors, and what is no window."""
    with pytest.raises(ConfigurationError, match="recovery 0"):
        Monitor(reference, recovery=0)
    with pytest.raises(ConfigurationError, match="nothing installed brings"):
        Monitor(reference, detectors=["sorcery"])
    with pytest.raises(ConfigurationError, match="no feature 'y'"):
        Monitor(reference).evidence("y")
    with pytest.raises(ConfigurationError, match="no segment"):
        Monitor(reference).observe(pa.table({"x": [1.0]}), segment=1)
    with pytest.raises(ArtifactError, match="is not a table"):
        Monitor(reference).observe(3)
