// Where nodes and edges stand: in layers from left to right, as the data flows.
(() => {
  "use strict";
  const ns = (globalThis.mlotelLineage ??= {});

  const WIDTH = 200;
  const HEIGHT = 48;
  const BETWEEN_LAYERS = 60;
  const BETWEEN_NODES = 20;
  // Past this many nodes and crossings of layers by edges dagre takes seconds, and past the second too long.
  const NICE = 400;
  const MOST = 6000;

  // Sets x, y (the centre), width and height of each node, and `points` of each edge; returns {width, height}.
  ns.place = function place(model) {
    for (const node of model.nodes) Object.assign(node, { width: WIDTH, height: HEIGHT });
    layers(model);
    const crossings = model.edges.map((edge) => Math.abs(edge.target.layer - edge.source.layer));
    const size = crossings.reduce((sum, each) => sum + each, model.nodes.length);
    const box = size <= MOST ? byDagre(model, size) : byLayers(model);
    columns(model);
    return box;
  };

  // The length of the longest way to each node; edges that close a cycle do not count.
  function layers(model) {
    const state = new Map(); // 1 while on the way, 2 when done
    const order = [];
    const forward = new Set();
    for (const begin of model.nodes) {
      if (state.has(begin)) continue;
      const stack = [[begin, 0]];
      state.set(begin, 1);
      while (stack.length) {
        const top = stack[stack.length - 1];
        const edge = top[0].after[top[1]++];
        if (edge === undefined) {
          state.set(top[0], 2);
          order.push(top[0]);
          stack.pop();
        } else if (!state.has(edge.target)) {
          forward.add(edge);
          state.set(edge.target, 1);
          stack.push([edge.target, 0]);
        } else if (state.get(edge.target) === 2) {
          forward.add(edge);
        }
      }
    }
    for (const node of order) node.layer = 0;
    for (const node of order.reverse()) {
      for (const edge of node.after) {
        if (forward.has(edge)) edge.target.layer = Math.max(edge.target.layer, node.layer + 1);
      }
    }
  }

  function byDagre(model, size) {
    const graph = new globalThis.dagre.graphlib.Graph({ multigraph: true });
    graph.setGraph({
      rankdir: "LR",
      nodesep: BETWEEN_NODES,
      ranksep: BETWEEN_LAYERS,
      ranker: size <= NICE ? "network-simplex" : "longest-path",
    });
    // Numbers and not ids, which are data: a name such as "__proto__" is a name like any other.
    const numbers = new Map(model.nodes.map((node, number) => [node, `n${number}`]));
    for (const [node, number] of numbers) graph.setNode(number, { width: node.width, height: node.height });
    model.edges.forEach((edge, number) => {
      graph.setEdge(numbers.get(edge.source), numbers.get(edge.target), {}, `e${number}`);
    });
    globalThis.dagre.layout(graph);
    for (const [node, number] of numbers) {
      const { x, y } = graph.node(number);
      Object.assign(node, { x, y });
    }
    model.edges.forEach((edge, number) => {
      // dagre turns an edge in the gaps between layers and in the layers that it passes; the latter make a calmer line.
      const turns = graph.edge(numbers.get(edge.source), numbers.get(edge.target), `e${number}`).points.slice(1, -1);
      edge.points = ends(edge, turns.filter((_, place) => place % 2 === 1));
    });
    const { width, height } = graph.graph();
    return { width: Math.max(width ?? 0, 0), height: Math.max(height ?? 0, 0) };
  }

  // For what is too large for dagre: each layer a column, ordered by the mean place of the neighbours.
  function byLayers(model) {
    const found = [];
    for (const node of model.nodes) (found[node.layer] ??= []).push(node);
    const number = (column) => column.forEach((node, place) => (node.place = place));
    const mean = (node, side, end) => {
      const edges = node[side];
      return edges.length ? edges.reduce((sum, edge) => sum + edge[end].place, 0) / edges.length : node.place;
    };
    found.forEach(number);
    for (let sweep = 0; sweep < 4; sweep++) {
      const back = sweep % 2 === 1;
      for (const column of back ? [...found].reverse() : found) {
        const [side, end] = back ? ["after", "target"] : ["before", "source"];
        const means = new Map(column.map((node) => [node, mean(node, side, end)]));
        column.sort((one, other) => means.get(one) - means.get(other));
        number(column);
      }
    }
    const tallest = Math.max(...found.map((column) => column.length));
    const step = HEIGHT + BETWEEN_NODES;
    found.forEach((column, layer) => {
      const top = ((tallest - column.length) * step) / 2;
      column.forEach((node, place) => {
        node.x = layer * (WIDTH + BETWEEN_LAYERS) + WIDTH / 2;
        node.y = top + place * step + HEIGHT / 2;
      });
    });
    for (const edge of model.edges) edge.points = ends(edge, []);
    return { width: found.length * (WIDTH + BETWEEN_LAYERS) - BETWEEN_LAYERS, height: tallest * step - BETWEEN_NODES };
  }

  function ends(edge, between) {
    const { source, target } = edge;
    const side = target.x < source.x ? -1 : 1;
    return [
      { x: source.x + (side * source.width) / 2, y: source.y },
      ...between,
      { x: target.x - (side * target.width) / 2, y: target.y },
    ];
  }

  // `column`: the nodes that stand above and below a node, itself among them, from top to bottom.
  function columns(model) {
    const at = new Map();
    for (const node of model.nodes) {
      const x = Math.round(node.x);
      if (!at.has(x)) at.set(x, []);
      at.get(x).push(node);
    }
    for (const column of at.values()) {
      column.sort((one, other) => one.y - other.y);
      for (const node of column) node.column = column;
    }
  }

  // The path of an edge, level where it leaves, passes and arrives.
  ns.path = function path(points) {
    let text = `M${points[0].x} ${points[0].y}`;
    for (let number = 1; number < points.length; number++) {
      const from = points[number - 1];
      const to = points[number];
      const middle = (from.x + to.x) / 2;
      text += `C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`;
    }
    return text;
  };
})();
