// The API behind the pages; /api/openapi.json describes it.

import { address } from "/static/dom.js";

/** What the API refuses, in its own words. */
export class Refusal extends Error {
  constructor(status, detail, candidates = []) {
    super(detail);
    this.status = status;
    this.candidates = candidates;
  }
}

async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "mlotel ui does not answer: see in its terminal whether it still runs");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) {
    const problems = answer.headers.get("mlotel-problems");
    return { body, problems: problems ? JSON.parse(problems) : [] };
  }
  throw new Refusal(answer.status, body.detail ?? `${answer.status} ${answer.statusText}`, body.candidates);
}

/** Ask for a document: `{body, problems}`, where problems are what a remote store could not read. */
export function get(path, parameters = {}, signal = undefined) {
  return ask(address(`/api${path}`, parameters), { signal });
}

/** Write something down. */
export function post(path, members) {
  return ask(`/api${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(members),
  });
}
