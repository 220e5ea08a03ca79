// What every view of tokens is drawn with; the bits of a class stand before it (tokens.py).
const ROLES = ["system", "developer", "user", "assistant", "tool", "template"]; // each has a colour of its own

/** @param {number} bits */
const className = bits => ["tv-token", bits & TRAINED && "trained", bits & SPECIAL && "special",
  bits & STRADDLER && "straddler", bits & PART && "part", bits & CUT && "cut"].filter(Boolean).join(" ");
/** @param {number} n */
const number = n => n.toLocaleString("en-US");

// Control, bidi and zero-width characters are shown by code: they must not hide or reorder what is there.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\uddef]/g;
/** @param {string} text */
const visible = text => text.replace(HIDDEN, c => "\\u" + (c.length > 1 ? `{${c.codePointAt(0)?.toString(16)}}` :
  c.charCodeAt(0).toString(16).padStart(4, "0")));

/** A token's element; spaces, tabs and line ends can be made to show.
 * @param {string} className @param {string} text */
function token(className, text) {
  const node = make("i", className), parts = text.split(/(\n|\t| )/);
  if (parts.length === 1) node.textContent = visible(text);
  else for (const part of parts) {
    if (part === "\n") node.append(make("b", "nl"), "\n");
    else if (part === "\t") node.append(make("b", "tab", "\t"));
    else if (part === " ") node.append(make("b", "sp", " "));
    else if (part) node.append(visible(part));
  }
  return node;
}

/** The runs of equal entries, as [start, end).
 * @param {unknown[]} entries @returns {[number, number][]} */
function runsOf(entries) {
  const starts = entries.flatMap((entry, i) => i && entry === entries[i - 1] ? [] : [i]);
  return starts.map((start, k) => [start, starts[k + 1] ?? entries.length]);
}

/** Whose turn it is, in a word. @param {string[]} roles @param {number | null} turn */
const roleOf = (roles, turn) => turn === null ? "template" : String(roles[turn]);

/** The block of a turn, in its role's colour. @param {string} role @param {...Part} parts */
function turnBox(role, ...parts) {
  const box = make("div", "tv-turn", ...parts);
  box.dataset.role = ROLES.includes(role) ? role : "other";
  return box;
}

/** An entry of a legend. @param {string} sampleClass @param {...Part} parts */
const legendKey = (sampleClass, ...parts) =>
  make("span", "tv-key", set(make("i", sampleClass, "ab"), {"aria-hidden": true}), ...parts);

/** How many tokens there are beside those shown; empty when that is all.
 * @param {number} total @param {number} shown */
const moreTokens = (total, shown) => total > shown ? `… ${number(total - shown)} more tokens` : "";

/** The name of a finding, with what else stands in its head.
 * @template {"button" | "div"} Tag
 * @param {Tag} tag @param {{code: string, severity: string, heading: string}} finding @param {...Part} parts */
const findingHead = (tag, finding, ...parts) => make(tag, "tv-finding-head",
  make("span", "tv-severity", finding.severity), make("b", "tv-title", finding.heading), make("code", "", finding.code), ...parts);

/** What a finding is, to be unfolded; nothing without an explanation.
 * @param {string} code @param {string | undefined} explanation */
const aboutFinding = (code, explanation) =>
  explanation && make("details", "tv-more", make("summary", "", say("About {code}", {code})), make("p", "", explanation));
