// Elements from text, never from markup: nothing of the document can become script.

/** An element with attributes (`on…` are listeners) and children; strings become text. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text in which `backticks` are code. */
export function prose(text) {
  return text.split("`").map((part, number) => (number % 2 ? el("code", {}, part) : part));
}

/** Paragraphs of a description. */
export function paragraphs(text) {
  return (text || "").split(/\n{2,}/).map((part) => el("p", {}, prose(part.replaceAll("\n", " "))));
}

/** A block of code with a button that copies it. */
export function code(text) {
  const button = el("button", { class: "copy", type: "button", onclick: copy }, "Copy");
  function copy() {
    navigator.clipboard.writeText(text).then(
      () => { button.textContent = "Copied"; },
      () => { button.textContent = "Select it and press Ctrl-C"; },
    );
  }
  return el("pre", { tabindex: "0" }, window.isSecureContext ? button : null, text);
}

/** `<details>` whose inside is made when it is first opened. */
export function folded(kind, summary, inside, attributes = {}) {
  const made = el("details", { class: kind, ...attributes }, el("summary", {}, summary));
  made.addEventListener("toggle", () => {
    if (made.open && made.childElementCount === 1) made.append(...[inside()].flat());
  });
  return made;
}
