// One run in full: what, when, where and how, what it read and wrote, and what was said of it.

import { get } from "/static/api.js";
import { address, given, h } from "/static/dom.js";
import {
  add, artifactReference, artifacts, componentAddress, facts, lineageAddress, partial, runAddress, section, state, time, title,
  traceAddress,
} from "/static/parts.js";
import { saidList, sayForms } from "/static/said.js";
import { amount, bytes, clean, lines, number, roughly, seconds, shortDigest, shortId } from "/static/words.js";

export async function show(main, told) {
  const { id, trace_id, span_id } = given();
  if (!id && !span_id) {
    add(main, title("Run"), h("p", { class: "faint" }, "Choose one of the ", h("a", { href: "/" }, "runs"), "."));
    return;
  }
  const { body: run, problems } = await (id ? get(`/runs/${encodeURIComponent(id)}`) : get("/span", { trace_id, span_id }));
  const { body: explained } = await get("/explain", { run: run.run_id });
  const trace = traceAddress(told, run);
  add(
    main,
    h(
      "div",
      { class: "heading" },
      title(run.component, " ", h("small", {}, state(run.state))),
      h(
        "nav",
        { "aria-label": "This run", class: "actions" },
        h("a", { class: "button", href: lineageAddress(`run:${run.run_id}`, { direction: "both" }) }, "Lineage"),
        h("a", { class: "button", href: componentAddress(run.component) }, "History"),
        h("a", { class: "button", href: address("/compare", { after: run.run_id }) }, "Compare with the run before"),
        trace ? h("a", { class: "button", href: trace, target: "_blank", rel: "noopener noreferrer" }, "Trace in Jaeger ↗") : null,
      ),
    ),
    partial(problems),
    failed(run),
    stale(run),
    record(run),
    h(
      "div",
      { class: "cards" },
      ...[what(run, explained), when(explained), where(explained), how(explained)].filter(Boolean),
      ...[values("Parameters", run.params), values("Metrics", run.metrics), predictions(run), values("Tags", run.tags)].filter(Boolean),
    ),
    section("Inputs", artifacts("What the run read", run.inputs, [["Found by", foundBy]])),
    section("Outputs", artifacts("What the run wrote", run.outputs)),
    briefly("Earlier attempts", explained.when.earlier_attempts),
    briefly("Runs within it", explained.when.children),
    said(run),
  );
}

function failed(run) {
  if (!run.error) return null;
  const { type, message } = run.error;
  return h(
    "section",
    { class: "failure", "aria-label": "Error" },
    h("h2", {}, clean(type) || "It failed"),
    message ? h("pre", { tabindex: "0" }, lines(message)) : null,
  );
}

/** Why inputs were, or have become, too old. */
function stale(run) {
  if (!run.stale?.length) return null;
  return h("div", { class: "failure", role: "note" }, run.stale.map((each) => {
    const name = h("strong", {}, clean(each.artifact));
    const then = each.when === "ran";
    const begins = then ? "Stale when it ran: " : "Stale by now: ";
    if (each.reason === "age") {
      return h("p", {}, begins, name, ` ${then ? "was" : "is"} ${roughly(each.age_s)} old, more than ${roughly(each.stale_after_s ?? 0)}`);
    }
    const fresher = each.fresher_run_id ? h("a", { href: runAddress(each.fresher_run_id) }, "a fresher run") : "a fresher run";
    return h("p", {}, begins, `${clean(each.component ?? "its producer")} ${then ? "had" : "has"} `, fresher, " than the writer of ", name);
  }));
}

/** The prediction by which the run was asked for. */
function record(run) {
  if (!run.record) return null;
  const { key, value, probability, variant, time: at, model, model_version: version } = run.record;
  return section("Prediction", facts({
    key: clean(key ?? ""),
    value: value === null ? null : number(value),
    probability: probability === null ? null : number(probability),
    variant: clean(variant ?? ""),
    model: [model, version].filter(Boolean).map(clean).join(" "),
    time: at ? time(at) : null,
  }));
}

function code(text) {
  return text ? h("code", {}, clean(text)) : null;
}

