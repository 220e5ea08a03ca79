/** The words of an element that is no component, in the visitor's language. */
class Words {
  /** @param {Gradio} page */
  constructor({element}) { this.element = element; }

  start() { for (const node of this.element.querySelectorAll("[data-say]")) node.textContent = say(node.textContent ?? ""); }
}
