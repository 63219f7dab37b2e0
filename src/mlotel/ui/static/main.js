// Which page this is, and what is around every page.

import { get } from "/static/api.js";
import { h } from "/static/dom.js";
import { failure } from "/static/parts.js";
import { amount, clean } from "/static/words.js";

const PAGES = {
  "/": { name: "Runs", module: "/static/page-runs.js" },
  "/components": { name: "Components", module: "/static/page-components.js" },
  "/component": { within: "/components", module: "/static/page-component.js" },
  "/run": { within: "/", module: "/static/page-run.js" },
  "/compare": { within: "/", module: "/static/page-compare.js" },
  "/lineage": { name: "Lineage", module: "/static/page-lineage.js" },
  "/review": { name: "Review", module: "/static/page-review.js" },
  "/labels": { name: "Labels", module: "/static/page-labels.js" },
  "/notes": { name: "Notes", module: "/static/page-notes.js" },
};

function navigation(path) {
  const current = PAGES[path]?.within ?? path;
  for (const [address, page] of Object.entries(PAGES)) {
    if (!page.name) continue;
    const link = h("a", { href: address, "aria-current": address === current && (address === path ? "page" : "true") }, page.name);
    document.getElementById("pages").append(h("li", {}, link));
  }
}

async function about() {
  const { body } = await get("/about");
  const unread = body.unread_lines
    ? h("span", { class: "warning" }, `${amount(body.unread_lines, "line")} of the store could not be read`)
    : null;
  document.getElementById("about").replaceChildren(
    h("span", {}, "store: ", h("code", {}, clean(body.store))),
    ...(unread ? [unread] : []),
    h("span", {}, `mlotel ${clean(body.version)} · `, h("a", { href: "/api/openapi.json" }, "API")),
  );
  return body;
}

async function show() {
  const path = location.pathname;
  const main = document.getElementById("main");
  navigation(path);
  try {
    const [page, told] = await Promise.all([import(PAGES[path].module), about()]);
    await page.show(main, told);
  } catch (error) {
    main.append(failure(error));
    if (!(error.status >= 0)) throw error; // a fault of ours: the console shows where
  } finally {
    main.removeAttribute("aria-busy");
  }
}

show();
