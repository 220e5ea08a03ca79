// What every view of tokens is drawn with; the bits of a class stand before it (tokens.py). Only textContent and
// createElement: no user text is ever parsed as HTML.
const ROLES = ["system", "developer", "user", "assistant", "tool", "template"]; // each has a colour of its own

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const button = (text, title, action) => {
  const node = make("button", "tv-button", text);
  node.type = "button";
  node.title = title;
  node.addEventListener("click", action);
  return node;
};
const className = bits => ["tv-token", bits & TRAINED && "trained", bits & SPECIAL && "special",
  bits & STRADDLER && "straddler", bits & PART && "part", bits & CUT && "cut"].filter(Boolean).join(" ");
const number = n => n.toLocaleString("en-US");

// Control, bidi and zero-width characters are shown by code: they must not hide or reorder what is there.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\uddef]/g;
const visible = text => text.replace(HIDDEN, c => "\\u" + (c.length > 1 ? "{" + c.codePointAt(0).toString(16) + "}" :
  c.charCodeAt(0).toString(16).padStart(4, "0")));

function fillToken(node, text) {
  const parts = text.split(/(\n|\t| )/);
  if (parts.length === 1) { node.textContent = visible(text); return; }
  for (const part of parts) {
    if (part === "\n") node.append(make("b", "nl"), "\n");
    else if (part === "\t") node.append(make("b", "tab", "\t"));
    else if (part === " ") node.append(make("b", "sp", " "));
    else if (part) node.append(visible(part));
  }
}
