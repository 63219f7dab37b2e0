// Values as people read them: the words of the lineage graph, and those that only these pages need.

const { STATES, amount, bytes, clean, extent, number, seconds, shortDigest, when } = globalThis.mlotelLineage.words;

export { STATES, amount, bytes, clean, extent, number, seconds, shortDigest, when };

export const shortId = (id) => clean(id).slice(0, 8);

/** A text of several lines, without what would turn it around or be taken for a command elsewhere. */
export const lines = (text) => String(text).split(/\r\n|[\n\r]/).map(clean).join("\n");

/** A length of time of which nobody needs the minutes. */
export function roughly(length) {
  const days = Math.round(length / 86400);
  return days >= 2 ? amount(days, "day") : seconds(length);
}

/** How long ago a time was, in one unit. */
export function ago(text, now = Date.now()) {
  const passed = (now - Date.parse(text)) / 1000;
  if (!Number.isFinite(passed)) return "";
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, length]) => Math.abs(passed) >= length) ?? units[3];
  return new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(-Math.floor(passed / size), unit);
}
