// Shows what became of one call: a sentence first, and everything else below it for whoever wants to look.

import { byId, fill, make, pretty, visible } from "./dom.js";
import { curl, sentence } from "./talk.js";

export const tone = (status) => (status < 400 ? "good" : status >= 500 ? "unsure" : "bad");
const SIGNS = { good: "✓", bad: "✕", unsure: "?" };
const WORDS = {
  400: "Not a proper request", 401: "Refused", 403: "Not allowed", 404: "No such route",
  405: "Another method", 503: "Could not find out",
};

export const badge = (call) =>
  make("span", { class: `badge ${tone(call.status)}` }, `${call.status} ${call.reason ?? (call.status < 400 ? "accepted" : "")}`.trim());

export function show(call, page) {
  const reason = page.reasons[call.reason];
  fill(byId("verdict-said"), ruling(call, reason, page), reason && make("p", { class: "advice" }, make("b", {}, "What to do: "), reason.advice), timing(call));
  fill(byId("verdict-more"), challenge(call), claims(call), part("Request", request(call)), part("Answer", answer(call)), part("Events, as your log and metrics hear them", events(call)));
}

function ruling(call, reason, page) {
  const how = tone(call.status);
  return make("div", { class: `ruling ${how}` },
    make("span", { class: "sign", "aria-hidden": "true" }, SIGNS[how]),
    make("div", { class: "head" },
      make("span", { class: "status" }, String(call.status)),
      make("span", { class: "word" }, call.status < 400 ? "Accepted" : WORDS[call.status] ?? call.statusText)),
    make("p", { class: "sentence" }, reason ? sentence(reason.sentence) : accepted(call, page)),
    reason && make("p", { class: "reason" }, make("span", { class: "unseen" }, "Reason word: "), make("code", {}, call.reason)));
}

function accepted(call, page) {
  const said = json(call.body);
  if (call.status >= 400) return "That is the app’s own answer, not the door’s.";
  if (!said?.kind) return "This path is exempt: nobody was asked for a token.";
  const sort = page.kinds.find((each) => each.name === said.kind)?.label ?? said.kind;
  const whose = [said.tenant, said.user && `user ${said.user}`].filter(Boolean).join(", ");
  return `A good ${sort} token${whose ? ` of ${visible(whose)}` : ""}. The app says: ${said.says}.`;
}

function timing(call) {
  const accepted = call.events.find((event) => event.event === "TokenAccepted");
  const words = [
    Number.isNaN(call.verdictTook) ? null : `verdict after ${milliseconds(call.verdictTook)}`,
    accepted && (accepted.seen_before ? "seen before" : "first sight"),
    `answer after ${milliseconds(call.took)}`,
    `${call.door.toUpperCase()} door`,
  ];
  return make("p", { class: "timing" }, words.filter(Boolean).join(" · "));
}

export const milliseconds = (ms) => (ms < 10 ? `${ms.toFixed(2)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function challenge(call) {
  const said = call.headers["www-authenticate"];
  const again = call.headers["retry-after"];
  if (!said && !again) return null;
  const [title, value] = said ? ["The challenge", `WWW-Authenticate: ${said}`] : ["No challenge: the caller is not to blame", `Retry-After: ${again}`];
  return make("div", { class: "challenge" }, make("span", {}, title), make("code", {}, visible(value)));
}

function claims(call) {
  const said = json(call.body);
  if (!said?.kind) return null;
  const rows = { kind: said.kind, tenant: said.tenant, user: said.user, scopes: said.scopes.join(" ") };
  const names = Object.entries(rows).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, visible(value || "none"))]);
  return part("Claims, verified", [make("dl", { class: "names" }, ...names), view(pretty(said.claims), "The verified claims")], true);
}

function request(call) {
  const lines = [`${call.route.method} /${call.door}${call.route.path} HTTP/1.1`, `Host: ${location.host}`];
  if (call.token) lines.push(`Authorization: Bearer ${call.token}`);
  return [view(visible(lines.join("\n")), "The request"), view(visible(curl(call)), "The request as a curl command")];
}

function answer(call) {
  const ours = Object.entries(call.headers).filter(([name]) => !["server-timing", "connection", "date", "server"].includes(name) && !name.startsWith("x-demo-") && !FENCE.has(name));
  const said = json(call.body);
  const lines = [`HTTP/1.1 ${call.status} ${call.statusText}`, ...ours.map(([name, value]) => `${name}: ${value}`)];
  return [view(`${visible(lines.join("\n"))}\n\n${said === null ? visible(call.body) : pretty(said)}`, "The answer")];
}

// What the demo puts on every answer to protect its page; an app of yours has its own.
const FENCE = new Set([
  "content-security-policy", "cross-origin-opener-policy", "cross-origin-resource-policy", "referrer-policy",
  "x-content-type-options", "x-frame-options",
]);

function events(call) {
  if (!call.events.length) return [make("p", { class: "note" }, "None.")];
  const line = ({ event, ...fields }) =>
    make("li", {}, make("b", {}, event), " ", visible(Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(" ")));
  return [make("ul", { class: "events mono" }, ...call.events.map(line))];
}

const view = (text, label) => make("pre", { class: "view", role: "group", "aria-label": label }, text);

// Which parts are open stays as it was with the call before.
const opened = new Map();

function part(title, inside, open = false) {
  return make("details", { class: "fold", open: opened.get(title) ?? open, ontoggle: (event) => opened.set(title, event.target.open) },
    make("summary", {}, title), make("div", {}, ...inside));
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
