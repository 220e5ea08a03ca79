// Dropdowns as the keyboard expects them. gradio's open when Tab reaches them, open again when Tab leaves them, and say
// "input" whenever they are left. Here the keyboard reaches one quietly: it opens for a click, an arrow key or a letter,
// and what is left as it was found was not chosen. The page's one part that looks at gradio's own elements.
const KEYS_OF_OTHERS = ["Tab", "Shift", "Control", "Alt", "Meta"];
let pressed = null; // the dropdown on which the pointer is going down
const boxOf = node => node.closest?.(".block");
const isDropdown = node => node.matches?.('input[role="combobox"]');
const isQuiet = node => node.dataset.quiet === "yes";

function wake(input) { // gradio hears of the focus that was kept from it
  delete input.dataset.quiet;
  input.dataset.isWaking = "yes";
  input.dispatchEvent(new FocusEvent("focus"));
  delete input.dataset.isWaking;
}

function on(event, act) { // before gradio
  document.addEventListener(event, act, true);
}

on("mousedown", event => {
  const box = boxOf(event.target), input = box?.querySelector('input[role="combobox"]');
  if (!input) return;
  if (event.target.closest('[role="option"]')) { box.dataset.picked = "yes"; return; }
  pressed = box;
  setTimeout(() => { pressed = null; });
  if (isQuiet(input) && event.target === input) wake(input);
});
on("focus", event => {
  const input = event.target;
  if (!isDropdown(input) || input.dataset.isWaking) return;
  const box = boxOf(input);
  delete box.dataset.picked;
  box.dataset.found = input.value;
  if (pressed === box) return;
  input.dataset.quiet = "yes";
  event.stopPropagation();
});
on("keydown", event => {
  const input = event.target;
  if (!isDropdown(input)) return;
  if (KEYS_OF_OTHERS.includes(event.key) || (isQuiet(input) && event.key === "Escape")) { event.stopPropagation(); return; }
  if (isQuiet(input)) wake(input);
  if (event.key === "Enter") boxOf(input).dataset.picked = "yes";
});
on("input", event => { if (isDropdown(event.target) && isQuiet(event.target)) wake(event.target); });
on("blur", event => {
  if (!isDropdown(event.target) || !isQuiet(event.target)) return;
  delete event.target.dataset.quiet;
  event.stopPropagation();
});

// What an event of a dropdown carries: the value that was chosen, or null when the dropdown was left as it was found.
window.chosenIn = (id, value) => {
  const box = document.getElementById(id), input = box.querySelector("input");
  const isChosen = box.dataset.picked === "yes" || (box.dataset.picked !== "heard" && input.value !== box.dataset.found);
  box.dataset.picked = "heard"; // gradio says it again when the dropdown is left
  return isChosen ? value : null;
};
