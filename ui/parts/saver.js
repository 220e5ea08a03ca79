// Saves the file it is given: {name, base64}, or clicks the button that has one: {click}. Only when the value changes:
// never because the component is drawn again.
watch("value", () => {
  if (!props.value) return;
  const file = JSON.parse(props.value);
  if (file.click) {
    setTimeout(() => document.querySelector(file.click).click(), 100); // the button gets its file with the same answer
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([Uint8Array.from(atob(file.base64), c => c.charCodeAt(0))]));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
