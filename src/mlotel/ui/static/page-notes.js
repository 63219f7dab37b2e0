// Every note, and one more.

import { get } from "/static/api.js";
import { given, h } from "/static/dom.js";
import { field, form } from "/static/filters.js";
import { add, partial, section, title } from "/static/parts.js";
import { line, saidList, sayForm, text } from "/static/said.js";

export async function show(main) {
  const { what } = given();
  const listed = h("div");
  const draw = async () => {
    const { body, problems } = await get("/notes", { what, limit: 500 });
    listed.replaceChildren();
    add(listed, partial(problems), saidList(body) ?? h("p", { class: "faint" }, "No notes."));
  };
  const about = line({ required: true, value: what ?? "", placeholder: "run id, digest, path or name" });
  add(
    main,
    h("div", { class: "heading" }, title("Notes")),
    form("Filter notes", "/notes", [field("About", h("input", { type: "search", value: what ?? "", placeholder: "anything" }), "what", { class: "field wide" })]),
    section("Write a note", sayForm("Write the note", "/notes", [{ name: "what", label: "About", control: about }, { name: "text", label: "Note", control: text({ required: true }) }], {}, draw)),
    section("Notes, latest first", listed),
  );
  await draw();
}
