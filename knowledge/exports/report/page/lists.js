"use strict";

/** A fact that opens on its evidence. `from` is the entity that it is shown with, if it is. */
function factItem(model, passages, n, onSelect, from = null) {
  const fact = model.facts[n];
  const [subject, predicate, object] = model.sentence(fact);
  const evidence = element("div", { hidden: "", id: `evidence-${from === null ? "all" : from}-${n}` });
  const opener = element(
    "button",
    { type: "button", class: "fact", "aria-expanded": "false", "aria-controls": evidence.id },
    `${subject} `,
    element("i", {}, predicate),
    ` ${object} `,
    element("span", { class: "quiet" }, percent(fact.confidence)),
    ...fact.flags.map((flag) => element("span", { class: "warn" }, ` ⚑ ${flag}`)),
  );
  opener.addEventListener("click", () => {
    if (!evidence.childNodes.length) evidence.append(...factEvidence(model, passages, fact, onSelect, from));
    evidence.hidden = !evidence.hidden;
    opener.setAttribute("aria-expanded", String(!evidence.hidden));
  });
  return element("li", {}, opener, evidence);
}

function factEvidence(model, passages, fact, onSelect, from) {
  const ends = [fact.subject, fact.object].filter((end) => end !== null && end !== from);
  const literal = fact.literal && element("span", {}, ` · ${fact.literal.lexical} as `, termElement(datatype(fact.literal)));
  const about = element(
    "p",
    { class: "quiet" },
    termElement(model.terms[fact.predicate]),
    literal,
    ...ends.flatMap((end) => [" · ", button(model.entities[end].label, () => onSelect(end), { class: "inline" })]),
  );
  const quotations = fact.evidence.map(({ span, by }) => passages.quotation(fact.document, span, by));
  return [about, ...(quotations.length ? quotations : [element("p", { class: "warn" }, "without evidence")])];
}

function datatype(literal) {
  return { iri: literal.datatype, label: literal.datatype.replace(/^.*[#/]/u, "") };
}

/** A link; with `from` only its other end is named. */
function linkItem(model, n, onSelect, from = null) {
  const link = model.links[n];
  const end = (index) => button(model.entities[index].label, () => onSelect(index), { class: "inline" });
  const home = (index) => ` (${model.documents[model.entities[index].document].name})`;
  const other = link.one === from ? link.other : link.one;
  const ends = from === null ? [end(link.one), home(link.one), " = ", end(link.other), home(link.other)] : [end(other), home(other)];
  const standing = link.status === "accepted" ? "good" : "warn";
  return element(
    "li",
    {},
    ...ends,
    element("span", { class: standing }, ` ${link.status}`),
    element("div", { class: "quiet" }, `${percent(link.score)}: ${link.reasons.join("; ")}`),
  );
}

/** The sections with all facts, all that was left out, and all links. */
class Lists {
  constructor(model, passages, onSelect) {
    this.model = model;
    this.facts = this.growing("fact-list", "more-facts", (n) => factItem(model, passages, n, onSelect));
    this.leftOut = this.growing("left-out-list", "more-left-out", (part) => this.leftOutItem(part));
    this.links = this.growing("link-list", "more-links", (n) => linkItem(model, n, onSelect));
    this.on("fact-search", "input", () => this.showFacts());
    this.on("fact-kind", "change", () => this.showFacts());
    this.on("left-out-kind", "change", () => this.showLeftOut());
    for (const form of document.querySelectorAll("form.filters")) {
      form.addEventListener("submit", (event) => event.preventDefault());
    }
    this.showFacts();
    this.showLeftOut();
    this.showLinks();
  }

  growing(list, more, makeItem) {
    return new GrowingList(document.getElementById(list), document.getElementById(more), 50, makeItem);
  }

  on(id, event, react) {
    document.getElementById(id).addEventListener(event, react);
  }

  showFacts() {
    const words = folded(document.getElementById("fact-search").value).split(/\s+/u).filter(Boolean);
    const isOfKind = {
      all: () => true,
      flagged: (fact) => fact.flags.length,
      links: (fact) => fact.object !== null,
      values: (fact) => fact.object === null,
    }[document.getElementById("fact-kind").value];
    const found = this.model.facts.flatMap((fact, n) =>
      this.model.isShown(n) && isOfKind(fact) && words.every((word) => this.model.factTexts[n].includes(word)) ? [n] : [],
    );
    this.facts.show(found);
    document.getElementById("facts-found").textContent = counted(found.length, "fact", "facts");
  }

  showLeftOut() {
    const onlyUnmapped = document.getElementById("left-out-kind").value === "unmapped";
    const parts = this.model.runs.flatMap((run) => (run.leftOut ?? []).map((part) => ({ ...part, name: run.name })));
    const found = parts.filter((part) => part.is_unmapped || !onlyUnmapped);
    const gone = this.model.runs.filter((run) => run.leftOut === null);
    this.leftOut.show(found);
    document.getElementById("left-out-found").textContent =
      counted(found.length, "part", "parts") +
      (gone.length ? `; not known any more for ${gone.map((run) => run.name).join(", ")}` : "");
  }

  leftOutItem(part) {
    const where = part.chunk_index === null ? part.name : `${part.name}, chunk ${part.chunk_index + 1}`;
    return element("li", {}, part.item, element("div", { class: "quiet" }, `${part.reason} (${where})`));
  }

  showLinks() {
    const { links } = this.model;
    this.links.show(links.map((_, n) => n));
    document.getElementById("links-found").textContent = counted(links.length, "link", "links");
  }
}
