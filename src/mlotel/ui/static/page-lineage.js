// What something was made from and what it touched: a graph to go through, and the same as a table.

import { get } from "/static/api.js";
import { address, given, h } from "/static/dom.js";
import { field, form, range, dates, select } from "/static/filters.js";
import { partial, runAddress, state, table, time, title, traceAddress, artifacts } from "/static/parts.js";
import { amount, clean, seconds, shortId } from "/static/words.js";

const SCRIPTS = ["dagre.min.js", "lineage-layout.js", "lineage-details.js", "lineage-canvas.js", "lineage.js"];
const MOST_DRAWN = 3000; // nodes
const WAYS = [["upstream", "what it was made from"], ["downstream", "what it touched"], ["both", "both"]];

export async function show(main, told) {
  const values = given();
  const direction = values.direction ?? "both";
  const filters = form(
    "Lineage",
    "/lineage",
    [
      field("Of", h("input", { type: "search", value: values.what ?? "", required: true, placeholder: "id, digest, path or name", spellcheck: "false" }), "what", { class: "field wide" }),
      field("Way", select(WAYS, direction), "direction"),
      field("Runs deep", h("input", { type: "number", min: 0, value: values.depth ?? "", placeholder: "all" }), "depth"),
      dates(values),
    ],
    { clear: null },
  );
  const heading = h("div", { class: "heading" }, title("Lineage"));
  main.append(heading, filters);
  if (!values.what) {
    main.append(h("p", { class: "faint" }, "Name a run or trace id, a digest, a path, or an artifact. The beginning of an id or a digest will do."));
    return;
  }
  const { what, depth } = values;
  const [answer] = await Promise.all([
    get("/lineage", { what, direction, depth, ...range(values), most: MOST_DRAWN }).catch((error) => tooMany(error, values)),
    load("lineage.css", SCRIPTS),
  ]);
  if (answer instanceof Node) {
    main.append(answer);
    return;
  }
  const { body: lineage, problems } = answer;
  heading.replaceChildren(title(`Lineage of ${rootName(lineage)}`));
  const size = `${amount(lineage.runs.length, "run")}, ${amount(lineage.artifacts.length, "artifact")}`;
  main.append(
    ...[
      partial(problems),
      lineage.partial && !problems.length ? h("p", { class: "warning" }, "Partial: some producers that are named by a link are not in this store.") : null,
    ].filter(Boolean),
  );
  const graph = h("div", { class: "graph" });
  const tables = h("details", { class: "card" }, h("summary", {}, `As tables: ${size}`));
  tables.addEventListener("toggle", () => tables.append(asTables(lineage)), { once: true });
  main.append(graph, tables);
  globalThis.mlotelLineage.draw(graph, lineage, {
    runLink: (run) => runAddress(run.run_id),
    traceLink: (run) => traceAddress(told, run),
  });
}

/** What to ask for instead of a lineage that is too large to be looked at; other errors go on. */
function tooMany(error, values) {
  if (error.status !== 422) throw error;
  const instead = [
    ["what it was made from", { direction: "upstream" }],
    ["one run deep", { depth: 1 }],
    ["of the last 24 hours", { since: "24h", until: "" }],
  ];
  return h(
    "div",
    { class: "failure", role: "status" },
    h("p", {}, "Too much to be drawn: ", clean(error.message), "."),
    h("ul", {}, instead.map(([label, change]) => h("li", {}, h("a", { href: address("/lineage", { ...values, ...change }) }, label)))),
  );
}

function asTables(lineage) {
  const names = new Map(lineage.artifacts.map((each) => [each.id, clean(each.name)]));
  const read = new Map(lineage.runs.map((run) => [run.run_id, []]));
  const wrote = new Map(lineage.runs.map((run) => [run.run_id, []]));
  for (const { kind, from, to } of lineage.edges) {
    if (kind === "read") read.get(to)?.push(names.get(from) ?? "");
    if (kind === "write") wrote.get(from)?.push(names.get(to) ?? "");
  }
  return h(
    "div",
    {},
    table(
      "Runs of the lineage, latest first",
      [
        ["Component", (run) => h("a", { href: runAddress(run.run_id) }, clean(run.component))],
        ["State", (run) => state(run.state)],
        ["Started (UTC)", (run) => time(run.start)],
        ["Duration", (run) => seconds(run.duration_s), "right"],
        ["Read", (run) => read.get(run.run_id).join(", ")],
        ["Wrote", (run) => wrote.get(run.run_id).join(", ")],
      ],
      [...lineage.runs].reverse(),
    ),
    artifacts("Artifacts of the lineage", [...lineage.artifacts].reverse()),
  );
}

/** What the root is called. */
function rootName({ root, runs, artifacts: found }) {
  const run = runs.find((each) => each.run_id === root);
  if (run) return `${run.component} ${shortId(run.run_id)}`;
  const artifact = found.find((each) => each.id === root);
  return artifact ? artifact.name : `trace ${shortId(root)}`;
}

/** Load what draws the graph, which no other page needs. */
function load(style, scripts) {
  document.head.append(h("link", { rel: "stylesheet", href: `/static/${style}` }));
  const loads = scripts.map(
    (name) =>
      new Promise((loaded, failed) => {
        // Not async: they run in this order
        const script = h("script", { src: `/static/${name}`, on: { load: loaded, error: () => failed(new Error(`${name} was not served`)) } });
        script.async = false;
        document.head.append(script);
      }),
  );
  return Promise.all(loads);
}
