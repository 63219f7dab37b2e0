// Pieces that several pages are made of.

import { address, h } from "/static/dom.js";
import { STATES, ago, clean, extent, seconds, shortDigest, shortId, when } from "/static/words.js";

/** The page's heading, which is its title as well. */
export function title(text, ...more) {
  document.title = `${clean(text)} · mlotel`;
  return h("h1", {}, clean(text), ...more);
}

/** A state: symbol, word and colour. */
export function state(name) {
  const known = Object.hasOwn(STATES, name) ? name : "other";
  return h("span", { class: `state state-${known}` }, h("span", { class: "symbol", "aria-hidden": "true" }, STATES[name] ?? "·"), ` ${clean(name)}`);
}

/** A time in UTC, with how long ago it was on hovering. */
export function time(text) {
  return text ? h("time", { datetime: text, title: ago(text) }, when(text)) : "–";
}

export const runAddress = (id) => address("/run", { id });
export const lineageAddress = (what, more = {}) => address("/lineage", { what, ...more });
export const componentAddress = (name) => address("/component", { name });

/** Where Jaeger shows the run's span, or null where no Jaeger is known. */
export function traceAddress(told, run) {
  const trace = /^[0-9a-f]{32}$/.test(run.trace_id) && /^[0-9a-f]{16}$/.test(run.span_id);
  return told.jaeger_ui && trace ? `${told.jaeger_ui}/trace/${run.trace_id}?uiFind=${run.span_id}` : null;
}

/** What an artifact is asked for by: its digest, or else its name. */
export const artifactReference = (artifact) => (artifact.digest ? `digest:${artifact.digest}` : `name:${artifact.name}`);

export function artifactLink(artifact) {
  return h("a", { href: lineageAddress(artifactReference(artifact), { direction: "both" }) }, clean(artifact.name) || "(no name)");
}

/** A digest, short, with a button that copies the whole. */
export function digest(text) {
  if (!text) return h("span", { class: "faint" }, "none");
  const button = h("button", { type: "button", class: "copy", title: clean(text), "aria-label": `Copy digest ${clean(text)}` }, shortDigest(text));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text).then(() => announce("digest copied"), () => announce(text));
  });
  return button;
}

/** Say something to everybody, whoever sees the page and whoever hears it. */
export function announce(text) {
  let said = document.getElementById("said");
  if (!said) {
    said = h("p", { id: "said", role: "status" });
    document.body.append(said);
  }
  said.textContent = text;
  said.classList.add("shown");
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => said.classList.remove("shown"), 3000);
}

/** What went wrong, and what may have been meant. */
export function failure(error) {
  const candidates = (error.candidates ?? []).map((each) => {
    const reference = each.split(" ")[0];
    return h("li", {}, h("a", { href: lineageAddress(reference) }, clean(each)));
  });
  const detail = error.status >= 0 ? error.message : "a fault in this page: the browser's console says which";
  return h("div", { class: "failure", role: "alert" }, h("p", {}, clean(detail)), candidates.length ? h("ul", {}, candidates) : null);
}

/** What a remote store could not read. */
export function partial(problems) {
  if (!problems.length) return null;
  return h("div", { class: "failure", role: "status" }, problems.map((each) => h("p", {}, `The answer is partial: ${clean(each)}`)));
}

/** A section with a heading; nothing if there is nothing in it. */
export function section(name, ...children) {
  const content = children.flat(Infinity).filter(Boolean);
  if (!content.length) return null;
  const id = `section-${name.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { "aria-labelledby": id, class: "card" }, h("h2", { id }, name), content);
}

/** Names and values side by side, without those that are not known. */
export function facts(pairs) {
  const known = Object.entries(pairs).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!known.length) return null;
  return h("dl", {}, known.map(([name, value]) => h("div", {}, h("dt", {}, clean(name)), h("dd", {}, value))));
}

/** A plain table. Each column: [heading, row → cell, class]. Columns in which nothing stands are left out. */
export function table(caption, columns, rows) {
  const cells = rows.map((row) => columns.map(([, cell]) => cell(row)));
  const filled = columns.map((_, number) => cells.some((row) => row[number] !== "" && row[number] !== null));
  const kept = columns.map((_, number) => number).filter((number) => number === 0 || filled[number]);
  return h(
    "div",
    { class: "scrolls", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      { role: "table" },  // said once more, because the style makes other boxes of its parts on narrow screens
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, kept.map((number) => h("th", { scope: "col", class: columns[number][2] }, columns[number][0])))),
      h("tbody", {}, cells.map((row) => h("tr", { role: "row" }, kept.map((number) => h("td", { role: "cell", class: columns[number][2], "data-column": columns[number][0] }, row[number] === "" ? [] : h("div", {}, row[number] ?? "")))))),
    ),
  );
}

/** The columns in which runs are listed. */
export const RUN_COLUMNS = [
  { name: "Component", class: "c-name", cell: (run) => h("a", { href: runAddress(run.run_id) }, clean(run.component) || "(no name)") },
  { name: "Run", class: "c-id", cell: (run) => h("code", {}, shortId(run.run_id)) },
  { name: "State", class: "c-state", cell: (run) => state(run.state) },
  { name: "Started (UTC)", class: "c-time", cell: (run) => time(run.start) },
  { name: "Duration", class: "c-duration right", cell: (run) => seconds(run.duration_s) },
  { name: "In", class: "c-in right", cell: (run) => String(run.inputs.length) },
  { name: "Out", class: "c-out right", cell: (run) => String(run.outputs.length) },
  { name: "Version", class: "c-version", cell: (run) => clean(run.version ?? "") },
  { name: "Pipeline", class: "c-pipeline", cell: (run) => clean(run.pipeline ?? "") },
];

/** Append those parts that there are. */
export function add(element, ...parts) {
  element.append(...parts.flat(Infinity).filter(Boolean));
}

/** A table of artifacts as a run read or wrote them. */
export function artifacts(caption, list, more = []) {
  if (!list.length) return null;
  return table(
    caption,
    [
      ["Name", artifactLink],
      ["Type", (each) => clean(each.type ?? "")],
      ["Extent", extent],
      ["Digest", (each) => digest(each.digest)],
      ...more,
      ["Where", (each) => (each.uri ? h("span", { class: "uri" }, clean(each.uri)) : "")],
      ["Note", (each) => clean(each.note ?? "")],
    ],
    list,
  );
}
