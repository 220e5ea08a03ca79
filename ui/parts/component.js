// What every component is made with. Only createElement and text nodes: no user text is ever parsed as HTML.

/** A new element, with what stands in it.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {string} [className] @param {...Part} parts */
function make(tag, className, ...parts) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const part of parts) if (part) node.append(part);
  return node;
}

/** The element, with these attributes.
 * @template {Element} Node @param {Node} node @param {Record<string, unknown>} attributes */
function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  return node;
}

/** An English text of the page, with its values, in the visitor's language: `say("{n} rows", {n})`. The catalogue is gradio's.
 * @param {string} text @param {Record<string, unknown>} [values] */
function say(text, values = {}) {
  const texts = globalThis.gradio_config?.i18n_translations ?? {}, language = globalThis.navigator?.language ?? "en";
  const known = texts[language] ?? texts[language.split("-")[0]];
  return (known?.[text] ?? text).replace(/\{(\w+)\}/g, (all, name) => name in values ? String(values[name]) : all);
}

/** @param {string} text @param {string} title @param {(event: MouseEvent) => void} action */
function button(text, title, action) {
  const node = set(make("button", "tv-button", text), {type: "button", title});
  node.addEventListener("click", action);
  return node;
}

/** A button that copies what `text` gives, and says so.
 * @param {string} label @param {string} title @param {() => string} text */
function copyButton(label, title, text) {
  const node = button(label, title, async () => {
    try { await navigator.clipboard.writeText(text()); node.textContent = "Copied"; }
    catch { node.textContent = "Copying was refused"; }
    setTimeout(() => { node.textContent = label; }, 1500);
  });
  return node;
}

/** A box that scrolls: the keyboard must get there.
 * @param {string} className @param {string} label @param {...Part} parts */
const scrollBox = (className, label, ...parts) =>
  set(make("div", className, ...parts), {tabindex: 0, role: "group", "aria-label": label});

/** What is there by this selector.
 * @template {Element} [Found=HTMLElement] @param {ParentNode} within @param {string} selector */
const find = (within, selector) => /** @type {Found} */ (within.querySelector(selector));

/** Have the browser save a file. @param {string} name @param {Blob} content */
function saveFile(name, content) {
  const link = make("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** A component: it draws its value, and draws it anew whenever that changes.
 * @template Value */
class Component {
  /** @param {Gradio} page */
  constructor(page) {
    this.page = page;
    this.root = /** @type {HTMLElement} */ (page.element.firstElementChild);
    Object.assign(this.root, {component: this}); // where another component finds it
  }

  /** @returns {Value | null} null when there is nothing to show */
  get value() { return this.page.props.value ? JSON.parse(this.page.props.value) : null; }

  start() {
    this.draw();
    this.page.watch("value", () => this.draw());
  }

  draw() {
    const value = this.value;
    this.root.replaceChildren();
    this.build(value);
    this.root.removeAttribute("aria-busy");
    this.root.dataset.rev = String(Number(this.root.dataset.rev || 0) + 1);
  }

  /** Draw a value into the root, which is empty. @param {Value | null} value */
  build(value) { throw new Error(`nothing draws ${value}`); }
}
