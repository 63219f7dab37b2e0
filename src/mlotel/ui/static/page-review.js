// What is flagged, and which runs stand behind it and behind little else.

import { get } from "/static/api.js";
import { given, h } from "/static/dom.js";
import { dates, form, range } from "/static/filters.js";
import { add, componentAddress, partial, runAddress, section, table, time, title } from "/static/parts.js";
import { line, saidList, sayForm } from "/static/said.js";
import { amount, clean, number, shortId } from "/static/words.js";

export async function show(main) {
  const values = given();
  const drawn = h("div");
  const draw = async () => {
    const { body, problems } = await get("/review", { ...range(values), limit: 200 });
    drawn.replaceChildren();
    add(drawn, partial(problems), warnings(body), flags(body, draw), suspects(body), shared(body));
  };
  add(
    main,
    h("div", { class: "heading" }, title("Review")),
    h("p", { class: "lead" }, "Flag outputs that turned out wrong. Runs are ranked by how many of them they stand behind, and how few others."),
    form("Dates", "/review", dates(values)),
    drawn,
    section("Flag something", sayForm("Flag it", "/flag", [
      { name: "what", label: "What", control: line({ required: true, placeholder: "digest, path, name, run id or record:KEY" }) },
      { name: "why", label: "Why", control: line() },
    ], {}, draw)),
  );
  await draw();
}

function warnings({ truncated, partial: lacking, unplaced }) {
  const found = [
    unplaced.length ? `${amount(unplaced.length, "flag")} left out: no run in this store, or in this time, made what they speak of.` : null,
    truncated ? "A component has more runs than are compared: the latest were. Choose a shorter time." : null,
    lacking ? "Partial: some producers that are named by a link are not in this store." : null,
  ];
  return found.filter(Boolean).map((each) => h("p", { class: "warning" }, each));
}

function flags({ flags: found }, draw) {
  return section("Flags", saidList(found, draw) ?? h("p", { class: "faint" }, "Nothing is flagged."));
}

const standing = (all) => [
  ["Flagged behind it", (each) => share(each.flagged, all.flagged), "right"],
  ["Others behind it", (each) => share(each.unflagged, all.unflagged), "right"],
  ["Ratio", (each) => (each.likelihood_ratio === null ? (each.unflagged === 0 ? "∞" : "") : number(each.likelihood_ratio)), "right"],
  ["By chance", (each) => (each.p_value < 1e-4 ? each.p_value.toExponential(1) : String(Number(each.p_value.toPrecision(2)))), "right"],
];

function share(count, all) {
  return [h("meter", { min: 0, max: Math.max(1, all), value: count, class: "short" }), ` ${number(count)} of ${number(all)}`];
}

function suspects(all) {
  if (!all.runs.length) return null;
  const kinds = all.kinds.map((kind) => `${kind.type ?? kind.what} of ${clean(kind.component)}`).join(", ");
  const more = all.suspected > all.runs.length ? `; ${number(all.suspected - all.runs.length)} less suspect ones are left out` : "";
  return section(
    "Runs behind them, the most suspect first",
    h("p", { class: "faint" }, `${amount(all.flagged, "flagged output")} against ${number(all.unflagged)} others (${kinds})${more}`),
    table("Runs behind what is flagged", [
      ["Rank", (each) => `${each.rank}.`],
      ["Component", (each) => h("a", { class: "strong", href: runAddress(each.run_id) }, clean(each.component))],
      ["Run", (each) => h("code", {}, shortId(each.run_id))],
      ["Version", (each) => clean(each.version ?? "")],
      ["Started (UTC)", (each) => time(each.start), "keep"],
      ...standing(all),
    ], all.runs),
  );
}

function shared(all) {
  if (!all.shared.length) return null;
  return section("What these runs share", table("What these runs share", [
    ["Component", (each) => h("a", { class: "strong", href: componentAddress(each.component) }, clean(each.component))],
    ["Has", (each) => `${clean(each.name)} = ${clean(each.value)}`],
    ["Runs", (each) => number(each.runs), "right"],
    ...standing(all),
  ], all.shared));
}
