// What differs between two runs.

import { get } from "/static/api.js";
import { address, given, h } from "/static/dom.js";
import { field, form } from "/static/filters.js";
import { add, digest, partial, runAddress, section, state, table, time, title } from "/static/parts.js";
import { bytes, clean, extent, number, seconds, shortDigest, shortId } from "/static/words.js";

const UNITS = { duration: seconds, "CPU time": seconds, "queue time": seconds, "peak memory": bytes };
const KINDS = { same: "the same", content: "other content", name: "other name", unknown: "cannot be compared", removed: "only before", added: "only after" };

export async function show(main) {
  const { before, after } = given();
  const run = (value, placeholder) => h("input", { type: "text", required: true, value: value ?? "", placeholder, spellcheck: "false" });
  add(
    main,
    h("div", { class: "heading" }, title("Compare runs")),
    form("Runs", "/compare", [
      field("Before", run(before, "run id"), "before", { class: "field wide" }),
      field("After", run(after, "run id"), "after", { class: "field wide" }),
    ], { clear: null, submit: "Compare" }),
  );
  if (!after) return;
  const earlier = before || (await runBefore(after));
  if (!earlier) {
    main.append(h("p", { class: "faint" }, "There is no earlier run of this component to compare it with."));
    return;
  }
  const { body: found, problems } = await get("/diff", { before: earlier, after });
  document.getElementById("field-before").value = found.before.run_id;
  add(
    main,
    partial(problems),
    h("p", { class: "lead strong" }, clean(found.summary)),
    section("The runs", table("The runs", [
      ["", (each) => each.name],
      ["Component", (each) => h("a", { class: "strong", href: runAddress(each.run.run_id) }, clean(each.run.component))],
      ["Run", (each) => h("code", {}, shortId(each.run.run_id))],
      ["State", (each) => state(each.run.state)],
      ["Started (UTC)", (each) => time(each.run.start)],
      ["Duration", (each) => seconds(each.run.duration_s), "right"],
    ], [{ name: "before", run: found.before }, { name: "after", run: found.after }])),
    changes("Outcome", found.outcome),
    changes("Code", found.code),
    changes("Packages", found.packages),
    changes("Parameters", found.params),
    pairs("Inputs", found.inputs),
    pairs("Outputs", found.outputs),
    changes("Schemas", found.schemas),
    changes("Statistics", found.statistics),
    changes("Predictions", found.predictions),
    changes("Metrics", found.metrics),
    changes("Time and memory", found.usage),
    changes("Environment", found.environment),
  );
}

/** The run of the same component that began before this one. */
async function runBefore(id) {
  const { body: run } = await get(`/runs/${encodeURIComponent(id)}`);
  const { body: page } = await get("/history", { component: run.component, until: run.start.replace(/Z$/, "999Z"), limit: 10 });
  const place = page.runs.findIndex((each) => each.run_id === run.run_id);
  return page.runs[place + 1]?.run_id;
}

function changes(name, found) {
  if (!found.length) return null;
  return section(name, table(name, [
    ["What", (each) => clean(each.key)],
    ["Before", (each) => value(each, each.before)],
    ["After", (each) => value(each, each.after)],
    ["Change", change],
  ], found));
}

/** One side of a change; exactly where both would read the same: the text "1" and 1, or two close numbers. */
function value({ key, before, after }, found) {
  if (found === null) return "–";
  if (typeof found === "number" && Object.hasOwn(UNITS, key)) return UNITS[key](found);
  if (number(before) === number(after)) return typeof found === "string" ? `"${clean(found)}"` : String(found);
  if (typeof found === "string" && /^[a-z0-9]+:[0-9a-f]{32,}$/.test(found)) return h("code", { title: found }, shortDigest(found));
  return number(found);
}

function change({ key, absolute, relative }) {
  if (absolute === null) return "";
  const unit = Object.hasOwn(UNITS, key) ? UNITS[key] : number;
  const share = relative === null ? "" : ` (${relative > 0 ? "+" : "−"}${Number((Math.abs(relative) * 100).toPrecision(3))} %)`;
  return `${absolute > 0 ? "+" : "−"}${unit(Math.abs(absolute))}${share}`;
}

function pairs(name, found) {
  if (!found.length) return null;
  return section(name, table(name, [
    ["What", (each) => clean(each.name)],
    ["Difference", (each) => KINDS[each.kind] ?? clean(each.kind)],
    ["Before", (each) => side(each.before)],
    ["After", (each) => side(each.after)],
  ], found));
}

function side(artifact) {
  return artifact === null ? "–" : [extent(artifact), " ", digest(artifact.digest)];
}
