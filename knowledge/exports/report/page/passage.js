"use strict";

const CONTEXT_UNITS = 240;

/** The documents' texts, with evidence marked in them. Spans are in UTF-16 code units, as JavaScript counts. */
class Passages {
  constructor(model) {
    this.model = model;
    this.dialog = document.getElementById("document");
    this.text = document.getElementById("document-text");
    this.title = document.getElementById("document-title");
    document.getElementById("close-document").addEventListener("click", () => this.dialog.close());
  }

  /** A quotation in its surroundings, and the way to the whole document. */
  quotation(home, span, by) {
    const text = this.model.documents[home].text;
    const from = wholeWord(text, Math.max(0, span[0] - CONTEXT_UNITS), -1);
    const to = wholeWord(text, Math.min(text.length, span[1] + CONTEXT_UNITS), 1);
    const name = this.model.documents[home].name;
    const source = by === null ? null : this.model.extractors[by];
    return element(
      "div",
      { class: "evidence" },
      element("div", { class: "text" }, from ? "… " : "", ...marked(text, [span], from, to), to < text.length ? " …" : ""),
      element(
        "p",
        { class: "quiet" },
        button(`Show in ${name}`, () => this.open(home, [span]), { class: "inline" }),
        source && ` · read by ${source.name} (${source.model})`,
      ),
    );
  }

  /** The whole document in a dialog, with the spans marked and the first in sight. */
  open(home, spans) {
    const { name, text } = this.model.documents[home];
    this.title.textContent = name;
    this.text.replaceChildren(...marked(text, spans, 0, text.length));
    this.dialog.showModal();
    this.text.querySelector("mark")?.scrollIntoView({ block: "center", behavior: "instant" });
  }
}

/** The text from `from` to `to` as texts and mark elements; spans that overlap are marked as one. */
function marked(text, spans, from, to) {
  const parts = [];
  let place = from;
  for (const [start, end] of [...spans].sort((one, other) => one[0] - other[0])) {
    const begin = Math.max(place, start);
    if (begin >= end) continue;
    parts.push(text.slice(place, begin), element("mark", {}, text.slice(begin, end)));
    place = end;
  }
  return [...parts, text.slice(place, to)];
}

/** The next place from `place` on, in a direction, that is between words; at most 40 units away. */
function wholeWord(text, place, direction) {
  for (let moved = 0; moved < 40; moved += 1) {
    const at = place + direction * moved;
    if (at <= 0 || at >= text.length || /\s/u.test(text[direction < 0 ? at - 1 : at])) return Math.min(Math.max(at, 0), text.length);
  }
  return isLowSurrogate(text, place) ? place - 1 : place;
}

function isLowSurrogate(text, place) {
  return text.charCodeAt(place) >= 0xdc00 && text.charCodeAt(place) <= 0xdfff;
}
