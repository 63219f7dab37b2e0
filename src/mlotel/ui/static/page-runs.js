// The latest runs, with filters.

import { get } from "/static/api.js";
import { given, h } from "/static/dom.js";
import { dates, field, form, range, select } from "/static/filters.js";
import { RUN_COLUMNS, partial, title } from "/static/parts.js";
import { RunList, refreshing } from "/static/runlist.js";
import { STATES } from "/static/words.js";

export async function show(main) {
  const values = given();
  const filters = form("Filter runs", "/", [
    field("Component", h("input", { type: "text", value: values.component ?? "", autocomplete: "off", spellcheck: "false" }), "component"),
    field("State", select([["", "any"], ...Object.keys(STATES).map((each) => [each, each])], values.state), "state"),
    dates(values),
    field("Text", h("input", { type: "search", value: values.text ?? "", placeholder: "name, id, digest, tag, error" }), "text"),
    field("Condition", h("input", { type: "text", value: values.where ?? "", placeholder: "param.depth>5", spellcheck: "false" }), "where"),
  ]);
  const { component, state, text, where } = values;
  const problems = h("div");
  const list = new RunList(
    RUN_COLUMNS,
    async (cursor) => {
      const answer = await get("/runs", { component, state, text, where, ...range(values), limit: 100, cursor });
      problems.replaceChildren(...[partial(answer.problems)].filter(Boolean));
      return answer.body;
    },
    "Runs, latest first",
  );
  main.append(h("div", { class: "heading" }, title("Runs"), refreshing(list)), filters, problems);
  await list.reload();
  main.append(list.element);
  list.measure();
  list.draw();
}
