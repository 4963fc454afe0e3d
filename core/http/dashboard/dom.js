// SPDX-License-Identifier: Apache-2.0
// Elements from code. Text is only ever set as text, so nothing that comes from a daemon can become markup.

const SVG = "http://www.w3.org/2000/svg";

function put(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("aria-")) element.setAttribute(name, String(value));
    else if (value === false) continue;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** h("a", {href: "#/"}, "text", child ...) */
export function h(tag, attributes, ...children) {
  return put(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return put(document.createElementNS(SVG, tag), attributes, children);
}

/** Only when it differs: screen readers and selections are not disturbed by what stays the same. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export function replace(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

/** A card with one figure. */
export function tile(label) {
  const value = h("strong", { class: "tile-value" }, "\u2013");
  const note = h("span", { class: "tile-note" });
  const element = h("div", { class: "tile", "data-level": "none" }, h("span", { class: "tile-label" }, label), value, note);
  return {
    element,
    set(text, more = "", level = "none") {
      setText(value, text);
      setText(note, more);
      setAttribute(element, "data-level", level);
    },
  };
}
