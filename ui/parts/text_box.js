// A labelled textarea that reports every edit: typed, pasted, cut, undone. (gr.Textbox reports key presses only.)
const area = element.querySelector("textarea");
let timer = null;
const show = () => { if ((props.value || "") !== area.value) area.value = props.value || ""; };
const report = () => {
  if (timer === null) return;
  clearTimeout(timer);
  timer = null;
  props.value = area.value;
  trigger("input");
};
area.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(report, 250); });
area.addEventListener("blur", report); // a click on a button must find the text that was just pasted
area.addEventListener("dragover", event => { if (event.dataTransfer.types.includes("Files")) event.preventDefault(); });
area.addEventListener("drop", async event => { // a file's text takes the place of what is there
  const file = event.dataTransfer.files[0];
  if (!file) return;
  event.preventDefault();
  if (file.size > 2_000_000) { element.querySelector(".tb-info").textContent = "This file has more than 2 MB."; return; }
  area.value = await file.text();
  area.dispatchEvent(new Event("input", {bubbles: true}));
});
show();
watch("value", show);
