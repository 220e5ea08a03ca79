// A labelled textarea that reports every edit: typed, pasted, cut, undone. (gr.Textbox reports key presses only.)
const area = element.querySelector("textarea");
let timer = null;
const show = () => { if ((props.value || "") !== area.value) area.value = props.value || ""; };
area.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => { props.value = area.value; trigger("input"); }, 250);
});
show();
watch("value", show);
