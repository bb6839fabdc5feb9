// Takes tokens apart and puts them together again; nothing here can sign.

const asBytes = (segment) => Uint8Array.from(atob(segment.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

function segment(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

export const segments = (token) => (/^[^.]*\.[^.]*\.[^.]*$/.test(token) ? token.split(".") : null);

// What the token says of itself, which nobody has verified; null for one that says nothing.
export function said(token) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(asBytes(segments(token)[1])));
  } catch {
    return null;
  }
}

// The same token for somebody else, under the signature that it had; of an opaque one, another that looks like it.
export function forged(token, claim) {
  const parts = segments(token);
  if (!parts) return token.slice(0, -1) + (token.endsWith("A") ? "B" : "A");
  return [parts[0], segment({ ...said(token), [claim]: "somebody-else" }), parts[2]].join(".");
}
