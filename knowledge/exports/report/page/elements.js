"use strict";

/**
 * A new element. Attributes whose value is null, undefined or false are left out; children that are no nodes become
 * text, whatever they contain: no text of a report is ever read as markup.
 */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function button(content, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, content);
}

/** A term's label, as a link where its IRI is a web address; others (javascript:, urn:, data:) are text. */
function termElement(term) {
  if (!/^https?:\/\//iu.test(term.iri)) return element("span", { title: term.iri }, term.label);
  return element("a", { href: term.iri, title: term.iri, rel: "noopener noreferrer", target: "_blank" }, term.label);
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

function counted(number, one, several) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : several}`;
}

/** A list that grows by a button: only what is looked at is put on the page. */
class GrowingList {
  constructor(list, more, step, makeItem) {
    Object.assign(this, { list, more, step, makeItem, items: [], shown: 0 });
    more.addEventListener("click", () => this.grow());
  }

  show(items) {
    this.items = items;
    this.shown = 0;
    this.list.replaceChildren();
    this.grow();
  }

  grow() {
    const next = this.items.slice(this.shown, this.shown + this.step);
    const first = this.shown;
    this.list.append(...next.map((item) => this.makeItem(item)));
    this.shown += next.length;
    if (first) this.list.children[first]?.querySelector("button, a")?.focus();
    this.more.hidden = this.shown >= this.items.length;
  }
}
