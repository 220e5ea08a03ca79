/** Dropdowns as the keyboard expects them. gradio's open when Tab reaches them, open again when Tab leaves them, and say
 * "input" whenever they are left. Here the keyboard reaches one quietly: it opens for a click, an arrow up or down or a letter,
 * and what is left as it was found was not chosen. With stops.js the page's one part that looks at gradio's own elements. */
class Dropdowns {
  static INPUT = 'input[role="combobox"]';
  static KEYS_OF_OTHERS = ["Tab", "Shift", "Control", "Alt", "Meta"];
  /** @type {HTMLElement | null} the dropdown on which the pointer is going down */
  pressed = null;

  start() {
    document.addEventListener("mousedown", event => this.#onMouseDown(event), true); // before gradio
    this.#on("focus", (event, input) => this.#onFocus(event, input));
    this.#on("keydown", Dropdowns.#onKey);
    this.#on("input", (_, input) => { if (Dropdowns.#isQuiet(input)) Dropdowns.#wake(input); });
    this.#on("blur", Dropdowns.#onBlur);
    window.chosenIn = Dropdowns.#chosenIn;
  }

  /** Hear an event of a dropdown's input before gradio does.
   * @template {keyof DocumentEventMap} Name
   * @param {Name} name @param {(event: DocumentEventMap[Name], input: HTMLInputElement) => void} act */
  #on(name, act) {
    document.addEventListener(name, event => {
      if (event.target instanceof HTMLInputElement && event.target.matches(Dropdowns.INPUT)) act(event, event.target);
    }, true);
  }

  /** @param {Element} node */
  static #boxOf(node) { return /** @type {HTMLElement} */ (node.closest(".block")); }
  /** @param {HTMLElement} input */
  static #isQuiet(input) { return input.dataset.quiet === "yes"; }

  /** gradio hears of the focus that was kept from it. @param {HTMLElement} input */
  static #wake(input) {
    const box = Dropdowns.#boxOf(input);
    if (box.dataset.picked === "heard") delete box.dataset.picked; // what is chosen next is another choice
    delete input.dataset.quiet;
    input.dataset.isWaking = "yes";
    input.dispatchEvent(new FocusEvent("focus"));
    delete input.dataset.isWaking;
  }

  /** @param {MouseEvent} event */
  #onMouseDown(event) {
    const at = event.target instanceof Element ? event.target : null, box = at && Dropdowns.#boxOf(at);
    const input = box && /** @type {HTMLInputElement | null} */ (box.querySelector(Dropdowns.INPUT));
    if (!at || !box || !input) return;
    if (at.closest('[role="option"]')) { box.dataset.picked = "yes"; return; }
    this.pressed = box;
    setTimeout(() => { this.pressed = null; });
    if (Dropdowns.#isQuiet(input) && at === input) Dropdowns.#wake(input);
  }

  /** @param {Event} event @param {HTMLInputElement} input */
  #onFocus(event, input) {
    if (input.dataset.isWaking) return;
    const box = Dropdowns.#boxOf(input);
    if (!input.dataset.isBack) {
      delete box.dataset.picked;
      box.dataset.found = input.value;
    }
    if (this.pressed === box) return;
    input.dataset.quiet = "yes";
    event.stopPropagation();
  }

  /** @param {KeyboardEvent} event @param {HTMLInputElement} input */
  static #onKey(event, input) {
    const isQuiet = Dropdowns.#isQuiet(input);
    if (Dropdowns.isForOthers(event.key, isQuiet)) { event.stopPropagation(); return; }
    if (isQuiet) Dropdowns.#wake(input);
    if (event.key !== "Enter") return;
    Dropdowns.#boxOf(input).dataset.picked = "yes";
    setTimeout(() => Dropdowns.#comeBack(input));
  }

  /** gradio drops the focus once something is chosen: the keyboard stays where it was. @param {HTMLInputElement} input */
  static #comeBack(input) {
    if (document.activeElement !== document.body) return;
    input.dataset.isBack = "yes";
    input.focus();
    input.select();
    delete input.dataset.isBack;
  }

  /** Whether a key has nothing to say to a dropdown. @param {string} key @param {boolean} isQuiet */
  static isForOthers(key, isQuiet) { return Dropdowns.KEYS_OF_OTHERS.includes(key) || (isQuiet && key === "Escape"); }

  /** @param {Event} event @param {HTMLInputElement} input */
  static #onBlur(event, input) {
    if (!Dropdowns.#isQuiet(input)) return;
    delete input.dataset.quiet;
    event.stopPropagation();
  }

  /** What an event of a dropdown carries: the value that was chosen, or null when the dropdown was left as it was found.
   * @param {string} id @param {unknown} value */
  static #chosenIn(id, value) {
    const box = document.getElementById(id), input = box?.querySelector("input");
    if (!box || !input) throw new Error(`there is no dropdown ${id}`);
    const {picked, found} = box.dataset;
    Object.assign(box.dataset, {picked: "heard", found: input.value}); // gradio says it again when the dropdown is left
    return Dropdowns.isChosen(picked, found, input.value) ? value : null;
  }

  /** Whether a dropdown's value was chosen. @param {string | undefined} picked "yes", "heard" once it was said, or neither
   * @param {string | undefined} found the text that was there before @param {string} text the text that is there */
  static isChosen(picked, found, text) { return picked === "yes" || (picked !== "heard" && text !== found); }
}
