// Labels: which there are, what bears them, and retracting one.

import { get } from "/static/api.js";
import { address, given, h } from "/static/dom.js";
import { add, lineageAddress, partial, runAddress, section, state, table, time, title } from "/static/parts.js";
import { line, saidList, sayForm, send } from "/static/said.js";
import { amount, clean, number, shortId } from "/static/words.js";

export async function show(main) {
  const { label } = given();
  await (label ? one(main, label) : all(main));
}

async function all(main) {
  const listed = h("div");
  const draw = async () => {
    const { body, problems } = await get("/labels");
    const columns = [
      ["Label", (each) => h("a", { class: "strong", href: address("/labels", { label: each.label }) }, clean(each.label))],
      ["Given to", (each) => number(each.given), "right"],
      ["Retracted", (each) => retraction(each.retracted)],
    ];
    listed.replaceChildren();
    add(listed, partial(problems), body.length ? table("Labels", columns, body) : h("p", { class: "faint" }, "No labels."));
  };
  add(
    main,
    h("div", { class: "heading" }, title("Labels")),
    h("p", { class: "lead" }, "A label passes to everything that is made from what bears it."),
    section("Labels", listed),
    section("Give a label", sayForm("Give the label", "/label", [
      { name: "what", label: "To", control: line({ required: true, placeholder: "digest, path, name or run id" }) },
      { name: "label", label: "Label", control: line({ required: true, maxlength: 255 }) },
      { name: "why", label: "Why", control: line() },
    ], {}, draw)),
  );
  await draw();
}

function retraction(said) {
  if (!said) return "";
  return [said.deadline ? ["may be read until ", time(said.deadline)] : "no deadline", said.text ? `: ${clean(said.text)}` : ""];
}

async function one(main, label) {
  const drawn = h("div");
  const draw = async () => {
    const { body, problems } = await get("/labels/touched", { label });
    drawn.replaceChildren();
    add(
      drawn,
      partial(problems),
      body.partial ? h("p", { class: "warning" }, "Partial: some runs that belong here are not in this store.") : null,
      body.retracted ? h("p", { class: "warning" }, "Retracted: ", retraction(body.retracted)) : null,
      h("p", {}, [amount(body.artifacts.length, "artifact"), `${amount(body.models.length, "model")} among them`, amount(body.runs.length, "run"), amount(body.predictions, "prediction")].join(", "), " made from it"),
      section("Given to", saidList(body.given, draw)),
      artifacts("Inherited by", body.artifacts),
      runs(body.runs),
      body.retracted ? restoring(label, draw) : retracting(label, draw),
    );
  };
  add(main, h("div", { class: "heading" }, title(`Label ${label}`), h("nav", { class: "actions", "aria-label": "Labels" }, h("a", { href: "/labels" }, "All labels"))), drawn);
  await draw();
}

function artifacts(name, found) {
  if (!found.length) return null;
  return section(name, table(name, [
    ["Name", (each) => h("a", { class: "strong", href: lineageAddress(each.id.includes(":") ? `digest:${each.id}` : `name:${each.name}`) }, clean(each.name))],
    ["Type", (each) => clean(each.type ?? "")],
    ["Run", (each) => h("a", { href: runAddress(each.run_id) }, h("code", {}, shortId(each.run_id)))],
  ], [...found].reverse()));
}

function runs(found) {
  if (!found.length) return null;
  return section("Runs", table("Runs", [
    ["Component", (each) => h("a", { class: "strong", href: runAddress(each.run_id) }, clean(each.component))],
    ["State", (each) => state(each.state)],
    ["Started (UTC)", (each) => time(each.start)],
  ], [...found].reverse()));
}

function retracting(label, draw) {
  return section("Retract it", h("p", { class: "faint" }, "Reading what bears it warns from then on. After the deadline it is refused where a component asks for that."), sayForm("Retract it", "/retract", [
    { name: "why", label: "Why", control: line() },
    { name: "deadline", label: "Deadline", control: line({ value: "30d", placeholder: "30d, 2026-12-21T09:30:00Z or never" }) },
  ], { label }, draw));
}

function restoring(label, draw) {
  const button = h("button", { type: "button", on: { click: () => send(button, "/restore", { label }, "restored", draw) } }, "Take the retraction back");
  return h("p", {}, button);
}
