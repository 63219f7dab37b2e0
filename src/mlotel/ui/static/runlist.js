// A list of runs of any length. Only the rows near the window are in the document; pages are fetched as it is scrolled.

import { h } from "/static/dom.js";
import { announce, failure } from "/static/parts.js";
import { amount } from "/static/words.js";

const BEYOND = 20; // rows kept on either side of what is seen
const AHEAD = 60; // rows before the end at which the next page is asked for
const PATIENCE = 4; // pages in a row without a run after which somebody has to ask for more

export class RunList {
  /**
   * @param columns {name, class, cell: run → what stands there}[]
   * @param fetchPage cursor (null: the first) → {runs, next}
   * @param caption what the table lists
   */
  constructor(columns, fetchPage, caption) {
    this.columns = columns;
    this.fetchPage = fetchPage;
    this.runs = [];
    this.known = new Set();
    this.next = null;
    this.busy = false;
    this.inVain = 0;
    this.rows = new Map();
    this.rowHeight = 36;

    this.above = h("tr", { "aria-hidden": "true", class: "space" }, h("td", { colspan: columns.length }));
    this.below = this.above.cloneNode(true);
    this.body = h("tbody", { on: { keydown: (event) => this.move(event) } }, this.above, this.below);
    const headings = columns.map((column) => h("th", { scope: "col", role: "columnheader", class: column.class }, column.name));
    this.table = h(
      "table",
      { class: "runs", role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row", "aria-rowindex": "1" }, headings)),
      this.body,
    );
    this.body.setAttribute("role", "rowgroup");
    this.status = h("p", { class: "status", role: "status" });
    this.onward = h("button", { type: "button", on: { click: () => this.more() } }, "Look further back");
    this.element = h("div", { class: "runlist" }, this.table, this.status, this.onward);

    let asked = false;
    const redraw = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        this.draw();
      });
    };
    addEventListener("scroll", redraw, { passive: true });
    addEventListener("resize", () => {
      this.measure();
      redraw();
    });
  }

  /** Fetch the first page anew; what is shown stays until it is there. */
  async reload() {
    const page = await this.fetchPage(null);
    this.runs = [];
    this.inVain = 0;
    this.known.clear();
    this.clearRows();
    this.take(page);
    this.measure();
    this.draw();
    return page;
  }

  async more() {
    if (this.busy || this.next === null) return;
    this.busy = true;
    this.tell();
    try {
      this.take(await this.fetchPage(this.next));
    } catch (error) {
      this.next = null;
      this.element.append(failure(error));
    } finally {
      this.busy = false;
      this.draw();
    }
  }

  take(page) {
    this.inVain = page.runs.length ? 0 : this.inVain + 1;
    for (const run of page.runs) {
      if (this.known.has(run.run_id)) continue; // it moved to another page while this one was read
      this.known.add(run.run_id);
      this.runs.push(run);
    }
    this.next = page.next;
    this.table.setAttribute("aria-rowcount", String(page.next === null ? this.runs.length + 1 : -1));
  }

  /** Whether so many runs were looked at in vain that nothing more is fetched by itself. */
  waits() {
    return this.next !== null && this.inVain > 0 && this.inVain % PATIENCE === 0;
  }

  tell() {
    this.onward.hidden = this.busy || !this.waits();
    const count = amount(this.runs.length, "run");
    if (this.busy) this.status.textContent = `${count} so far, reading on …`;
    else if (this.waits()) this.status.textContent = `${count} so far, and none for a long while before`;
    else if (this.next !== null) this.status.textContent = `${count} so far; scroll on for earlier ones`;
    else this.status.textContent = this.runs.length ? `${count}, all there are` : "No runs.";
  }

  clearRows() {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
  }

  measure() {
    if (!this.runs.length) return;
    const probe = this.row(0);
    this.above.after(probe);
    this.rowHeight = probe.getBoundingClientRect().height || this.rowHeight;
    probe.remove();
    this.clearRows();
  }

  row(index) {
    const run = this.runs[index];
    const cells = this.columns.map((column) => h("td", { role: "cell", class: column.class }, column.cell(run)));
    const row = h("tr", { role: "row", "aria-rowindex": String(index + 2) }, cells);
    row.dataset.index = String(index);
    return row;
  }

  /** Bring those rows into the document that are near the window. */
  draw() {
    const top = -this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.min(this.runs.length, Math.floor(top / this.rowHeight) - BEYOND));
    const last = Math.min(this.runs.length, Math.max(first, Math.ceil((top + innerHeight) / this.rowHeight) + BEYOND));
    // Before the rows: where the one with the focus is taken out, browsers look at the page at once, and scroll back if
    // it has become shorter.
    this.above.firstChild.height = String(first * this.rowHeight);
    this.below.firstChild.height = String((this.runs.length - last) * this.rowHeight);
    this.above.hidden = first === 0;
    this.below.hidden = last === this.runs.length;
    for (const [index, row] of this.rows) {
      if (index < first || index >= last) {
        row.remove();
        this.rows.delete(index);
      }
    }
    let before = this.above;
    for (let index = first; index < last; index += 1) {
      let row = this.rows.get(index);
      if (!row) {
        row = this.row(index);
        this.rows.set(index, row);
        before.after(row);
      }
      before = row;
    }
    this.tell();
    if (this.next !== null && !this.waits() && last > this.runs.length - AHEAD) this.more();
  }

  /** Arrow keys, Home, End and page keys go from row to row. */
  move(event) {
    const row = event.target.closest("tr[data-index]");
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const index = Number(row.dataset.index);
    const page = Math.max(1, Math.floor(innerHeight / this.rowHeight) - 4);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (!Object.hasOwn(steps, event.key)) return;
    event.preventDefault();
    this.focus(Math.max(0, Math.min(this.runs.length - 1, index + steps[event.key])));
  }

  focus(index) {
    const target = this.body.getBoundingClientRect().top + scrollY + index * this.rowHeight;
    const head = this.table.tHead.getBoundingClientRect().height;
    if (target < scrollY + head) scrollTo({ top: target - head });
    else if (target + this.rowHeight > scrollY + innerHeight) scrollTo({ top: target + this.rowHeight - innerHeight });
    this.draw();
    this.rows.get(index)?.querySelector("a")?.focus({ preventScroll: true });
  }
}

/** Buttons that read the list anew: once, or every few seconds while the page is looked at. */
export function refreshing(list, changed = () => {}) {
  const refresh = async () => {
    try {
      changed(await list.reload());
      return true;
    } catch (error) {
      live.checked = false;
      announce(error.message);
      return false;
    }
  };
  const live = h("input", { type: "checkbox", id: "live" });
  setInterval(() => {
    if (live.checked && !document.hidden && scrollY < 200 && !list.body.contains(document.activeElement)) refresh();
  }, 5000);
  const once = async () => {
    if (await refresh()) announce("read anew");
  };
  return h(
    "div",
    { class: "refreshing" },
    h("button", { type: "button", on: { click: once } }, "Refresh"),
    h("label", { for: "live" }, live, " every 5 s"),
  );
}
