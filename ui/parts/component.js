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

/** An English text of the page, with its values, in the visitor's language: `say("{n} rows", {n})`. The catalogue is gradio's,
 * with keys that begin with a word joiner (ui/language).
 * @param {string} text @param {Record<string, unknown>} [values] */
function say(text, values = {}) {
  const known = globalThis.gradio_config?.i18n_translations?.[globalThis.navigator?.language ?? ""];
  return (known?.["\u2060" + text] ?? text).replace(/\{(\w+)\}/g, (all, name) => name in values ? String(values[name]) : all);
}

/** A button with words of the page. @param {string} text @param {string} title @param {(event: MouseEvent) => void} action */
function button(text, title, action) {
  const node = set(make("button", "tv-button", say(text)), {type: "button", title: say(title)});
  node.addEventListener("click", action);
  return node;
}

/** A button that copies what `content` gives, and says so. The clipboard is asked at once, while the click counts.
 * @param {string} label @param {string} title
 * @param {() => string | Blob | Promise<string | Blob>} content @param {string} [type] */
function copyButton(label, title, content, type = "text/plain") {
  const node = button(label, title, async () => {
    try {
      const copied = Promise.resolve(content()).then(part => new Blob([part], {type}));
      await navigator.clipboard.write([new ClipboardItem({[type]: copied})]);
      node.textContent = say("Copied");
    } catch { node.textContent = refusal(type); }
    setTimeout(() => { node.textContent = say(label); }, 3000);
  });
  return node;
}

/** Why nothing of this type was copied. @param {string} type */
function refusal(type) {
  if (!isSecureContext) return say("Refused: copying needs https or localhost");
  if (!globalThis.ClipboardItem || ClipboardItem.supports?.(type) === false) return say("Refused: this browser cannot copy {type}", {type});
  return say("Refused: allow this site to use the clipboard");
}

/** The control that a key goes to in rows of controls; null where it stays. Left and right go along a row; up and down to
 * the text before and after, past the last one to the end. In a text the arrows move the cursor, and leave it at its ends; in
 * a list they choose.
 * @param {string} key @param {string[][]} rows what the controls are: "text", "list" or "button"
 * @param {[number, number]} at row, and place in it
 * @param {{isStart: boolean, isEnd: boolean} | null} text where the cursor is, in a text
 * @returns {[number, number] | null} */
function roved(key, rows, [row, at], text) {
  const isBack = key === "ArrowLeft" || key === "ArrowUp", isOn = key === "ArrowRight" || key === "ArrowDown";
  if (text && !(isBack && text.isStart) && !(isOn && text.isEnd)) return null;
  if (key === "ArrowUp" || key === "ArrowDown") return rows[row][at] === "list" ? null : textFrom(rows, [row, at], isBack);
  const last = rows[row].length - 1, to = isBack ? at - 1 : isOn ? at + 1 : key === "Home" ? 0 : key === "End" ? last : at;
  return to === at || to < 0 || to > last ? null : [row, to];
}

/** The next text of rows of controls, or, past the last, the control at the end; null where there is none.
 * @param {string[][]} rows @param {[number, number]} at @param {boolean} isBack
 * @returns {[number, number] | null} */
function textFrom(rows, [row, at], isBack) {
  const all = rows.flatMap((kinds, i) => kinds.map((kind, k) => ({kind, place: /** @type {[number, number]} */ ([i, k])})));
  const here = all.findIndex(({place}) => place[0] === row && place[1] === at);
  const rest = isBack ? all.slice(0, here).reverse() : all.slice(here + 1);
  if (!all.some(({kind}) => kind === "text")) return null;
  return (rest.find(({kind}) => kind === "text") ?? rest.at(-1))?.place ?? null;
}

/** What a control is to the arrow keys. @param {Element} control */
const kindOf = control => control instanceof HTMLTextAreaElement ? "text" : control instanceof HTMLSelectElement ? "list" : "button";

/** Whether a key is pressed with another that gives it another sense. @param {KeyboardEvent} event */
const isModified = event => event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;

/** Where the cursor is in a text. @param {HTMLTextAreaElement | HTMLInputElement} text */
const cursorIn = text => ({isStart: text.selectionEnd === 0, isEnd: text.selectionStart === text.value.length});

/** Make rows of controls one stop of the Tab key, the last that had the focus: arrows, Home and End go between them.
 * @template {HTMLElement} Root @param {Root} root @param {HTMLElement[][]} rows
 * @param {HTMLElement} first the stop at the beginning, and when the one that had the focus is gone */
function asOneStop(root, rows, first) {
  const controls = rows.flat();
  const stopAt = (/** @type {unknown} */ at) => { for (const one of controls) one.tabIndex = one === at ? 0 : -1; };
  stopAt(first);
  root.addEventListener("focusin", event => {
    if (controls.some(one => one === event.target)) stopAt(event.target);
  });
  root.addEventListener("focusout", () => {
    if (!controls.some(one => one.tabIndex === 0 && one.checkVisibility())) stopAt(first);
  });
  root.addEventListener("keydown", event => {
    const seen = rows.map(row => row.filter(one => one.checkVisibility()));
    const row = seen.findIndex(one => one.some(control => control === event.target));
    if (row < 0 || isModified(event)) return;
    const text = event.target instanceof HTMLTextAreaElement ? cursorIn(event.target) : null;
    const at = seen[row].findIndex(one => one === event.target);
    const to = roved(event.key, seen.map(one => one.map(kindOf)), [row, at], text);
    if (to === null) return;
    event.preventDefault();
    seen[to[0]][to[1]].focus();
  });
  return root;
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
