// One run in full.

import { get } from "/static/api.js";
import { given, h } from "/static/dom.js";
import {
  artifacts, componentAddress, facts, lineageAddress, partial, runAddress, section, state, time,
  title, traceAddress,
} from "/static/parts.js";
import { clean, number, seconds } from "/static/words.js";

export async function show(main, told) {
  const { body: run, problems } = await get(`/runs/${encodeURIComponent(given().id ?? "")}`);
  const trace = traceAddress(told, run);
  main.append(
    h(
      "div",
      { class: "heading" },
      title(run.component, " ", h("small", {}, state(run.state))),
      h(
        "nav",
        { "aria-label": "This run", class: "actions" },
        h("a", { class: "button", href: lineageAddress(`run:${run.run_id}`, { direction: "both" }) }, "Lineage"),
        h("a", { class: "button", href: componentAddress(run.component) }, "History"),
        trace ? h("a", { class: "button", href: trace, target: "_blank", rel: "noopener noreferrer" }, "Trace in Jaeger ↗") : null,
      ),
    ),
    ...[partial(problems), failed(run)].filter(Boolean),
    h("div", { class: "cards" }, what(run), when(run), how(run), values("Parameters", run.params), values("Metrics", run.metrics), predictions(run), values("Tags", run.tags)),
    ...[
      section("Inputs", artifacts("What the run read", run.inputs, [["Found by", foundBy]])),
      section("Outputs", artifacts("What the run wrote", run.outputs)),
    ].filter(Boolean),
  );
}

function failed(run) {
  if (!run.error) return null;
  const { type, message } = run.error;
  return h(
    "section",
    { class: "failure", "aria-label": "Error" },
    h("h2", {}, clean(type) || "It failed"),
    message ? h("pre", { tabindex: "0" }, message) : null,
  );
}

function what(run) {
  return section(
    "Run",
    facts({
      "run id": h("code", {}, clean(run.run_id)),
      version: clean(run.version ?? ""),
      pipeline: clean(run.pipeline ?? ""),
      service: clean(run.service ?? ""),
      "trace id": h("code", {}, clean(run.trace_id)),
      "span id": h("code", {}, clean(run.span_id)),
    }),
  );
}

function when(run) {
  return section("When", facts({ started: time(run.start), ended: time(run.end), took: seconds(run.duration_s) }));
}

function how(run) {
  const { commit, branch, dirty, repository } = run.git;
  return section(
    "Code",
    facts({
      commit: commit ? [h("code", { title: clean(commit) }, clean(commit).slice(0, 12)), dirty ? " with uncommitted changes" : ""] : null,
      branch: clean(branch ?? ""),
      repository: clean(repository ?? ""),
    }),
  );
}

function values(name, found) {
  return section(name, facts(Object.fromEntries(Object.entries(found).map(([key, value]) => [key, shown(value)]))));
}

function shown(value) {
  return value === null ? "not a number" : number(value);
}

function predictions(run) {
  if (!run.predictions) return null;
  const { classes, ...statistics } = run.predictions;
  const counted = Object.entries(classes ?? {});
  const most = Math.max(1, ...counted.map(([, count]) => count));
  return section(
    "Predictions",
    facts(Object.fromEntries(Object.entries(statistics).map(([key, value]) => [key, shown(value)]))),
    counted.length
      ? h(
          "dl",
          { class: "classes" },
          counted.map(([name, count]) =>
            h("div", {}, h("dt", {}, clean(name)), h("dd", {}, h("meter", { min: 0, max: most, value: count }), " ", number(count))),
          ),
        )
      : null,
  );
}

function foundBy(artifact) {
  if (!artifact.link) return "";
  return h("a", { href: runAddress(artifact.link.span_id), title: "The run that wrote it" }, clean(artifact.link.resolved_by ?? artifact.link.type));
}
