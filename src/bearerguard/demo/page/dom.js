// Makes elements. Whatever is shown of tokens and answers goes in as text, and no character of it can hide another.

export const byId = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...inside.filter((each) => each != null));
  return element;
}

export function fill(element, ...inside) {
  element.replaceChildren(...inside.filter((each) => each != null));
}

// Control characters, and those that turn the direction of what follows.
const HIDING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

export function visible(text) {
  return String(text).replace(HIDING, (each) => "\\u" + each.charCodeAt(0).toString(16).padStart(4, "0"));
}

export const pretty = (value) => visible(JSON.stringify(value, null, 2));

export const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;

export function choose(name, value) {
  for (const input of document.querySelectorAll(`input[name="${name}"]`)) input.checked = input.value === value;
}
