"""All rules for some references."""

from __future__ import annotations

from collections.abc import Sequence

from mlotel.drift import Reference
from mlotel.drift.tolerance import LEAST_ROWS
from mlotel.errors import ConfigurationError, InvalidReferenceError
from mlotel.rules._alerts import drift_alerts, pipeline_rules, telemetry_alerts
from mlotel.rules._drift import drift_rules
from mlotel.rules._values import Group, Options

__all__ = ["generate"]


def generate(references: Sequence[Reference], options: Options | None = None) -> list[Group]:
    """Return the rules for models, by their references: a group for each, one for pipelines, one for the telemetry.

    Valid from Prometheus 2.42 on. They work on sums over replicas, so that each replica only counts.

    Args:
        references: one for each version of each model, with its name and version.
        options: what can be chosen.

    Raises:
        ConfigurationError: a reference has no model or version, or two are of the same one.
        InvalidReferenceError: a reference has too few rows for any verdict.
    """
    options = options or Options()
    models: dict[tuple[str, str], Reference] = {}
    for reference in references:
        model, version = reference.model, reference.model_version
        if not model or not version:
            raise ConfigurationError(
                f"a reference has no {'version' if model else 'model'}: give Reference.fit a model= and a version=, "
                "since the rules judge what is served under these names"
            )
        if (model, version) in models:
            raise ConfigurationError(f"two references are of {model!r} {version!r}: give each version one")
        if reference.rows < LEAST_ROWS or not reference.features:
            raise InvalidReferenceError(
                f"the reference of {model!r} {version!r} has {reference.rows:,} rows and {len(reference.features):,} "
                f"features: nothing can be judged with fewer than {LEAST_ROWS} and 1, so fit it on more"
            )
        models[model, version] = reference
    groups = [
        Group(
            f"mlotel-drift:{model}:{version}",
            (*drift_rules(each, model, version, options), *drift_alerts(each, model, version, options)),
            f"{len(each.features):,} features of {model} {version}, {each.rows:,} rows, {each.digest}",
        )
        for (model, version), each in models.items()
    ]
    return [
        *groups,
        Group("mlotel-pipelines", tuple(pipeline_rules(options)), "Runs and requests of all components."),
        Group("mlotel-telemetry", tuple(telemetry_alerts(models, options)), "Whether the other rules see anything."),
    ]
