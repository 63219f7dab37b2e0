"""With and without mlotel, what callers see of a function is the same: by generated programs and callers."""

from __future__ import annotations

from typing import Any

from equivalence import ACTIONS, KINDS, Failure, Other, Tick, drive, forget, identity, source, steps, without_ours
from hypothesis import given, settings
from hypothesis import strategies as st

import mlotel
from mlotel.testing import capture

ENDED = {"ok", "failed", "cancelled"}


@settings(max_examples=200)
@given(kind=st.sampled_from(KINDS), program=steps, actions=ACTIONS)
def test_what_is_driven_step_by_step_answers_alike(
    kind: str, program: list[Any], actions: list[tuple[str, Any]]
) -> None:
    """Generators, coroutines and async generators, sent to, thrown into and closed at any step.

    Each answer is the same, each exception the same object with the same cause, context, notes and traceback but for
    one frame; the body sees the same, and the run ends whatever happens.
    """
    code = compile(source(program, kind), "<program>", "exec")
    namespace: dict[str, Any] = {"Tick": Tick, "Failure": Failure, "Other": Other}
    exec(code, namespace)
    error = Failure("raised")
    thrown = [Failure("thrown"), Other("thrown"), KeyboardInterrupt(), StopIteration(3), error]
    if kind != "coroutine":  # an `await` makes a `close` of it
        thrown.append(GeneratorExit())

    def observed(decorate: Any) -> tuple[list[Any], list[Any]]:
        forget(thrown)
        seen: list[Any] = []
        function = namespace["make"](decorate, seen, error)
        return drive(kind, function(), actions, thrown), seen

    plain, plain_seen = observed(identity)
    with capture() as captured:
        traced, traced_seen = observed(mlotel.component("c"))
        assert mlotel.current_run() is None
        states = [run.state for run in captured.runs]
    forget(thrown)

    plain_answers, none = without_ours(plain)
    traced_answers, ours = without_ours(traced)
    assert none == 0
    assert traced_answers == plain_answers
    assert traced_seen == plain_seen
    assert ours <= 1
    assert len(states) <= 1
    assert set(states) <= ENDED
