// A lineage document (schemas/lineage.schema.json) as a graph: nodes that know their neighbours, and their names.
(() => {
  "use strict";
  const ns = (globalThis.mlotelLineage ??= {});

  // As in mlotel's command line: control characters, and marks that turn the direction of text around
  const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

  const STATES = {
    ok: "✓",
    failed: "✗",
    cancelled: "⊘",
    running: "▶",
    lost: "?",
  };

  // Where the words are not those of mlotel.link.resolved_by
  const WAYS = new Map([
    ["embedded", "embedded context"],
    ["env", "environment"],
    ["latest_write", "digest, latest write"],
  ]);

  const clean = (value) => String(value).replace(/[\t\n\r]+/g, " ").replace(UNSAFE, "");

  const seconds = (value) => {
    if (value === null || value === undefined) return "–";
    if (value < 1) return `${Number((value * 1000).toPrecision(3))} ms`;
    if (value < 60) return `${Number(value.toPrecision(3))} s`;
    const minutes = Math.round(value / 60);
    return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };

  const bytes = (value) => {
    if (value < 1000) return `${value} B`;
    const unit = Math.min(4, Math.floor(Math.log10(value) / 3));
    return `${Number((value / 1000 ** unit).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
  };

  const number = (value) => {
    if (typeof value !== "number") return clean(value);
    return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(6)));
  };

  const amount = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

  const when = (text) => (text ? clean(text).replace("T", " ").replace(/\.\d+/, "") : "–");

  const shortDigest = (digest) => {
    const [algorithm, value] = clean(digest).split(":");
    return value === undefined ? algorithm.slice(0, 12) : `${algorithm}:${value.slice(0, 12)}`;
  };

  const extent = (artifact) => {
    if (typeof artifact.rows === "number") {
      const columns = typeof artifact.columns === "number" ? ` × ${number(artifact.columns)}` : "";
      return `${number(artifact.rows)} rows${columns}`;
    }
    return typeof artifact.size === "number" ? bytes(artifact.size) : "";
  };

  function runNode(run) {
    const state = clean(run.state);
    const facts = [state, seconds(run.duration_s), run.stale?.length ? "stale" : "", clean(run.run_id).slice(0, 8)];
    return {
      id: run.run_id,
      kind: "run",
      data: run,
      state,
      symbol: STATES[state] ?? "·",
      title: clean(run.component) || "(no name)",
      subtitle: facts.filter(Boolean).join(" · "),
    };
  }

  function artifactNode(artifact) {
    const digest = artifact.digest ? shortDigest(artifact.digest).replace(/^.*:/, "") : "no digest";
    return {
      id: artifact.id,
      kind: "artifact",
      data: artifact,
      state: "",
      symbol: "",
      title: clean(artifact.name) || "(no name)",
      subtitle: [clean(artifact.type ?? ""), extent(artifact), digest].filter(Boolean).join(" · "),
    };
  }

  function searched(node) {
    const { data } = node;
    const own =
      node.kind === "run"
        ? [data.run_id, data.trace_id, data.component, data.state, data.pipeline, data.version, data.service,
           data.git?.commit, data.git?.branch, data.error?.type, data.error?.message,
           ...Object.entries(data.params ?? {}).map(([key, value]) => `${key}=${value}`),
           ...Object.entries(data.tags ?? {}).map(([key, value]) => `${key}=${value}`),
           ...Object.keys(data.metrics ?? {})]
        : [data.id, data.name, data.type, data.digest, data.uri];
    return own.filter((each) => each !== null && each !== undefined).join("\n").toLowerCase();
  }

  // Returns {nodes: [node…], edges: [edge…], byId: Map, root, partial}; a node has `before` and `after`, its edges.
  ns.build = function build(document) {
    const nodes = [...(document.runs ?? []).map(runNode), ...(document.artifacts ?? []).map(artifactNode)];
    const byId = new Map();
    for (const node of nodes) {
      const isRoot = node.id === document.root;
      Object.assign(node, { before: [], after: [], workflows: [], searched: searched(node), isRoot });
      byId.set(node.id, node);
    }
    const edges = [];
    for (const each of document.edges ?? []) {
      const source = byId.get(each.from);
      const target = byId.get(each.to);
      if (!source || !target || source === target) continue;
      const way = each.resolved_by ?? "";
      const edge = { source, target, kind: clean(each.kind), resolvedBy: WAYS.get(way) ?? clean(way) };
      source.after.push(edge);
      target.before.push(edge);
      edges.push(edge);
    }
    for (const each of document.workflows ?? []) byId.get(each.run_id)?.workflows.push(each);
    return { nodes: [...byId.values()], edges, byId, partial: Boolean(document.partial) };
  };

  // The nodes that are reached from `node` over its edges `before` or `after`, without itself, and the edges gone over.
  ns.reach = function reach(node, side) {
    const end = side === "before" ? "source" : "target";
    const nodes = new Set();
    const edges = new Set();
    const waiting = [node];
    while (waiting.length) {
      for (const edge of waiting.pop()[side]) {
        edges.add(edge);
        const next = edge[end];
        if (next !== node && !nodes.has(next)) {
          nodes.add(next);
          waiting.push(next);
        }
      }
    }
    return { nodes, edges };
  };

  // The nodes in whose text every word of `query` stands.
  ns.search = function search(model, query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return words.length ? model.nodes.filter((node) => words.every((word) => node.searched.includes(word))) : [];
  };

  ns.words = { STATES, amount, bytes, clean, extent, number, seconds, shortDigest, when };
})();
