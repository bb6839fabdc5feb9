// The page: what is on the desk, and what happens when something is pressed.

import { byId, choose, chosen, fill, make, pretty, visible } from "./dom.js";
import { EXPERIMENTS } from "./experiments.js";
import { called, control, curl, sentence, Trouble } from "./talk.js";
import { said, segments } from "./tokens.js";
import { badge, milliseconds, show } from "./verdict.js";

const MOST_CALLS = 50;
const NO_TOKEN = "none";

let page;
let ahead = 0;
let claims = null;
let kind = "";
let count = 0;
let busy = false;

// --- The desk, as the experiments know it --------------------------------------------------------------------------

const desk = {
  world: { store: "answers", provider: "answers" },
  control,
  get token() { return byId("token").value; },
  get sort() { return page.kinds.find((each) => each.name === kind) ?? page.kinds[0]; },

  async mint({ kind: wanted, changes, elsewhere } = {}) {
    const name = wanted ?? this.sort.name;
    take(await control("/tokens", { kind: name, changes: changes ?? {}, elsewhere: elsewhere ?? false }));
  },
  hold(token) {
    put(token);
  },
  async call(routeName, door = chosen("door")) {
    byId("route").value = routeName;
    choose("door", door);
    showRoute();
    return await call();
  },
  async let(what, mode) {
    know(await control(`/${what}`, { mode }));
  },
  async letPass(seconds) {
    know(await control("/clock", { seconds: Math.max(1, seconds) }));
  },
  secondsLeft: () => (typeof claims?.exp === "number" ? claims.exp - now() : 0),
  scopes: (one) => ("scopes" in claims ? { scopes: [one] } : "scope" in claims ? { scope: one } : {}),
  tenant() { return { kind, name: String(claims[this.sort.tenant]) }; },
  sameTenant() {
    return Object.fromEntries(this.sort.tenant_claims.map((name) => [name, claims[name]]));
  },
};

// --- The token ------------------------------------------------------------------------------------------------------

function take(minted) {
  kind = minted.kind;
  choose("kind", kind);
  byId("token-part").hidden = false;
  put(minted.token, minted.claims);
}

function put(token, known) {
  byId("token").value = token;
  paint(token);
  claims = known ?? said(token);
  byId("claims").value = claims === null ? "" : pretty(claims);
  fill(byId("claims-trouble"));
  byId("preset").textContent = desk.sort.preset;
  showFacts();
}

function paint(token) {
  const parts = segments(token);
  const names = ["header", "payload", "signature"];
  const spans = parts
    ? parts.flatMap((text, at) => [at ? make("span", { class: "dot" }, ".") : null, make("span", { class: names[at] }, text)])
    : [make("span", { class: "payload" }, token)];
  fill(byId("token-paint"), ...spans, "\u200b");
}

function showFacts() {
  const fact = (name, value, over) => value ? make("span", {}, `${name} `, make("b", { class: over ? "over" : null }, visible(value))) : null;
  const left = desk.secondsLeft();
  const ends = typeof claims?.exp === "number" ? (left > 0 ? `in ${duration(left)}` : `${duration(-left)} ago`) : null;
  const scopes = Array.isArray(claims?.scopes) ? claims.scopes.join(" ") : claims?.scope;
  fill(byId("token-facts"),
    fact("for", claims?.[desk.sort.tenant]),
    fact(left > 0 ? "ends" : "ended", ends, left <= 0),
    fact("grants", scopes),
    claims === null && byId("token").value ? make("span", {}, "says nothing of itself") : null);
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole >= 172800) return `${Math.floor(whole / 86400)} days`;
  const hours = Math.floor(whole / 3600);
  const rest = `${String(Math.floor(whole / 60) % 60).padStart(hours ? 2 : 1, "0")}:${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${rest}` : rest;
}

async function mintAsWritten() {
  let written;
  try {
    written = JSON.parse(byId("claims").value);
  } catch (error) {
    return fill(byId("claims-trouble"), `That is no JSON yet: ${visible(error.message)}`);
  }
  const minted = await control("/tokens", { kind: desk.sort.name, claims: written, signed_by: chosen("signed-by") });
  take(minted);
}

// --- The world ------------------------------------------------------------------------------------------------------

const now = () => Date.now() / 1000 + ahead;

function know(world) {
  desk.world = world;
  ahead = world.now - Date.now() / 1000;
  choose("provider", world.provider);
  choose("store", world.store);
  for (const { name, button } of EXPERIMENTS) byId(`try-${name}`).textContent = button(world);
  showAiling();
  showClock();
}

function showAiling() {
  const { provider, store } = desk.world;
  const ills = [provider === "answers" ? null : `the provider ${provider}`, store === "answers" ? null : "the store is stopped"];
  const heal = make("button", { type: "button", onclick: (event) => doing(event.currentTarget, async () => {
    await desk.let("provider", "answers");
    await desk.let("store", "answers");
    byId("call-button").focus();
  }) }, "Let everybody answer");
  const said = ills.filter(Boolean).join(", and ");
  fill(byId("ailing"), ...(said ? [make("span", {}, sentence(said)), heal] : []));
}

function showClock() {
  const shift = Math.round(desk.world.ahead ?? 0);
  byId("clock").textContent = new Date(now() * 1000).toLocaleTimeString([], { hour12: false }) + (shift ? ` (+${duration(shift)})` : "");
}

// --- Calls ----------------------------------------------------------------------------------------------------------

const route = () => page.routes.find((each) => each.name === byId("route").value);

