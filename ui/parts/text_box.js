/** A labelled textarea that reports every edit: typed, pasted, cut, undone. (gr.Textbox reports key presses only.)
 * @extends {Component<string>} */
class TextBox extends Component {
  static DELAY_MS = 250;
  static MAX_BYTES = 2_000_000;
  /** @type {number | undefined} of the edit that is not reported yet */
  timer;
  /** @type {HTMLTextAreaElement} */
  area = find(this.root, "textarea");

  get value() { return this.page.props.value || ""; }

  start() {
    for (const words of this.root.querySelectorAll(".tb-label, .tb-info")) words.textContent = say(words.textContent ?? "");
    this.area.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.report(), TextBox.DELAY_MS);
    });
    this.area.addEventListener("blur", () => this.report()); // a click on a button must find the text that was just pasted
    this.area.addEventListener("dragover", event => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
    this.area.addEventListener("drop", event => this.#drop(event));
    super.start();
  }

  draw() { if (this.value !== this.area.value) this.area.value = this.value; }

  report() {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.page.props.value = this.area.value;
    this.page.trigger("input");
  }

  /** A file's text takes the place of what is there. @param {DragEvent} event */
  async #drop(event) {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    if (file.size > TextBox.MAX_BYTES) { find(this.root, ".tb-info").textContent = "This file has more than 2 MB."; return; }
    this.area.value = await file.text();
    this.area.dispatchEvent(new Event("input", {bubbles: true}));
  }
}
