// The plane that a graph is drawn on: nodes are buttons, edges paths; it is moved, scaled, and walked over by keys.
(() => {
  "use strict";
  const ns = (globalThis.mlotelLineage ??= {});
  const { element } = ns;

  const SVG = "http://www.w3.org/2000/svg";
  const LEAST = 0.03;
  const MOST = 2.5;
  const READABLE = 0.55;
  const MARGIN = 32;
  const STEP = 64;

  const svg = (tag, attributes = {}) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  let drawn = 0;

  // Args: model, placed; box, its size; onChoose(node, byKey): a node was clicked, or Enter pressed on it.
  ns.Canvas = class Canvas {
    constructor(model, box, onChoose) {
      this.model = model;
      this.box = box;
      this.onChoose = onChoose;
      this.view = { x: 0, y: 0, scale: 1 };
      this.pointers = new Map();
      this.marker = `ml-arrow-${drawn++}`;
      this.plane = element("div", "ml-plane");
      const label = "Lineage graph: arrow keys walk over it, Enter shows what is known";
      this.element = element("div", "ml-canvas", { role: "group", "aria-label": label }, this.plane);
      this.plane.append(this.edges(), ...model.nodes.map((node) => this.button(node)));
      const root = model.nodes.find((node) => node.isRoot) ?? model.nodes[0];
      if (root) root.element.tabIndex = 0;
      this.entry = root;
      this.listen();
    }

    edges() {
      const drawing = svg("svg", { class: "ml-edges", width: 1, height: 1, "aria-hidden": "true" });
      const marker = svg("marker", {
        id: this.marker, viewBox: "0 0 8 8", refX: 7, refY: 4, orient: "auto",
        markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse",
      });
      marker.append(svg("path", { d: "M0 0L8 4L0 8z" }));
      const definitions = svg("defs");
      definitions.append(marker);
      drawing.append(definitions);
      for (const edge of this.model.edges) {
        const line = ns.path(edge.points);
        edge.element = svg("g", { class: `ml-edge ml-${/^[a-z_]+$/.test(edge.kind) ? edge.kind : "other"}` });
        const title = svg("title");
        const how = edge.resolvedBy ? `, found by ${edge.resolvedBy}` : "";
        title.textContent = edge.kind === "write" ? `${edge.source.title} wrote ${edge.target.title}`
          : edge.kind === "read" ? `${edge.target.title} read ${edge.source.title}${how}`
          : `${edge.source.title} → ${edge.target.title}: ${edge.kind}${how}`;
        const shown = svg("path", { class: "ml-line", d: line, "marker-end": `url(#${this.marker})` });
        edge.element.append(title, svg("path", { class: "ml-hit", d: line }), shown);
        drawing.append(edge.element);
      }
      return drawing;
    }

    button(node) {
      const known = Object.hasOwn(ns.words.STATES, node.state) ? node.state : "other";
      const names = ["ml-node", `ml-${node.kind}`];
      if (node.kind === "run") names.push(`ml-state-${known}`);
      if (node.isRoot) names.push("ml-root");
      const button = element("button", names.join(" "), { type: "button", tabindex: "-1" });
      if (node.symbol) button.append(element("span", "ml-symbol", { "aria-hidden": "true" }, node.symbol));
      const words = [element("span", "ml-title", {}, node.title), element("span", "ml-subtitle", {}, node.subtitle)];
      button.append(element("span", "ml-words", {}, ...words));
      const asked = node.isRoot ? ", what was asked for" : "";
      button.setAttribute("aria-label", `${node.kind} ${node.title}, ${node.subtitle}${asked}`);
      button.title = node.title;
      button.style.left = `${node.x - node.width / 2}px`;
      button.style.top = `${node.y - node.height / 2}px`;
      button.style.width = `${node.width}px`;
      button.style.height = `${node.height}px`;
      button.addEventListener("click", (event) => this.onChoose(node, event.detail === 0));
      button.addEventListener("focus", () => this.entered(node));
      button.addEventListener("keydown", (event) => this.walked(event, node));
      node.element = button;
      return button;
    }

    // Of all nodes one is reached by Tab: the one that was in focus last.
    entered(node) {
      if (this.entry) this.entry.element.tabIndex = -1;
      this.entry = node;
      node.element.tabIndex = 0;
      this.absorb();
      // Not under a mouse that is pressed: the node would not be there any more where it is let go, and not be clicked
      if (node.element.matches(":focus-visible")) this.reveal(node);
    }

    walked(event, node) {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const away = (each) => Math.abs(each.y - node.y);
      const nearest = (nodes) => nodes.reduce((best, each) => (best && away(best) <= away(each) ? best : each), null);
      const place = node.column.indexOf(node);
      const next = {
        ArrowLeft: () => nearest(node.before.map((edge) => edge.source)),
        ArrowRight: () => nearest(node.after.map((edge) => edge.target)),
        ArrowUp: () => node.column[place - 1],
        ArrowDown: () => node.column[place + 1],
        Home: () => this.model.nodes.find((each) => each.isRoot),
      }[event.key];
      if (!next) return;
      event.preventDefault();
      event.stopPropagation();
      next()?.element.focus({ preventScroll: true });
    }

    listen() {
      this.element.addEventListener("wheel", (event) => {
        event.preventDefault();
        const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
        this.zoom(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0015)), this.at(event));
      }, { passive: false });
      this.element.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        this.pointers.set(event.pointerId, this.at(event));
        if (!event.target.closest(".ml-node")) this.element.setPointerCapture(event.pointerId);
      });
      this.element.addEventListener("pointermove", (event) => this.dragged(event));
      for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
        this.element.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
      }
      this.element.addEventListener("scroll", () => this.absorb());
    }

    // Browsers scroll to what is in focus, or was found on the page; here the plane moves instead, by as much.
    absorb() {
      const { scrollLeft, scrollTop } = this.element;
      if (!scrollLeft && !scrollTop) return;
      this.element.scrollTo(0, 0);
      this.move(-scrollLeft, -scrollTop);
    }

    at(event) {
      const { left, top } = this.element.getBoundingClientRect();
      return { x: event.clientX - left, y: event.clientY - top };
    }

    dragged(event) {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = this.at(event);
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      this.pointers.set(event.pointerId, now);
      if (other) {
        const apart = (place) => Math.hypot(place.x - other.x, place.y - other.y);
        this.zoom(apart(now) / Math.max(apart(before), 1), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
      } else {
        this.move(now.x - before.x, now.y - before.y);
      }
    }

    show() {
      const { x, y, scale } = this.view;
      this.plane.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    }

    move(x, y) {
      this.view.x += x;
      this.view.y += y;
      this.show();
    }

    // Scales around a place of the canvas, by default its middle.
    zoom(factor, around = { x: this.element.clientWidth / 2, y: this.element.clientHeight / 2 }) {
      const scale = Math.min(MOST, Math.max(LEAST, this.view.scale * factor));
      const change = scale / this.view.scale;
      const { x, y } = this.view;
      this.view = { x: around.x - (around.x - x) * change, y: around.y - (around.y - y) * change, scale };
      this.show();
    }

    fit() {
      const { clientWidth: width, clientHeight: height } = this.element;
      const into = (room, extent) => (room - 2 * MARGIN) / Math.max(extent, 1);
      const scale = Math.min(1, into(width, this.box.width), into(height, this.box.height));
      this.view.scale = Math.max(LEAST, scale);
      this.view.x = (width - this.box.width * this.view.scale) / 2;
      this.view.y = (height - this.box.height * this.view.scale) / 2;
      this.show();
    }

    // All of it where that can be read, else the part around the root.
    begin() {
      this.fit();
      if (this.view.scale < READABLE && this.entry) {
        this.view.scale = READABLE * 1.4;
        this.center(this.entry);
      }
    }

    // Brings `node` as near to the middle as can be without showing what lies beyond the graph's ends.
    center(node) {
      const shift = (middle, extent, room) => {
        const least = room - extent * this.view.scale - MARGIN;
        const wanted = room / 2 - middle * this.view.scale;
        return least >= MARGIN ? (least + MARGIN) / 2 : Math.min(MARGIN, Math.max(least, wanted));
      };
      this.view.x = shift(node.x, this.box.width, this.element.clientWidth);
      this.view.y = shift(node.y, this.box.height, this.element.clientHeight);
      this.show();
    }

    // Moves the plane no more than is needed to see the whole node.
    reveal(node) {
      const { clientWidth: width, clientHeight: height } = this.element;
      const { x, y, scale } = this.view;
      const needed = (middle, extent, shift, room) => {
        const low = shift + (middle - extent / 2) * scale - MARGIN;
        const high = shift + (middle + extent / 2) * scale + MARGIN - room;
        return low < 0 ? -low : high > 0 ? -Math.min(high, low) : 0;
      };
      this.move(needed(node.x, node.width, x, width), needed(node.y, node.height, y, height));
    }

    // Marks what stands behind `node` and what it touched; all is as it was where that is null.
    mark(node, reached) {
      this.element.classList.toggle("ml-marked", node !== null);
      for (const each of this.model.nodes) {
        const { classList } = each.element;
        classList.toggle("ml-chosen", each === node);
        classList.toggle("ml-before", node !== null && reached.before.nodes.has(each));
        classList.toggle("ml-after", node !== null && reached.after.nodes.has(each));
        if (each === node) each.element.setAttribute("aria-current", "true");
        else each.element.removeAttribute("aria-current");
      }
      for (const edge of this.model.edges) {
        edge.element.classList.toggle("ml-before", node !== null && reached.before.edges.has(edge));
        edge.element.classList.toggle("ml-after", node !== null && reached.after.edges.has(edge));
      }
    }

    found(nodes) {
      const wanted = new Set(nodes);
      for (const each of this.model.nodes) each.element.classList.toggle("ml-found", wanted.has(each));
    }

    // Arrow keys on the canvas itself move the plane.
    pan(key) {
      const by = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] }[key];
      if (by) this.move(...by);
      return Boolean(by);
    }
  };
})();
