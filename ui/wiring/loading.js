// While a model loads, nothing can be asked about it: what waits for it takes no click and no key.
let shown = "", wanted = null; // the model and revision whose template the page shows; those that it waits for
const keyOf = (model, revision) => JSON.stringify([model || "", revision || ""]);

function wait(key) {
  wanted = key === shown ? null : key;
  for (const node of document.querySelectorAll(".waits-for-model")) node.inert = wanted !== null;
  document.querySelector("#model-row").setAttribute("aria-busy", wanted !== null);
}

window.modelAsked = (model, revision) => wait(keyOf(model, revision));
window.modelShown = loaded => { // null: the question for it failed
  if (loaded) shown = keyOf(...loaded);
  wait(loaded && wanted !== null ? wanted : shown);
};
