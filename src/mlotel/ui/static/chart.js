// One point a run: when it began, and how long it took or what a metric was. Shapes tell states apart, not colours alone.

import { h, svg } from "/static/dom.js";
import { clean, when } from "/static/words.js";

const HEIGHT = 260;
const MARGIN = { top: 22, right: 18, bottom: 30, left: 74 };
const SIZE = 5;
const STEEP = 100; // ratio of the largest value to the smallest from which the scale is logarithmic

const SHAPES = {
  ok: (x, y) => svg("circle", { cx: x, cy: y, r: SIZE - 0.5 }),
  failed: (x, y) => svg("path", { d: `M${x - SIZE} ${y - SIZE}l${2 * SIZE} ${2 * SIZE}m0 ${-2 * SIZE}l${-2 * SIZE} ${2 * SIZE}` }),
  cancelled: (x, y) => svg("rect", { x: x - SIZE + 0.5, y: y - SIZE + 0.5, width: 2 * SIZE - 1, height: 2 * SIZE - 1 }),
  running: (x, y) => svg("path", { d: `M${x - SIZE + 1} ${y - SIZE}l${2 * SIZE - 1} ${SIZE}l${-2 * SIZE + 1} ${SIZE}z` }),
  lost: (x, y) => svg("path", { d: `M${x} ${y - SIZE - 1}l${SIZE + 1} ${SIZE + 1}l${-SIZE - 1} ${SIZE + 1}l${-SIZE - 1} ${-SIZE - 1}z` }),
};

export class Chart {
  /**
   * @param address run → where a click leads
   * @param describe (run, value in words) → what the tooltip holds
   */
  constructor({ address, describe }) {
    this.address = address;
    this.describe = describe;
    this.tip = h("div", { class: "tip", role: "status" });
    this.tip.hidden = true;
    this.frame = h("div", { class: "chart" });
    this.legend = h("ul", { class: "legend", "aria-label": "States" });
    this.element = h("div", { class: "charted" }, this.frame, this.legend);
    this.points = [];
    new ResizeObserver(([entry]) => {
      if (this.drawn && Math.abs(entry.contentRect.width - this.width) > 1) this.draw(...this.drawn);
    }).observe(this.frame);
  }

  /** Draw the runs that have a value; `words` says a value, `name` what the values are. */
  draw(runs, valueOf, words, name) {
    this.drawn = [runs, valueOf, words, name];
    this.words = words;
    this.width = Math.max(280, this.frame.clientWidth || 600);
    const shown = runs
      .map((run) => ({ run, at: Date.parse(run.start), value: valueOf(run) }))
      .filter((point) => Number.isFinite(point.value) && Number.isFinite(point.at))
      .reverse();
    this.frame.replaceChildren(this.tip);
    this.hide();
    this.tell(shown, runs.length);
    if (!shown.length) {
      this.frame.append(h("p", { class: "faint" }, `No run here has a ${clean(name)}.`));
      return;
    }
    const across = scaleOfTime(shown, this.width);
    const up = scaleOfValues(shown);
    const drawing = svg("svg", {
      width: this.width,
      height: HEIGHT,
      viewBox: `0 0 ${this.width} ${HEIGHT}`,
      role: "group",
      "aria-label": `${clean(name)} of ${shown.length} runs by the time of their start; arrow keys go from run to run`,
    });
    this.points = shown.map((point, index) => this.point(point, index, across, up));
    // What did not go well is drawn over what did.
    const layers = [shown.map(({ run }) => run.state === "ok"), shown.map(({ run }) => run.state !== "ok")];
    drawing.append(this.axes(across, up, words), this.median(shown, up), ...layers.flatMap((layer) => this.points.filter((_, index) => layer[index])));
    drawing.classList.toggle("crowded", shown.length > this.width / 6);
    this.points.at(-1).setAttribute("tabindex", "0");
    drawing.addEventListener("keydown", (event) => this.move(event));
    this.frame.prepend(drawing);
  }

