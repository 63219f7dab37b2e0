"""Rules about models and features that are called like queries, templates and markup, in the real promtool."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from promtool import Case, check

sys.path.insert(0, str(Path(__file__).parents[1] / "reliability"))

from hostile_texts import PIECES

from mlotel.drift import Reference
from mlotel.rules import Options, generate, to_yaml
from mlotel_stack import Programs

pytestmark = pytest.mark.stack
NAMES = sorted({each.encode("utf-8", "replace").decode()[:100] for each in PIECES})
ROWS = 2_000


def quoted(text: str) -> str:
    """A text between double quotes as Prometheus reads it, without the quotes."""
    return json.dumps(text)[1:-1].replace("\\ud835\\udd18", "\U0001d518")


def test_each_rule_is_about_the_series_of_its_own_name(tmp_path: Path, programs: Programs) -> None:
    """Promtool takes the file, and the drift of each feature of each model is recorded under exactly its name."""
    table = pa.table({name: [float(row % 10) for row in range(ROWS)] for name in NAMES})
    model = "".join(NAMES)[:250]
    reference = Reference.fit(table, model=model, version='1"} or vector(1) #', bins=5)
    rules = to_yaml(generate([reference], Options(expect={name: "26h" for name in NAMES if name.strip()})))
    case = Case()
    about = {"mlotel_model_name": quoted(model), "mlotel_model_version": quoted('1"} or vector(1) #')}
    for feature in reference.features:
        for place, count in enumerate(feature.counts):
            labels = {**about, "mlotel_feature_name": quoted(feature.name), "mlotel_feature_bin": f"{place}"}
            case.counter("mlotel_feature_values_total", labels, count / 60)
            case.gauge("mlotel_feature_reference_ratio", labels, count / ROWS)
    case.equal('count(mlotel:feature:psi{mlotel_feature_name!=""})', len(NAMES))
    for name in NAMES:
        case.equal(f'count(mlotel:feature:psi{{mlotel_feature_name="{quoted(name)}"}})', 1)
    check(programs.promtool, tmp_path, rules, [case])
