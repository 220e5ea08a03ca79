/** The drawer with the tools as the keyboard expects it: it takes the focus when it opens, Escape closes it, and the focus
 * goes back to the button that opened it. Closed, it has no stop of the Tab key. */
class Drawer {
  static OPENERS = "#open-tools, #open-decode";
  /** @type {HTMLElement | null} the button that was clicked last */
  opener = null;
  isOpen = false;

  /** @param {Gradio} page */
  constructor({element}) {
    this.root = /** @type {HTMLElement} */ (element.closest("#drawer"));
    this.title = find(element, ".drawer-title");
  }

  start() {
    document.addEventListener("click", event => {
      const button = event.target instanceof Element && event.target.closest(Drawer.OPENERS);
      if (button instanceof HTMLElement) this.opener = button;
    });
    document.addEventListener("keydown", event => this.#onKey(event), true); // before a dropdown's list closes by it
    new MutationObserver(() => this.#follow()).observe(this.root, {attributes: true, attributeFilter: ["class"]});
    this.#follow();
  }

  /** gradio has opened or closed it. */
  #follow() {
    const was = this.isOpen, hadFocus = this.#holds(document.activeElement);
    this.isOpen = this.root.classList.contains("open");
    find(this.root, ".sidebar-content").toggleAttribute("inert", !this.isOpen);
    if (this.isOpen && !was) this.title.focus({preventScroll: true});
    if (!this.isOpen && was && hadFocus) this.opener?.focus();
  }

  /** Whether the focus is in the drawer, or nowhere else. @param {Element | null} at */
  #holds(at) { return !at || at === document.body || this.root.contains(at); }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const at = document.activeElement;
    if (event.key !== "Escape" || !this.isOpen || at?.getAttribute("aria-expanded") === "true") return;
    if (this.#holds(at) || at === this.opener) find(this.root, ".toggle-button").click();
  }
}
