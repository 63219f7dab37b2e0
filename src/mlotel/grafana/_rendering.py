"""Dashboards as Grafana's JSON, by its own library grafana-foundation-sdk: the only module that knows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    tempo,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models
from grafana_foundation_sdk.models import tempo as tempo_models
from grafana_foundation_sdk.models import text as text_models

from mlotel.grafana._values import WIDTH, Dashboard, Kind, Link, Panel, Query, Variable

__all__ = ["render"]

TAG = "mlotel"
"""By which each dashboard finds the others."""

_SOURCES = {
    "prometheus": models.DataSourceRef("prometheus", "${datasource}"),
    "tempo": models.DataSourceRef("tempo", "${tempo}"),
}
_MOST_SPANS = 100
_NEUTRAL = "blue"


def render(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON; the same dashboard gives the same JSON."""
    built = (
        builders.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(dashboard.description)
        .tags([TAG])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time(dashboard.since, "now")
        .refresh("1m")
        .timezone("browser")
        .link(
            builders.DashboardLink("Other dashboards of mlotel")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .build()
    )
    built.templating = models.DashboardDashboardTemplating([_variable(each) for each in dashboard.variables])
    built.panels = list(_laid_out(dashboard))
    rendered: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
    return rendered


def _laid_out(dashboard: Dashboard) -> Iterator[models.Panel | models.RowPanel]:
    """Yield headings and panels, each with an id and its place: from left to right, and below where it is full."""
    number = y = 0
    for row in dashboard.rows:
        number += 1
        yield models.RowPanel(title=row.title, id_val=number, grid_pos=models.GridPos(h=1, w=WIDTH, x=0, y=y))
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            number += 1
            built = _panel(panel)
            built.id_val = number
            built.grid_pos = models.GridPos(h=panel.height, w=panel.width, x=x, y=y)
            yield built
            x, height = x + panel.width, max(height, panel.height)
        y += height


# -- panels


def _panel(panel: Panel) -> models.Panel:
    built = _DRAWN[panel.kind](panel)
    built.title, built.description = panel.title, panel.description
    if panel.queries:
        built.datasource = _SOURCES[panel.queries[0].backend]
        built.targets = [_target(panel, place, query) for place, query in enumerate(panel.queries)]
    config = built.field_config = built.field_config or models.FieldConfigSource()
    defaults = config.defaults
    defaults.unit = panel.unit or None
    defaults.decimals, defaults.min_val, defaults.max_val = panel.decimals, panel.low, panel.high
    if panel.thresholds:
        steps = [models.Threshold(value, colour) for value, colour in panel.thresholds]
        defaults.thresholds = models.ThresholdsConfig(models.ThresholdsMode.ABSOLUTE, steps)
    if panel.names:
        names = {value: models.ValueMappingResult(said, colour) for value, (said, colour) in panel.names.items()}
        defaults.mappings = [models.ValueMap(names)]
    if panel.links:
        defaults.links = [_link(each) for each in panel.links]
    if panel.columns:
        _set_columns(panel, built, config)
    return built


def _timeseries(panel: Panel) -> models.Panel:
    drawn = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(8)
        .show_points(common_models.VisibilityMode.AUTO)
        .span_nulls(False)
        .legend(_legend())
        .tooltip(_tooltip())
    )
    if panel.thresholds:
        drawn = drawn.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        )
    return drawn.build()


def _bars(panel: Panel) -> models.Panel:
    return (
        timeseries.Panel()
        .draw_style(common_models.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .line_width(0)
        .stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
        .legend(_legend())
        .tooltip(_tooltip())
        .build()
    )


def _stat(panel: Panel) -> models.Panel:
    drawn = (
        stat.Panel()
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .color_mode(common_models.BigValueColorMode.VALUE)
        .reduce_options(_latest())
    )
    if not panel.thresholds:
        drawn = drawn.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(_NEUTRAL))
    return drawn.build()


def _table(panel: Panel) -> models.Panel:
    return table.Panel().filterable(True).build()


def _heatmap(panel: Panel) -> models.Panel:
    return (
        heatmap.Panel()
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .steps(64)
            .exponent(0.5)
        )
        .y_axis(heatmap.YAxisConfig().unit(panel.unit))
        .build()
    )


def _bargauge(panel: Panel) -> models.Panel:
    return (
        bargauge.Panel()
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .reduce_options(_latest())
        .build()
    )


def _state_timeline(panel: Panel) -> models.Panel:
    return statetimeline.Panel().show_value(common_models.VisibilityMode.NEVER).merge_values(True).build()


