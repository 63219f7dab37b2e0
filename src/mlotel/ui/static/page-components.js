// What ran: every component with how its runs went.

import { get } from "/static/api.js";
import { address, given, h } from "/static/dom.js";
import { dates, field, form, range } from "/static/filters.js";
import { componentAddress, partial, runAddress, state, table, time, title } from "/static/parts.js";
import { STATES, amount, clean, seconds } from "/static/words.js";

export async function show(main) {
  const values = given();
  const { owner, tag } = values;
  const { body: components, problems } = await get("/components", { owner, tag, ...range(values) });
  const filters = form("Filter components", "/components", [
    field("Owner", h("input", { type: "text", value: owner ?? "", autocomplete: "off" }), "owner"),
    field("Tag", h("input", { type: "text", value: tag ?? "", autocomplete: "off" }), "tag"),
    dates(values),
  ]);
  main.append(h("div", { class: "heading" }, title("Components")), filters, ...[partial(problems)].filter(Boolean));
  if (!components.length) {
    main.append(h("p", { class: "faint" }, "No component ran."));
    return;
  }
  main.append(h("section", { class: "card", "aria-label": "Components" }, table("Components, the one that ran last first", COLUMNS, components)));
}

const COLUMNS = [
  ["Component", (each) => [h("a", { class: "strong", href: componentAddress(each.component) }, clean(each.component) || "(no name)"), each.description ? h("div", { class: "faint" }, clean(each.description)) : ""]],
  ["Runs", (each) => runsByState(each)],
  ["Median duration", (each) => (each.median_duration_s === null ? "" : seconds(each.median_duration_s)), "right"],
  ["Last run (UTC)", ({ last_run: last }) => [h("a", { class: "keep", href: runAddress(last.run_id) }, time(last.start)), " ", state(last.state)], "keep"],
  ["Version", (each) => clean(each.last_run.version ?? "")],
  ["Owner", (each) => (each.owner ? h("a", { href: address("/components", { owner: each.owner }) }, clean(each.owner)) : ""), "keep"],
  ["Tags", (each) => (each.tags.length ? each.tags.map((tag) => h("a", { class: "tag", href: address("/components", { tag }) }, clean(tag))) : "")],
];

/** A bar of the states' shares, and the numbers that it stands for. */
function runsByState({ component, runs, states }) {
  const counted = Object.entries(states).filter(([, count]) => count > 0);
  const bar = h("span", { class: "shares", "aria-hidden": "true" }, counted.map(([name, count]) => {
    const share = h("span", { class: `share share-${Object.hasOwn(STATES, name) ? name : "other"}` });
    share.style.flexGrow = String(count);
    return share;
  }));
  const other = counted.filter(([name]) => name !== "ok");
  return [
    bar,
    h("div", {}, amount(runs, "run"), ...other.map(([name, count]) => [
      ", ",
      h("a", { href: address("/", { component, state: name }), class: `keep state-${name}` }, `${STATES[name] ?? "·"} ${count} ${clean(name)}`),
    ])),
  ];
}