function short(digest) {
  return digest ? h("code", { title: clean(digest) }, shortDigest(digest)) : null;
}

const joined = (...parts) => parts.filter((part) => part !== null && part !== undefined && part !== "").map(clean).join(" ");
const listed = (value) => (Array.isArray(value) ? value.map(clean).join(", ") : clean(value ?? ""));

function what(run, { what: said }) {
  return section("What", facts({
    "run id": code(run.run_id),
    description: listed(said.description),
    version: clean(run.version ?? ""),
    pipeline: clean(run.pipeline ?? ""),
    owner: listed(said.owner),
    tags: listed(said.component_tags),
    experiment: listed(said.experiment),
    model: joined(said.model, said.model_version),
    variant: joined(said.flag, said.variant),
    "exit code": said.exit_code === null ? null : String(said.exit_code),
  }));
}

function when({ when: said }) {
  const parent = said.parent && [h("a", { href: runAddress(said.parent.run_id) }, clean(said.parent.component)), " ", h("code", {}, shortId(said.parent.run_id))];
  return section("When", facts({
    started: time(said.start),
    ended: time(said.end),
    took: seconds(said.duration_s),
    waited: said.queue_s === null ? null : seconds(said.queue_s),
    "CPU time": said.cpu_time_s === null ? null : seconds(said.cpu_time_s),
    attempt: said.attempt === null ? null : String(said.attempt),
    parent,
    "trace id": code(said.trace_id),
    "span id": code(said.span_id),
  }));
}

function where({ where: said }) {
  return section("Where", facts({
    service: joined(said.service, said.service_version),
    environment: listed(said.environment),
    region: joined(said.region, said.zone),
    host: listed(said.host),
    system: joined(said.system, said.architecture),
    container: listed(said.container ?? said.image),
    pod: listed(said.pod),
    process: listed(said.process),
    runtime: joined(said.runtime, said.runtime_version),
    "peak memory": typeof said.peak_memory === "number" ? bytes(said.peak_memory) : null,
  }));
}

function how({ how: said }) {
  return section("How", facts({
    commit: said.commit ? [h("code", { title: clean(said.commit) }, clean(said.commit).slice(0, 12)), said.dirty ? " with uncommitted changes" : ""] : null,
    branch: listed(said.branch),
    repository: listed(said.repository),
    code: short(said.code),
    packages: short(said.packages),
    function: joined(said.function, said.file),
  }));
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

function briefly(name, runs) {
  if (!runs.length) return null;
  return section(name, h("ul", { class: "said" }, runs.map((run) => h(
    "li",
    {},
    h("a", { class: "strong", href: runAddress(run.run_id) }, clean(run.component)),
    state(run.state),
    h("span", { class: "faint" }, time(run.start), ` · ${seconds(run.duration_s)}`),
  ))));
}

function foundBy(artifact) {
  if (!artifact.link) return "";
  const { trace_id, span_id } = artifact.link;
  return h("a", { href: address("/run", { trace_id, span_id }), title: "The run that wrote it" }, clean(artifact.link.resolved_by ?? artifact.link.type));
}

/** Notes, flags and labels of the run and of what it read and wrote, and forms for more. */
function said(run) {
  const listed = h("div");
  const chosen = h("div");
  const about = h("select", { id: "field-about" }, [
    h("option", { value: `run:${run.run_id}` }, `this run (${amount(run.outputs.length, "output")})`),
    ...[...run.outputs, ...run.inputs].map((each) => h("option", { value: artifactReference(each) }, clean(each.name))),
  ]);
  const draw = async (annotations) => {
    const current = annotations ?? (await get(`/runs/${encodeURIComponent(run.run_id)}`)).body.annotations;
    listed.replaceChildren(saidList(current, draw0) ?? h("p", { class: "faint" }, "Nobody has said anything yet."));
  };
  const draw0 = () => draw();
  const forms = () => chosen.replaceChildren(sayForms(about.value, draw0));
  about.addEventListener("change", forms);
  forms();
  draw(run.annotations);
  return section(
    "Notes, flags and labels",
    listed,
    h("div", { class: "field about" }, h("label", { for: "field-about" }, "Say something about"), about),
    chosen,
  );
}
