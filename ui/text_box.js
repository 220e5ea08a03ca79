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
show();
watch("value", show);
