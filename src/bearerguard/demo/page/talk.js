// Speaks with the demo: with its controls, and with its two doors as any client would.

import { visible } from "./dom.js";

export class Trouble extends Error {}

export async function control(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await sent(`/api${path}`, options);
  const said = await answer.json();
  if (!answer.ok) throw new Trouble(sentence(said.error));
  return said;
}

// One call of a route: what was sent, what came back, and how long it took.
export async function called({ door, route, token, sort }) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const began = performance.now();
  const answer = await sent(`/${door}${route.path}`, { method: route.method, headers });
  const body = await answer.text();
  return {
    door, route, token, sort, body,
    status: answer.status,
    statusText: answer.statusText,
    headers: Object.fromEntries(answer.headers),
    reason: answer.headers.get("X-Demo-Reason"),
    events: JSON.parse(answer.headers.get("X-Demo-Events") ?? "[]"),
    verdictTook: Number(/dur=([\d.]+)/.exec(answer.headers.get("Server-Timing"))?.[1] ?? NaN),
    took: performance.now() - began,
  };
}

async function sent(path, options) {
  let request;
  try {
    request = new Request(path, { ...options, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Trouble("A browser cannot send such a token: a header takes no line breaks, and no letters beyond Latin-1.");
  }
  try {
    return await fetch(request);
  } catch {
    throw new Trouble("The demo does not answer. Is it still running?");
  }
}

export function curl({ door, route, token }) {
  const method = route.method === "GET" ? "" : ` -X ${route.method}`;
  const header = token ? ` -H ${quoted(`Authorization: Bearer ${token}`)}` : "";
  return `curl -i${method}${header} ${location.origin}/${door}${route.path}`;
}

const quoted = (text) => `'${text.replace(/'/g, "'\\''")}'`;

export const sentence = (text) => {
  const shown = visible(text);
  return shown.charAt(0).toUpperCase() + shown.slice(1) + (/[.!?]$/.test(shown) ? "" : ".");
};
