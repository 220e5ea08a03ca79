/** The pane with the template's source: a textarea that does not wrap, so that a line is a band of its background, which
 * scrolls with the text. */
class TemplatePane {
  /** Mark these lines, and no others. @param {number[]} lines */
  static mark(lines) {
    const area = /** @type {HTMLTextAreaElement | null} */ (document.querySelector("#template-source textarea"));
    if (!area) return;
    if (!lines.length) { area.style.removeProperty("background-image"); area.removeAttribute("data-lines"); return; }
    const style = getComputedStyle(area), height = parseFloat(style.lineHeight);
    const bands = TemplatePane.bands(lines, parseFloat(style.paddingTop), height);
    area.style.backgroundImage = bands.map(([from, to]) =>
      `linear-gradient(transparent ${from}px, var(--ms-line) ${from}px ${to}px, transparent ${to}px)`).join(",");
    area.style.backgroundAttachment = "local";
    area.dataset.lines = lines.join(",");
    const [[from, to]] = bands;
    if (from < area.scrollTop || to > area.scrollTop + area.clientHeight) area.scrollTop = from - area.clientHeight / 2;
  }

  /** Say under the source what is wrong with it; nothing where it renders. @param {string} text */
  static say(text) {
    const place = /** @type {HTMLElement | null} */ (document.querySelector(".template-error"));
    if (!place) return;
    place.textContent = visible(text);
    place.hidden = !text;
  }

  /** From where to where each line, counted from 1, reaches.
   * @param {number[]} lines @param {number} top @param {number} height */
  static bands(lines, top, height) { return lines.map(line => [top + (line - 1) * height, top + line * height]); }
}
