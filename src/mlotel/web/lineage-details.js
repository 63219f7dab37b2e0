// What is known of one node, as elements. Every text of the data becomes text, and no address of the data a link.
(() => {
  "use strict";
  const ns = (globalThis.mlotelLineage ??= {});
  const { amount, bytes, clean, number, seconds, when } = ns.words;

  const LONGEST = 2000;
  const MOST = 200;

  // An element with a class, attributes and children: elements, or text that stays text.
  ns.element = function element(tag, className = "", attributes = {}, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children.map((each) => (each instanceof Node ? each : clean(each))));
    return made;
  };
  const { element } = ns;

  function copyButton(text, label) {
    const button = element("button", "ml-copy", { type: "button", "aria-label": `Copy ${label}` }, "Copy");
    button.addEventListener("click", async () => {
      const done = await copied(text, button);
      button.textContent = done ? "Copied" : "Not copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    return button;
  }

  async function copied(text, near) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // No clipboard for pages that came over plain HTTP, or it is not allowed
      const area = element("textarea", "ml-unseen");
      area.value = text;
      near.after(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      near.focus();
      return done;
    }
  }

  function value(content) {
    if (content instanceof Node) return content;
    if (content === null || content === undefined || content === "") return element("span", "ml-none", {}, "–");
    const text = typeof content === "number" ? number(content) : clean(content);
    return document.createTextNode(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
  }

  function identity(text, label) {
    return text ? element("span", "ml-identity", {}, element("code", "", {}, text), copyButton(text, label)) : null;
  }

  // A list of terms; pairs without a content are left out.
  function terms(pairs) {
    const shown = pairs.filter(([, content]) => content !== null && content !== undefined && content !== "");
    if (!shown.length) return null;
    const list = element("dl", "ml-terms");
    for (const [name, content] of shown.slice(0, MOST)) {
      list.append(element("dt", "", {}, name), element("dd", "", {}, value(content)));
    }
    const rest = shown.length - MOST;
    if (rest > 0) list.append(element("dt", "", {}, "…"), element("dd", "", {}, `${number(rest)} more`));
    return list;
  }

  function section(title, content) {
    return content === null ? null : element("section", "", {}, element("h3", "", {}, title), content);
  }

  function mapped(title, values) {
    return section(title, terms(Object.entries(values ?? {})));
  }

  // Neighbours as buttons that lead to them.
  function neighbours(title, edges, end, go) {
    if (!edges.length) return null;
    const list = element("ul", "ml-neighbours");
    for (const edge of edges.slice(0, MOST)) {
      const button = element("button", `ml-chip ml-${edge[end].kind}`, { type: "button" }, edge[end].title);
      button.addEventListener("click", () => go(edge[end]));
      const found = edge.resolvedBy ? [element("span", "ml-found", {}, ` by ${edge.resolvedBy}`)] : [];
      list.append(element("li", "", {}, button, ...found));
    }
    if (edges.length > MOST) list.append(element("li", "", {}, `and ${amount(edges.length - MOST, "other")}`));
    return section(title, list);
  }

  function link(address, text) {
    return address ? element("a", "ml-link", { href: address }, text) : null;
  }

  function stale(found) {
    const ran = found.when === "ran";
    if (found.reason === "age") {
      return `${days(found.age_s)} old ${ran ? "when it was read" : "now"}, more than ${days(found.stale_after_s)}`;
    }
    const fresher = `${clean(found.fresher_run_id ?? "").slice(0, 8)} of ${when(found.fresher_start)}`;
    return `${clean(found.component)} ${ran ? "had a fresher run then" : "has a fresher run since"}: ${fresher}`;
  }

  function days(count) {
    return count >= 86400 ? amount(Number((count / 86400).toPrecision(3)), "day") : seconds(count);
  }

  function workflow(found) {
    const states = Object.entries(found.states).map(([state, count]) => `${number(count)} ${clean(state)}`);
    return `${states.join(", ")}${found.more ? " and more" : ""} (run ${clean(found.first_run_id).slice(0, 8)})`;
  }

  function runParts(node, options, go) {
    const run = node.data;
    const links = [link(options.runLink?.(run), "Open run"), link(options.traceLink?.(run), "Trace in Jaeger")];
    const dirty = run.git?.dirty ? "changed since the commit" : null;
    return [
      terms([
        ["state", `${node.symbol} ${node.state}`],
        ["started", when(run.start)],
        ["duration", seconds(run.duration_s)],
        ["version", run.version],
        ["pipeline", run.pipeline],
        ["service", run.service],
        ["run", identity(run.run_id, "the run id")],
        ["trace", identity(run.trace_id, "the trace id")],
      ]),
      element("p", "ml-links", {}, ...links.filter(Boolean)),
      section("Error", run.error ? terms([["type", run.error.type], ["message", run.error.message]]) : null),
      section("Stale inputs", terms((run.stale ?? []).map((each) => [each.artifact, stale(each)]))),
      section("Started", terms(node.workflows.map((each) => [each.pipeline, workflow(each)]))),
      neighbours("Read", node.before, "source", go),
      neighbours("Wrote", node.after, "target", go),
      mapped("Parameters", run.params),
      mapped("Metrics", run.metrics),
      mapped("Predictions", { ...run.predictions, classes: null }),
      mapped("Code", { ...run.git, dirty, commit: identity(run.git?.commit, "the commit") }),
      mapped("Tags", run.tags),
    ];
  }

  function artifactParts(node, go) {
    const artifact = node.data;
    return [
      terms([
        ["type", artifact.type],
        ["rows", artifact.rows],
        ["columns", artifact.columns],
        ["size", typeof artifact.size === "number" ? bytes(artifact.size) : null],
        ["place", artifact.uri],
        ["digest", identity(artifact.digest, "the digest") ?? "none"],
        ["of", artifact.scope],
        ["schema", identity(artifact.schema_digest, "the schema's digest")],
        ["note", artifact.note],
        ["labels", (artifact.labels ?? []).map((each) => (typeof each === "string" ? each : each.label)).join(", ")],
      ]),
      neighbours("Written by", node.before, "source", go),
      neighbours("Read by", node.after, "target", go),
    ];
  }

  // Returns the content of the panel for `node`; `reached` is {before, after}, what stands on either side of it.
  ns.details = function details(node, reached, options, go) {
    const count = ({ nodes }) => {
      const runs = [...nodes].filter((each) => each.kind === "run").length;
      return `${amount(runs, "run")}, ${amount(nodes.size - runs, "artifact")}`;
    };
    const parts = node.kind === "run" ? runParts(node, options, go) : artifactParts(node, go);
    return [
      element("p", "ml-reach", {},
        element("span", "ml-before", {}, `behind it: ${count(reached.before)}`),
        element("span", "ml-after", {}, `touched: ${count(reached.after)}`)),
      ...parts.filter((part) => part !== null && part.childNodes.length),
    ];
  };
})();
