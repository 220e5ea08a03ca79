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
  const known = globalThis.gradio_config?.i18n_translations?.[globalThis.navigator?.language ?? ""];
  return (known?.[text] ?? text).replace(/\{(\w+)\}/g, (all, name) => name in values ? String(values[name]) : all);
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

/** The control of `count` that a key goes to from number `at`; null where it stays. The arrows move the cursor in a text,
 * and leave it at its ends.
 * @param {string} key @param {number} at @param {number} count
 * @param {{isStart: boolean, isEnd: boolean} | null} text where the cursor is, in a text */
function roved(key, at, count, text) {
  const isBack = key === "ArrowLeft" || (text && key === "ArrowUp"), isOn = key === "ArrowRight" || (text && key === "ArrowDown");
  let to = at;
  if (isBack && (!text || text.isStart)) to--;
  else if (isOn && (!text || text.isEnd)) to++;
  else if (!text && key === "Home") to = 0;
  else if (!text && key === "End") to = count - 1;
  return at < 0 || to === at || to < 0 || to >= count ? null : to;
}

/** Make controls one stop of the Tab key, the last that had the focus: arrows, Home and End go between them.
 * @template {HTMLElement} Root @param {Root} root @param {string} label @param {HTMLElement[]} controls
 * @param {HTMLElement} [first] the stop at the beginning */
function asToolbar(root, label, controls, first = controls[0]) {
  const stopAt = (/** @type {unknown} */ at) => { for (const one of controls) one.tabIndex = one === at ? 0 : -1; };
  stopAt(first);
  root.addEventListener("focusin", event => {
    if (controls.some(one => one === event.target)) stopAt(event.target);
  });
  root.addEventListener("keydown", event => {
    const area = event.target instanceof HTMLTextAreaElement ? event.target : null, length = area?.value.length;
    const text = area && {isStart: area.selectionEnd === 0, isEnd: area.selectionStart === length};
    const to = roved(event.key, controls.findIndex(one => one === event.target), controls.length, text);
    if (to === null || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    event.preventDefault();
    controls[to].focus();
  });
  return set(root, {role: "toolbar", "aria-label": label});
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
