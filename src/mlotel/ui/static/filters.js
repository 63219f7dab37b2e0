// Forms that ask for a part of the runs. They are sent as the page's own address, so that it can be kept and handed on.

import { address, h } from "/static/dom.js";

/** A labelled field. */
export function field(label, control, name, more = {}) {
  control.id = `field-${name}`;
  control.name = name;
  return h("div", { class: "field", ...more }, h("label", { for: control.id }, label), control);
}

/** Two days in UTC, the later one included. */
export function dates(values) {
  const day = (name) => h("input", { type: "date", value: (values[name] ?? "").slice(0, 10) });
  return [field("From (UTC)", day("since"), "since"), field("Until", day("until"), "until")];
}

/** What the API takes for a day as the end of a range: its last moment. */
export function range(values) {
  const until = values.until && /^\d{4}-\d{2}-\d{2}$/.test(values.until) ? `${values.until}T23:59:59.999999999Z` : values.until;
  return { since: values.since, until };
}

/** A choice among a few. */
export function select(options, chosen) {
  return h("select", {}, options.map(([value, label]) => h("option", { value, selected: value === (chosen ?? "") }, label)));
}

/** A form whose empty fields do not come into the address. */
export function form(label, path, fields, { clear = path, submit = "Show" } = {}) {
  const element = h(
    "form",
    { class: "filters", "aria-label": label, action: path },
    fields,
    h("div", { class: "field buttons" }, h("button", { type: "submit", class: "primary" }, submit), clear ? h("a", { href: clear }, "Clear") : null),
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(address(path, Object.fromEntries(new FormData(element))));
  });
  return element;
}
