// What one may try, step by step. Each experiment does at the desk what a visitor could do by hand.

import { forged } from "./tokens.js";

export const EXPERIMENTS = [
  {
    name: "expire",
    title: "Let it expire",
    text: "The same token, before its end and after it: the demo's clock goes ahead.",
    button: () => "Try",
    async run(desk) {
      await desk.mint();
      const before = await desk.call("me");
      await desk.letPass(desk.secondsLeft() + 11);
      return [before, await desk.call("me")];
    },
  },
  {
    name: "forge",
    title: "Forge it",
    text: "Another name goes into the token, under the signature that it had.",
    button: () => "Try",
    async run(desk) {
      await desk.mint();
      desk.hold(forged(desk.token, desk.sort.tenant));
      return [await desk.call("me")];
    },
  },
  {
    name: "borrow",
    title: "Bring another app’s token",
    text: "A real one, well signed, and meant for somebody else.",
    button: () => "Try",
    async run(desk) {
      await desk.mint({ changes: { aud: "another-app" } });
      return [await desk.call("me")];
    },
  },
  {
    name: "scope",
    title: "Ask for more than it grants",
    text: "A token that may read asks for a refund. The challenge names the scope that it lacks.",
    button: () => "Try",
    async run(desk) {
      await desk.mint({ changes: desk.scopes("read:orders") });
      return [await desk.call("refund")];
    },
  },
  {
    name: "replay",
    title: "Use it twice",
    text: "A route that takes each token once: first at one door, then at the other.",
    button: () => "Try",
    async run(desk) {
      await desk.mint();
      const first = await desk.call("payout", "asgi");
      return [first, await desk.call("payout", "wsgi")];
    },
  },
  {
    name: "revoke-token",
    title: "Revoke this token",
    text: "Seen and accepted a moment ago, and refused from the next check on.",
    button: () => "Try",
    async run(desk) {
      await desk.mint();
      const before = await desk.call("me");
      await desk.control("/revocations", { what: "token", token: desk.token });
      return [before, await desk.call("me")];
    },
  },
  {
    name: "revoke-shop",
    title: "Revoke a whole shop",
    text: "Two tokens of a shop, one uninstall, one call: denylist.revoke_tenant(...).",
    button: () => "Try",
    async run(desk) {
      await desk.mint({ elsewhere: true });
      const before = await desk.call("me");
      const { kind, name } = desk.tenant();
      await desk.control("/revocations", { what: "tenant", kind, name });
      const after = await desk.call("me");
      await desk.mint({ changes: desk.sameTenant() });
      return [before, after, await desk.call("me")];
    },
  },
  {
    name: "store",
    title: "Stop the store",
    text: "Nobody can say whether a token is revoked: 503, and never 401. Then it comes back.",
    button: (world) => (world.store === "stopped" ? "Start it" : "Stop it"),
    async run(desk) {
      if (desk.world.store === "stopped") {
        await desk.let("store", "answers");
        return [await desk.call("me")];
      }
      await desk.mint();
      const before = await desk.call("me");
      await desk.let("store", "stopped");
      return [before, await desk.call("me")];
    },
  },
  {
    name: "provider",
    title: "Stop the provider",
    text: "An opaque token can be judged by the provider alone. Signed ones go on passing, for their keys are known.",
    button: (world) => (world.provider === "answers" ? "Stop it" : "Start it"),
    async run(desk) {
      if (desk.world.provider !== "answers") {
        await desk.let("provider", "answers");
        return [await desk.call("me")];
      }
      await desk.mint({ kind: "oauth.opaque" });
      const known = await desk.call("me");
      await desk.let("provider", "refuses");
      await desk.mint({ kind: "oauth.opaque" });
      return [known, await desk.call("me")];
    },
  },
];