  axes(across, up, words) {
    const right = this.width - MARGIN.right;
    const bottom = HEIGHT - MARGIN.bottom;
    const lines = up.ticks.map((value) =>
      svg(
        "g",
        {},
        svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: up(value), y2: up(value) }),
        svg("text", { class: "tick", x: MARGIN.left - 8, y: up(value), "text-anchor": "end", "dominant-baseline": "middle" }, words(value)),
      ),
    );
    const times = across.ticks.map(({ at, label }, index) => {
      const anchor = index === 0 ? "start" : index === across.ticks.length - 1 ? "end" : "middle";
      return svg("text", { class: "tick", x: across(at), y: bottom + 20, "text-anchor": anchor }, label);
    });
    return svg("g", { "aria-hidden": "true" }, lines, times);
  }

  median(shown, up) {
    const sorted = shown.map((point) => point.value).sort((one, other) => one - other);
    const middle = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
    const right = this.width - MARGIN.right;
    return svg(
      "g",
      { "aria-hidden": "true" },
      svg("line", { class: "median", x1: MARGIN.left, x2: right, y1: up(middle), y2: up(middle) }),
      svg("text", { class: "tick", x: right, y: up(middle) - 8, "text-anchor": "end" }, `median ${this.words(middle)}`),
    );
  }

  point({ run, at, value }, index, across, up) {
    const shape = SHAPES[run.state] ?? SHAPES.lost;
    const known = Object.hasOwn(SHAPES, run.state) ? run.state : "lost";
    const said = `${clean(run.state)}, ${this.words(value)}, ${when(run.start)}`;
    const x = across(at);
    const y = up(value);
    const link = svg(
      "a",
      { href: this.address(run), class: `point point-${known}`, tabindex: "-1", "aria-label": said },
      svg("circle", { class: "reach", cx: x, cy: y, r: 11 }),
      shape(x, y),
    );
    link.dataset.index = String(index);
    const show = () => this.show(run, value, x, y);
    link.addEventListener("pointerenter", show);
    link.addEventListener("focus", () => {
      for (const each of this.points) each.setAttribute("tabindex", each === link ? "0" : "-1");
      show();
    });
    link.addEventListener("pointerleave", () => this.hide());
    link.addEventListener("blur", () => this.hide());
    return link;
  }

  move(event) {
    const link = event.target.closest("a[data-index]");
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity, PageUp: -10, PageDown: 10 };
    if (event.key === "Escape") this.hide();
    if (!link || !Object.hasOwn(steps, event.key)) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(this.points.length - 1, Number(link.dataset.index) + steps[event.key]));
    this.points[index].focus();
  }

  show(run, value, x, y) {
    this.tip.replaceChildren(...this.describe(run, this.words(value)));
    this.tip.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const left = Math.max(0, Math.min(this.width - width, x - width / 2));
    const top = y - height - 12 < 0 ? y + 14 : y - height - 12;
    this.tip.style.translate = `${left}px ${top}px`;
  }

  hide() {
    this.tip.hidden = true;
  }

  tell(shown, all) {
    const states = [...new Set(shown.map((point) => point.run.state))].filter((each) => Object.hasOwn(SHAPES, each));
    const items = states.map((each) =>
      h("li", {}, svg("svg", { width: 16, height: 16, "aria-hidden": "true", class: `point-${each}` }, SHAPES[each](8, 8)), each),
    );
    if (shown.length < all) items.push(h("li", {}, `${all - shown.length} without a value are not drawn`));
    this.legend.replaceChildren(...items);
  }
}

function scaleOfTime(points, width) {
  const first = points[0].at;
  const last = points.at(-1).at;
  const right = width - MARGIN.right - SIZE;
  const left = MARGIN.left + SIZE * 2;
  const scale = (at) => (last === first ? (left + right) / 2 : left + ((at - first) / (last - first)) * (right - left));
  const count = last === first ? 1 : Math.max(2, Math.min(6, Math.floor(width / 170)));
  const span = last - first;
  scale.ticks = Array.from({ length: count }, (_, index) => {
    const at = count === 1 ? first : first + (span * index) / (count - 1);
    return { at, label: timeLabel(at, span) };
  });
  return scale;
}

function timeLabel(at, span) {
  const text = new Date(at).toISOString();
  if (span > 3 * 86400e3) return text.slice(0, 10);
  if (span > 3600e3) return text.slice(5, 16).replace("T", " ");
  return text.slice(11, span > 2e3 ? 19 : 23);
}

function scaleOfValues(points) {
  const values = points.map((point) => point.value);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const bottom = HEIGHT - MARGIN.bottom - SIZE;
  const height = bottom - MARGIN.top;
  if (low > 0 && high / low >= STEEP) {
    const from = Math.floor(Math.log10(low));
    const to = Math.ceil(Math.log10(high));
    const scale = (value) => bottom - ((Math.log10(value) - from) / (to - from)) * height;
    const every = Math.ceil((to - from + 1) / 6);
    scale.ticks = Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index)).filter((_, index) => index % every === 0);
    return scale;
  }
  const step = niceStep((high - Math.min(0, low)) || Math.abs(high) || 1);
  const from = Math.floor(Math.min(0, low) / step) * step;
  const to = Math.max(Math.ceil(high / step) * step, from + step);
  const scale = (value) => bottom - ((value - from) / (to - from)) * height;
  scale.ticks = Array.from({ length: Math.round((to - from) / step) + 1 }, (_, index) => Number((from + index * step).toPrecision(12)));
  return scale;
}

/** A step of 1, 2 or 5 times a power of ten that divides a range into about five. */
function niceStep(range) {
  const rough = range / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999) ?? 10 * power;
}