def _text(panel: Panel) -> models.Panel:
    return text.Panel().mode(text_models.TextMode.MARKDOWN).content(panel.text).build()


def _traces(panel: Panel) -> models.Panel:
    return builders.Panel().type("traces").build()


_DRAWN: dict[Kind, Callable[[Panel], models.Panel]] = {
    "timeseries": _timeseries,
    "bars": _bars,
    "stat": _stat,
    "table": _table,
    "heatmap": _heatmap,
    "bargauge": _bargauge,
    "state-timeline": _state_timeline,
    "text": _text,
    "traces": _traces,
}


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
    )


def _tooltip() -> common.VizTooltipOptions:
    return (
        common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI).sort(common_models.SortOrder.DESCENDING)
    )


def _latest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _set_columns(panel: Panel, built: models.Panel, config: models.FieldConfigSource) -> None:
    """Name, order and choose the columns of a table, and give them units and links."""
    called = dict(panel.columns)
    if panel.queries[0].backend == "prometheus":
        steps: list[tuple[str, dict[str, object]]] = [("filterFieldsByName", {"include": {"names": [*called]}})]
        if len(panel.queries) > 1:
            steps.insert(0, ("merge", {}))
        order = {name: place for place, name in enumerate(called)}
        steps.append(("organize", {"renameByName": called, "indexByName": order, "excludeByName": {}}))
        built.transformations = [models.DataTransformerConfig(id_val=name, options=how) for name, how in steps]
        matched = {column: column for column in called.values()}
    else:
        # Tempo names its fields for display itself: they are found by their own names, and keep its order
        matched = {column: name for name, column in called.items()}
    overrides = []
    for column, name in matched.items():
        properties: list[tuple[str, object]] = []
        if name != column:
            properties += [("displayName", column), ("custom.hidden", False)]
        if column in panel.units:
            properties.append(("unit", panel.units[column]))
        if column in panel.column_links:
            properties.append(("links", [_link(panel.column_links[column])]))
        if properties:
            overrides.append(
                models.DashboardFieldConfigSourceOverrides(
                    models.MatcherConfig("byName", name),
                    [models.DynamicConfigValue(key, value) for key, value in properties],
                )
            )
    config.overrides = overrides


def _link(link: Link) -> models.DashboardLink:
    # the library has one type for links of values and of dashboards; Grafana reads title and address alone
    return models.DashboardLink(title=link.title, url=link.url)


# -- queries and variables


def _target(panel: Panel, place: int, query: Query) -> prometheus_models.Dataquery | tempo_models.TempoQuery:
    name = chr(ord("A") + place)
    if query.backend == "tempo":
        asked = tempo.TempoQuery().ref_id(name).datasource(_SOURCES["tempo"]).query_type("traceql").query(query.expr)
        if query.shows != "trace":
            asked = asked.limit(_MOST_SPANS).table_type(tempo_models.SearchTableType(query.shows))
        return asked.filters([]).build()
    made = prometheus.Dataquery().ref_id(name).datasource(_SOURCES["prometheus"]).expr(query.expr)
    made = made.editor_mode(prometheus_models.QueryEditorMode.CODE)
    made = made.instant() if query.instant else made.range()
    if panel.kind == "table":
        made = made.format(prometheus_models.PromQueryFormat.TABLE)
    elif panel.kind == "heatmap":
        made = made.format(prometheus_models.PromQueryFormat.HEATMAP)
    else:
        made = made.format(prometheus_models.PromQueryFormat.TIME_SERIES)
    if query.exemplars:
        made = made.exemplar(True)
    if query.legend:
        made = made.legend_format(query.legend)
    return made.build()


def _variable(variable: Variable) -> models.VariableModel:
    if variable.kind == "datasource":
        return builders.DatasourceVariable(variable.name).label(variable.label).type(variable.source).build()
    if variable.kind == "text":
        return builders.TextBoxVariable(variable.name).label(variable.label).default_value(variable.source).build()
    if variable.kind == "choice":
        chosen = variable.default
        return (
            builders.CustomVariable(variable.name)
            .label(variable.label)
            .values(variable.source)
            .current(models.VariableOption(True, chosen, chosen))
            .options([models.VariableOption(each == chosen, each, each) for each in variable.source.split(",")])
            .build()
        )
    made = (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(_SOURCES["prometheus"])
        .query(variable.source)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )
    if variable.several:
        made = made.multi(True).include_all(True).current(models.VariableOption(True, ["All"], ["$__all"]))
        if variable.every is not None:
            made = made.all_value(variable.every)
    return made.build()
