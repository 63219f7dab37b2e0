// The history of one component: a chart and a list of its runs in a range of dates.

import { get } from "/static/api.js";
import { address, given, h } from "/static/dom.js";
import { Chart } from "/static/chart.js";
import { dates, field, form, range, select } from "/static/filters.js";
import { RUN_COLUMNS, partial, runAddress, section, state, title } from "/static/parts.js";
import { RunList, refreshing } from "/static/runlist.js";
import { amount, clean, number, seconds, shortId, when } from "/static/words.js";

const PAGE = 500;
const METRICS_LISTED = 3;
const MOST_DRAWN = 2000; // more would be one point on top of the other
const DURATION = "duration";
const RANGES = [["24 hours", "24h"], ["7 days", "7d"], ["30 days", "30d"]];

export async function show(main) {
  const values = given();
  const name = values.name ?? "";
  const problems = h("div");
  const fetchPage = async (cursor) => {
    const answer = await get("/history", { component: name, ...range(values), limit: PAGE, cursor });
    problems.replaceChildren(...[partial(answer.problems)].filter(Boolean));
    return answer.body;
  };
  const first = await fetchPage(null);
  const metrics = [...new Set(first.runs.flatMap((run) => Object.keys(run.metrics)))];

  const list = new RunList(columns(metrics), fetchPage, `Runs of ${clean(name)}, latest first`);
  const chart = new Chart({ address: (run) => runAddress(run.run_id), describe });
  const drawn = h("p", { class: "faint" });
  const measure = select([[DURATION, "duration"], ...metrics.map((each) => [each, clean(each)])], DURATION);
  const draw = () => {
    const metric = measure.value;
    const value = metric === DURATION ? (run) => run.duration_s : (run) => run.metrics[metric];
    const latest = list.runs.slice(0, MOST_DRAWN);
    chart.draw(latest, value, metric === DURATION ? seconds : number, metric === DURATION ? "duration" : clean(metric));
    const all = list.next === null && latest.length === list.runs.length;
    const more = list.next === null || latest.length === MOST_DRAWN ? "" : "; earlier ones come with the list below";
    drawn.textContent = all ? `${amount(latest.length, "run")} drawn` : `the latest ${amount(latest.length, "run")} drawn${more}, or choose a shorter time`;
  };
  measure.addEventListener("change", draw);

  const quick = RANGES.map(([label, since]) =>
    h("a", { href: address("/component", { name, since }), "aria-current": values.since === since && !values.until ? "true" : false }, label),
  );
  const all = h("a", { href: address("/component", { name }), "aria-current": !values.since && !values.until ? "true" : false }, "all");
  const filters = form("Dates", "/component", [h("input", { type: "hidden", name: "name", value: name }), dates(values)], { clear: null });

  main.append(
    h("div", { class: "heading" }, title(name), refreshing(list, draw)),
    h("div", { class: "line" }, h("nav", { "aria-label": "Time", class: "quick" }, quick, all), filters),
    problems,
    section("Over time", h("div", { class: "line" }, field("Show", measure, "measure"), drawn), chart.element),
    section("Runs", list.element),
  );
  list.take(first);
  list.measure();
  const grow = list.take.bind(list);
  list.take = (page) => {
    grow(page);
    draw();
  };
  list.draw();
  draw();
}

function columns(metrics) {
  const [, ...others] = RUN_COLUMNS;
  const run = { name: "Run", class: "c-name", cell: (each) => h("a", { href: runAddress(each.run_id) }, h("code", {}, shortId(each.run_id))) };
  return [
    run,
    ...others.filter((column) => !["c-id", "c-pipeline"].includes(column.class)),
    ...metrics.slice(0, METRICS_LISTED).map((metric) => ({
      name: clean(metric),
      class: "c-metric right",
      cell: (each) => (Object.hasOwn(each.metrics, metric) ? number(each.metrics[metric]) : ""),
    })),
  ];
}

function describe(run, value) {
  return [state(run.state), h("span", {}, value), h("span", {}, when(run.start)), h("code", {}, shortId(run.run_id))];
}