async function call() {
  const bare = chosen("kind") === NO_TOKEN;
  const made = await called({ door: chosen("door"), route: route(), token: bare ? "" : desk.token, sort: bare ? "No token" : desk.sort.label });
  show(made, page);
  note(made);
  return made;
}

function note(made) {
  count += 1;
  const list = byId("history");
  byId("history-empty").hidden = true;
  const row = make("button", { type: "button", onclick: () => look(made, row) },
    make("span", { class: "number" }, String(count)),
    make("span", { class: "what" }, badge(made)),
    make("span", { class: "path" }, `${made.route.method} ${made.route.path}`),
    make("span", { class: "token-name" }, made.sort),
    make("span", { class: "door" }, made.door.toUpperCase()),
    make("span", { class: "took" }, milliseconds(made.took)));
  list.prepend(make("li", {}, row));
  while (list.children.length > MOST_CALLS) list.lastElementChild.remove();
  press(row);
}

function look(made, row) {
  show(made, page);
  press(row);
}

function press(row) {
  for (const each of byId("history").querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === row));
}

function showRoute() {
  const lines = route().code[chosen("door")].split("\n");
  fill(byId("route-code"), ...lines.flatMap((line, at) => [at ? "\n" : "", line.startsWith("@") ? make("span", { class: "guard" }, line) : line]));
}

// --- What is pressed ------------------------------------------------------------------------------------------------

// One thing at a time; what goes wrong is said, and what was pressed keeps the focus.
async function doing(pressed, work) {
  if (busy) return;
  busy = true;
  pressed?.setAttribute("aria-disabled", "true");
  byId("verdict").setAttribute("aria-busy", "true");
  byId("trouble").hidden = true;
  try {
    await work();
  } catch (error) {
    byId("trouble").hidden = false;
    byId("trouble").textContent = error instanceof Trouble ? error.message : sentence(`the page has a fault: ${error.message}`);
    byId("trouble").scrollIntoView({ block: "nearest" });
  } finally {
    busy = false;
    pressed?.removeAttribute("aria-disabled");
    byId("verdict").setAttribute("aria-busy", "false");
  }
}

const pressing = (id, work) => byId(id).addEventListener("click", (event) => doing(event.currentTarget, work));

async function experiment({ name, run }) {
  if (name !== "store" && desk.world.store !== "answers") await desk.let("store", "answers");
  if (name !== "provider" && desk.world.provider !== "answers") await desk.let("provider", "answers");
  const calls = await run(desk);
  const badges = calls.flatMap((made, at) => [at ? make("span", { class: "then", "aria-hidden": "true" }, "→") : null, badge(made)]);
  fill(byId(`outcome-${name}`), ...badges, make("a", { class: "see", href: "#verdict" }, "See the verdict"));
}

async function copyCurl() {
  const line = curl({ door: chosen("door"), route: route(), token: chosen("kind") === NO_TOKEN ? "" : desk.token });
  try {
    await navigator.clipboard.writeText(line);
    byId("curl-said").textContent = "Copied.";
  } catch {
    byId("curl-said").textContent = "This browser does not let us copy; the verdict’s Request has the line.";
  }
}

function arrange() {
  const chip = ({ name, label }) => make("label", {}, make("input", { type: "radio", name: "kind", value: name }), make("span", {}, label));
  fill(byId("kinds"), ...page.kinds.map(chip), chip({ name: NO_TOKEN, label: "None" }));
  fill(byId("route"), ...page.routes.map((each) => make("option", { value: each.name }, `${each.method} ${each.path} · ${each.asks}`)));
  const item = (each) => make("li", {},
    make("h3", { id: `title-${each.name}` }, each.title),
    make("p", {}, each.text),
    make("button", { type: "button", id: `try-${each.name}`, "aria-labelledby": `try-${each.name} title-${each.name}`, onclick: (event) => doing(event.currentTarget, () => experiment(each)) }, "Try"),
    make("div", { class: "outcome", id: `outcome-${each.name}` }));
  fill(byId("experiments"), ...EXPERIMENTS.map(item));
}

function listen() {
  byId("call-form").addEventListener("submit", (event) => {
    event.preventDefault();
    doing(byId("call-button"), call);
  });
  byId("kinds").addEventListener("change", (event) => doing(null, async () => {
    if (event.target.value === NO_TOKEN) byId("token-part").hidden = true;
    else await desk.mint({ kind: event.target.value });
  }));
  byId("token").addEventListener("input", () => put(desk.token.trim()));
  byId("route").addEventListener("change", showRoute);
  for (const input of document.querySelectorAll('input[name="door"]')) input.addEventListener("change", showRoute);
  byId("provider").addEventListener("change", (event) => doing(null, () => desk.let("provider", event.target.value)));
  byId("store").addEventListener("change", (event) => doing(null, () => desk.let("store", event.target.value)));
  pressing("fresh", () => desk.mint());
  pressing("mint", mintAsWritten);
  pressing("minute", () => desk.letPass(60));
  pressing("curl", copyCurl);
  pressing("start-over", startOver);
  setInterval(() => { showClock(); showFacts(); }, 1000);
}

async function startOver() {
  know(await control("/start-over", {}));
  fill(byId("history"));
  byId("history-empty").hidden = false;
  count = 0;
  for (const { name } of EXPERIMENTS) fill(byId(`outcome-${name}`));
  await begin();
}

async function begin() {
  await desk.mint({ kind: page.kinds[0].name });
  await desk.call(page.routes[0].name, "asgi");
}

doing(null, async () => {
  page = await control("/page");
  arrange();
  know(page.state);
  listen();
  await begin();
});
