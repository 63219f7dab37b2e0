"""The functions by which something is said, or taken back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from mlotel import sdk
from mlotel._names import check_name
from mlotel.annotations._targets import Target, targets_in
from mlotel.annotations._writing import StoreOrPath, about, writing
from mlotel.errors import ConfigurationError, RunNotFoundError
from mlotel.model import Annotation
from mlotel.standing import flags, labels, retractions

__all__ = ["DEADLINE", "MOST_TEXT", "flag", "label", "note", "restore", "retract", "unflag", "unlabel"]

DEADLINE = timedelta(days=30)
"""How long what bears a retracted label may still be read, if nothing else is said."""
MOST_TEXT = 10_000
"""Characters of a note or a reason."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def note(what: object, text: str, *, store: StoreOrPath = None, author: str | None = None) -> Sequence[Annotation]:
    """Write a note about a run, an artifact or a prediction, and return it.

    Raises:
        ConfigurationError: the text is empty or too long.
        RunNotFoundError: nothing answers to `what`.
        StoreError: it cannot be written.
    """
    if not _checked(text).strip():
        raise ConfigurationError("a note needs a text")
    with about(what, store, author=author) as (opened, targets):
        return [opened.say("note", each, text) for each in targets]


def flag(what: object, why: str = "", *, store: StoreOrPath = None, author: str | None = None) -> Sequence[Annotation]:
    """Flag an artifact, all outputs of a run, or a prediction as wrong, for `mlotel review`; return the flags.

    Raises:
        ConfigurationError: the reason is too long.
        RunNotFoundError: nothing answers to `what`.
        StoreError: it cannot be written.
    """
    _checked(why)
    with about(what, store, author=author) as (opened, targets):
        return [opened.say("flag", each, why) for each in targets]


def unflag(
    what: object, why: str = "", *, store: StoreOrPath = None, author: str | None = None
) -> Sequence[Annotation]:
    """Take the flag of an artifact, a run or a prediction back; return what was written.

    Raises:
        RunNotFoundError: nothing answers to `what`, or it has no flag of its own.
        StoreError: it cannot be written.
    """
    _checked(why)
    with writing(store, author=author) as opened:
        targets = targets_in(opened.store, what)
        held = [each for each in flags(opened.store) if each.target in {target.name for target in targets}]
        if not held:
            raise RunNotFoundError(f"{_shown(what)} has no flag of its own: `mlotel review` lists what is flagged")
        return [opened.say("unflag", target, why) for target in _flagged(targets, held)]


def label(
    what: object, label: str, why: str = "", *, store: StoreOrPath = None, author: str | None = None
) -> Sequence[Annotation]:
    """Give an artifact, or everything that a run wrote, a label that passes to what is derived from it.

    Raises:
        ConfigurationError: it cannot be a label, the reason is too long, or `what` is a prediction.
        RunNotFoundError: nothing answers to `what`.
        StoreError: it cannot be written.
    """
    check_name(label, "a label")
    _checked(why)
    with about(what, store, author=author) as (opened, targets):
        if any(target.key_hash for target in targets):
            raise ConfigurationError("a prediction bears the labels of its run: label the run, or what it read")
        said = [opened.say("label", each, why, label=label) for each in targets]
    sdk.retractions_changed()
    return said


def unlabel(
    what: object, label: str, why: str = "", *, store: StoreOrPath = None, author: str | None = None
) -> Sequence[Annotation]:
    """Take a label from an artifact or a run that was given it.

    Raises:
        RunNotFoundError: nothing answers to `what`, or it was not given this label; it may have inherited it.
        StoreError: it cannot be written.
    """
    _checked(why)
    with writing(store, author=author) as opened:
        targets = targets_in(opened.store, what)
        given = {each.target for each in labels(opened.store) if each.label == label}
        bearers = [each for each in targets if each.name in given]
        if not bearers:
            raise RunNotFoundError(
                f"{_shown(what)} was not given the label {label!r}: `mlotel labels` tells which things were"
            )
        said = [opened.say("unlabel", each, why, label=label) for each in bearers]
    sdk.retractions_changed()
    return said


def retract(
    label: str,
    why: str = "",
    *,
    deadline: timedelta | datetime | None = DEADLINE,
    store: StoreOrPath = None,
    author: str | None = None,
) -> Annotation:
    """Retract a label: reading what bears it warns, and is refused after the deadline where a component asked for that.

    Args:
        label: A label that something bears.
        why: The reason.
        deadline: When the time of what bears it is up, or how long from now; None for never.
        store: Where the label was given.
        author: Who retracts it.

    Raises:
        ConfigurationError: the deadline is no time, or the reason is too long.
        RunNotFoundError: nothing was given this label.
        StoreError: it cannot be written.
    """
    _checked(why)
    with writing(store, author=author) as opened:
        known = {each.label for each in labels(opened.store) if each.label is not None}
        if label not in known:
            raise RunNotFoundError(f"nothing was given the label {label!r}{_nearest(label, known)}")
        said = opened.say("retract", label, why, label=label, deadline_ns=_deadline_ns(deadline, opened.now()))
    sdk.retractions_changed()
    return said


def restore(label: str, why: str = "", *, store: StoreOrPath = None, author: str | None = None) -> Annotation:
    """Take the retraction of a label back.

    Raises:
        RunNotFoundError: the label is not retracted.
        StoreError: it cannot be written.
    """
    _checked(why)
    with writing(store, author=author) as opened:
        known = retractions(opened.store)
        if label not in known:
            raise RunNotFoundError(f"the label {label!r} is not retracted{_nearest(label, known)}")
        said = opened.say("restore", label, why, label=label)
    sdk.retractions_changed()
    return said


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"a note or a reason must be text, not {type(text).__name__}")
    if len(text) > MOST_TEXT:
        raise ConfigurationError(f"a text has at most {MOST_TEXT:,} characters, this one has {len(text):,}: shorten it")
    return text


def _flagged(targets: Iterable[Target], held: Iterable[Annotation]) -> Iterable[Target]:
    """Each flagged target; one for each flagged prediction of a key."""
    for target in targets:
        for each in held:
            if each.target == target.name:
                yield target if each.run_id is None or target.key_hash is None else target.of_run(each.run_id)


def _deadline_ns(deadline: timedelta | datetime | None, now_ns: int) -> int | None:
    if deadline is None:
        return None
    if isinstance(deadline, datetime):
        moment = deadline if deadline.tzinfo is not None else deadline.replace(tzinfo=UTC)
        found = (moment - _EPOCH) // _MICROSECOND * 1000
    elif isinstance(deadline, timedelta):
        found = now_ns + deadline // _MICROSECOND * 1000
    else:
        raise ConfigurationError(f"deadline must be a timedelta, a datetime or None, not {type(deadline).__name__}")
    if not 0 <= found < 1 << 63:
        raise ConfigurationError("deadline lies outside of the years that can be written: give an earlier one")
    return found


def _shown(what: object) -> str:
    return repr(what) if isinstance(what, str) else f"this {type(what).__name__}"


def _nearest(label: str, known: Iterable[str]) -> str:
    close = get_close_matches(label, list(known), n=3)
    if close:
        return f": did you mean {' or '.join(map(repr, close))}?"
    return ": `mlotel labels` lists what there is"
