// mlotelLineage.draw(element, document, options): a lineage document as a graph that can be searched and walked over.
//
// document: as schemas/lineage.schema.json describes it.
// options:  runLink(run) and traceLink(run) return an address or null; onSelect(node or null) is told what is chosen.
// Returns {select(id), fit(), destroy()}.
(() => {
  "use strict";
  const ns = (globalThis.mlotelLineage ??= {});
  const { element } = ns;
  const { STATES, amount } = ns.words;

  const tool = (text, label, act) => {
    const button = element("button", "ml-tool", { type: "button", "aria-label": label, title: label }, text);
    button.addEventListener("click", act);
    return button;
  };

  ns.draw = function draw(host, document, options = {}) {
    const model = ns.build(document);
    const frame = element("div", "mlotel-lineage");
    host.replaceChildren(frame);
    if (!model.nodes.length) {
      frame.append(element("p", "ml-empty", {}, "No runs and no artifacts."));
      return { select() {}, fit() {}, destroy: () => frame.remove() };
    }
    const runs = model.nodes.filter((node) => node.kind === "run");
    let chosen = null;
    let matches = [];
    let current = -1;

    const canvas = new ns.Canvas(model, ns.place(model), choose);
    const box = element("input", "ml-search", {
      type: "search", placeholder: "Search", spellcheck: "false", autocomplete: "off",
      "aria-label": "Search names, ids, digests, parameters",
    });
    const status = element("span", "ml-status", { role: "status" });
    const size = `${amount(runs.length, "run")}, ${amount(model.nodes.length - runs.length, "artifact")}`;
    const bar = element("div", "ml-bar", { role: "toolbar", "aria-label": "Graph" },
      box, status,
      element("span", "ml-size", {}, size),
      tool("−", "Smaller", () => canvas.zoom(1 / 1.25)),
      tool("+", "Larger", () => canvas.zoom(1.25)),
      tool("Fit", "Show all of it", () => canvas.fit()));
    const panel = element("aside", "ml-panel", { "aria-label": "Details", tabindex: "-1" });
    panel.hidden = true;
    frame.append(bar, element("div", "ml-body", {}, canvas.element, panel), legend());
    if (model.partial) {
      bar.after(element("p", "ml-partial", { role: "note" }, "Partial: some of it could not be read."));
    }

    function legend() {
      const states = Object.keys(STATES).filter((state) => runs.some((node) => node.state === state));
      const key = (className, symbol, text) =>
        element("li", "", {}, element("span", `ml-key ${className}`, { "aria-hidden": "true" }, symbol), text);
      return element("ul", "ml-legend", { "aria-label": "Legend" },
        ...states.map((state) => key(`ml-state-${state}`, STATES[state], state)),
        key("ml-key-artifact", "", "artifact"),
        key("ml-key-before", "", "behind the chosen one"),
        key("ml-key-after", "", "touched by it"));
    }

    function choose(node, byKey = false) {
      chosen = node;
      const reached = node && { before: ns.reach(node, "before"), after: ns.reach(node, "after") };
      canvas.mark(node, reached);
      panel.hidden = node === null;
      if (node !== null) {
        const close = tool("×", "Close details (Escape)", () => leave());
        const heading = element("h2", "ml-heading", {}, node.title);
        panel.replaceChildren(
          element("header", "ml-head", {}, element("span", "ml-kind", {}, node.kind), heading, close),
          ...ns.details(node, reached, options, (next) => go(next)));
        panel.scrollTop = 0;
        canvas.reveal(node); // the panel may lie over where it was
        if (byKey) panel.focus({ preventScroll: true });
      }
      options.onSelect?.(node);
    }

    function go(node, byKey = true) {
      choose(node, byKey);
      canvas.center(node);
    }

    function leave() {
      const last = chosen;
      choose(null);
      last?.element.focus({ preventScroll: true });
    }

    function searched() {
      matches = ns.search(model, box.value);
      current = -1;
      canvas.found(matches);
      status.textContent = box.value.trim() ? `${matches.length || "none"} found` : "";
    }

    function next(step) {
      if (!matches.length) return;
      current = current < 0 ? (step > 0 ? 0 : matches.length - 1) : (current + step + matches.length) % matches.length;
      go(matches[current], false);
      status.textContent = `${current + 1} of ${matches.length}`;
    }

    box.addEventListener("input", searched);
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") next(event.shiftKey ? -1 : 1);
      if (event.key === "ArrowDown" && matches.length) {
        event.preventDefault();
        matches[Math.max(current, 0)].element.focus({ preventScroll: true });
      }
      if (event.key === "Escape" && box.value) {
        event.stopPropagation();
        box.value = "";
        searched();
      }
    });
    frame.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && chosen) {
        event.preventDefault();
        leave();
      } else if (event.target === box || event.altKey || event.ctrlKey || event.metaKey) {
        return;
      } else if (event.key === "/") {
        event.preventDefault();
        box.focus();
      } else if (event.key === "+" || event.key === "=") {
        canvas.zoom(1.25);
      } else if (event.key === "-") {
        canvas.zoom(1 / 1.25);
      } else if (event.key === "0") {
        canvas.fit();
      }
    });
    // What can be seen changes its size: with the window, and with the panel.
    const watcher = new ResizeObserver(() => chosen && canvas.reveal(chosen));
    watcher.observe(canvas.element);
    canvas.begin();

    return {
      select(id) {
        const node = model.byId.get(id);
        if (node) go(node, false);
        return Boolean(node);
      },
      fit: () => canvas.fit(),
      destroy() {
        watcher.disconnect();
        frame.remove();
      },
    };
  };
})();
