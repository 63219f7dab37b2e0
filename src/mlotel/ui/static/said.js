// Notes, flags and labels: what people said, and forms to say more.

import { post } from "/static/api.js";
import { h } from "/static/dom.js";
import { field } from "/static/filters.js";
import { announce, lineageAddress, runAddress, time } from "/static/parts.js";
import { clean, lines, shortDigest, shortId } from "/static/words.js";

const AUTHOR = "mlotel.author";
const SYMBOLS = { note: "✎", flag: "⚑", label: "#", retract: "⊘" };

function remembered() {
  try {
    return localStorage.getItem(AUTHOR) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

function remember(author) {
  try {
    localStorage.setItem(AUTHOR, author);
  } catch {
    // as above
  }
}

/** What the API takes for the thing that an annotation speaks of. */
export function reference(said) {
  if (said.target.includes(":")) return said.target.startsWith("record:") ? said.target : `digest:${said.target}`;
  if (said.target === said.run_id) return `run:${said.target}`;
  return said.artifact === null ? said.target : `name:${said.artifact}`;
}

/** What an annotation speaks of, as a link. */
export function subject(said) {
  if (said.target.startsWith("record:")) {
    return [`the prediction ${shortId(said.target.slice(7))} of `, runLink(said.run_id)];
  }
  if (said.artifact !== null) {
    const short = said.target.includes(":") ? shortDigest(said.target) : shortId(said.target);
    return [h("a", { href: lineageAddress(reference(said)) }, clean(said.artifact)), " ", h("code", { class: "faint" }, short)];
  }
  return said.target === said.run_id ? runLink(said.run_id) : clean(said.target);
}

function runLink(id) {
  return id ? h("a", { href: runAddress(id) }, `run ${shortId(id)}`) : "a run that is not named";
}

/**
 * A list of annotations, latest first.
 *
 * @param changed is called after one was taken back
 */
export function saidList(list, changed) {
  if (!list.length) return null;
  return h("ul", { class: "said" }, list.map((said) => h(
    "li",
    {},
    h("span", { class: `kind kind-${clean(said.kind)}` }, h("span", { "aria-hidden": "true" }, SYMBOLS[said.kind] ?? "·"), ` ${clean(said.kind)}`, said.label ? ` ${clean(said.label)}` : ""),
    h("span", {}, subject(said)),
    h("span", { class: "faint" }, time(said.time), said.author ? ` by ${clean(said.author)}` : ""),
    takenBack(said, changed),
    said.text ? h("p", {}, lines(said.text)) : null,
  )));
}

function takenBack(said, changed) {
  const path = { flag: "/unflag", label: "/unlabel" }[said.kind];
  if (!path || !changed) return null;
  const members = said.kind === "label" ? { what: reference(said), label: said.label } : { what: reference(said) };
  const name = said.artifact === null ? "" : ` of ${clean(said.artifact)}`;
  return h("button", { type: "button", class: "small", "aria-label": `Take back the ${said.kind}${name}`, on: { click: (event) => send(event.currentTarget, path, members, "taken back", changed) } }, "Take back");
}

/** Send something that is to be written down, and say what came of it. */
export async function send(button, path, members, done, changed) {
  button.disabled = true;
  try {
    await post(path, { ...members, author: remembered() });
    announce(done);
    await changed();
    return true;
  } catch (error) {
    announce(error.message);
    return false;
  } finally {
    button.disabled = false;
  }
}

/**
 * A form that writes something down.
 *
 * @param name what it does, which its button says too
 * @param path of the API
 * @param fields {name, label, control}[]
 * @param more members that are sent besides
 */
export function sayForm(name, path, fields, more, changed) {
  const key = path.slice(1);
  const author = h("input", { type: "text", value: remembered(), autocomplete: "name", maxlength: 255 });
  author.addEventListener("change", () => {
    remember(author.value.trim());
    for (const other of document.querySelectorAll("input.author")) other.value = author.value;
  });
  author.classList.add("author");
  const button = h("button", { type: "submit", class: "primary" }, name);
  const form = h(
    "form",
    { class: "say", "aria-label": name },
    fields.map(({ name: member, label, control }) => field(label, control, `${key}-${member}`, { class: "field wide" })),
    field("Your name", author, `${key}-author`),
    h("div", { class: "field buttons" }, button),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const members = Object.fromEntries(fields.map(({ name: member, control }) => [member, control.value]));
    if (await send(button, path, { ...more, ...members }, `${name}: done`, changed)) form.reset();
    author.value = remembered();
  });
  return form;
}

export const line = (more = {}) => h("input", { type: "text", maxlength: 4000, autocomplete: "off", ...more });
export const text = (more = {}) => h("textarea", { rows: 3, maxlength: 4000, ...more });

/** The three forms that say something of one thing. */
export function sayForms(what, changed) {
  return h(
    "div",
    { class: "sayings" },
    h("details", {}, h("summary", {}, "Write a note"), sayForm("Write the note", "/notes", [{ name: "text", label: "Note", control: text({ required: true }) }], { what }, changed)),
    h("details", {}, h("summary", {}, "Flag as wrong"), sayForm("Flag it", "/flag", [{ name: "why", label: "Why", control: text() }], { what }, changed)),
    h("details", {}, h("summary", {}, "Label"), sayForm("Give the label", "/label", [
      { name: "label", label: "Label", control: line({ required: true, maxlength: 255 }) },
      { name: "why", label: "Why", control: line() },
    ], { what }, changed)),
  );
}
