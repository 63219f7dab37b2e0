"""The operations that explain, compare and review, and those that write flags, notes and labels."""

from __future__ import annotations

from mlotel.annotations import parse_deadline
from mlotel.ui import judging, saying
from mlotel.ui.asked import SINCE, UNTIL, WHAT, limit
from mlotel.ui.operations import Operation, Parameter
from mlotel.ui.schemas import reference

__all__ = ["JUDGING", "SAYING"]

_RUN = "A run id, trace id or span id, or its first digits (4 or more)."
_WHY = Parameter("why", "The reason, which is kept with it.", default="")
_AUTHOR = Parameter("author", "Who says it; by default what MLOTEL_AUTHOR says where `mlotel ui` was started.")
_LABEL = Parameter("label", "The label.", required=True)

JUDGING = (
    Operation(
        "GET",
        "/explain",
        "explainRun",
        "What a run was, when, where and how it ran.",
        judging.explained,
        reference("explain"),
        (Parameter("run", _RUN, required=True),),
    ),
    Operation(
        "GET",
        "/diff",
        "compareRuns",
        "What differs between two runs, and what of it explains the rest best.",
        judging.compare,
        reference("diff"),
        (Parameter("before", _RUN, required=True), Parameter("after", _RUN, required=True)),
    ),
    Operation(
        "GET",
        "/review",
        "review",
        "The flags, and the runs behind what is flagged, the most suspect first.",
        judging.reviewed,
        reference("review"),
        (SINCE, UNTIL, limit(50, 1000, "runs are told of")),
    ),
    Operation(
        "GET",
        "/labels",
        "listLabels",
        "Every label, how many things were given it, and whether it is retracted.",
        judging.known_labels,
        reference("labels"),
    ),
    Operation(
        "GET",
        "/labels/of",
        "getLabelsOf",
        "The labels that something bears, by itself or by what it was made from.",
        judging.borne,
        reference("labels"),
        (WHAT,),
    ),
    Operation(
        "GET",
        "/labels/touched",
        "getTouchedByLabel",
        "Everything that bears a label: artifacts, models and runs.",
        judging.touched,
        reference("touched"),
        (_LABEL,),
    ),
    Operation(
        "GET",
        "/notes",
        "listNotes",
        "Notes, latest first: all, or those about one thing.",
        judging.notes,
        reference("annotations"),
        (
            Parameter("what", "What the notes are about, as for /lineage; all notes if it is not given."),
            limit(100, 1000, "notes are told"),
        ),
    ),
)
"""What is read."""

_ABOUT = (WHAT, _WHY, _AUTHOR)

SAYING = (
    Operation(
        "POST",
        "/flag",
        "flag",
        "Flag an artifact, all outputs of a run, or a prediction as wrong.",
        saying.flag,
        reference("annotations"),
        _ABOUT,
    ),
    Operation("POST", "/unflag", "unflag", "Take a flag back.", saying.unflag, reference("annotations"), _ABOUT),
    Operation(
        "POST",
        "/notes",
        "writeNote",
        "Write a note about a run, an artifact or a prediction.",
        saying.note,
        reference("annotations"),
        (WHAT, Parameter("text", "The note.", required=True), _AUTHOR),
    ),
    Operation(
        "POST",
        "/label",
        "label",
        "Give an artifact, or all that a run wrote, a label that passes to what is derived from it.",
        saying.label,
        reference("annotations"),
        (WHAT, _LABEL, _WHY, _AUTHOR),
    ),
    Operation(
        "POST",
        "/unlabel",
        "unlabel",
        "Take a label from what was given it.",
        saying.unlabel,
        reference("annotations"),
        (WHAT, _LABEL, _WHY, _AUTHOR),
    ),
    Operation(
        "POST",
        "/retract",
        "retract",
        "Retract a label: reading what bears it warns, and is refused after the deadline where a component asks for "
        "that.",
        saying.retract,
        reference("annotations"),
        (
            _LABEL,
            _WHY,
            Parameter(
                "deadline",
                "When its time is up: how long from now (30d, 12h), RFC 3339, or never.",
                default="30d",
                parse=parse_deadline,
            ),
            _AUTHOR,
        ),
    ),
    Operation(
        "POST",
        "/restore",
        "restore",
        "Take the retraction of a label back.",
        saying.restore,
        reference("annotations"),
        (_LABEL, _WHY, _AUTHOR),
    ),
)
"""What is written."""
