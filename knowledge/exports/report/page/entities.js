"use strict";

/** The list of entities with its search, and the one that is looked at. */
class Explorer {
  constructor(model, passages, onSelect) {
    this.model = model;
    this.passages = passages;
    this.onSelect = onSelect;
    this.selected = null;
    this.search = document.getElementById("search");
    this.ofClass = document.getElementById("class");
    this.found = document.getElementById("found");
    this.card = document.getElementById("entity");
    const list = document.getElementById("entities");
    this.list = new GrowingList(list, document.getElementById("more-entities"), 60, (n) => this.item(n));
    this.offerClasses();
    this.search.addEventListener("input", () => this.refresh());
    this.ofClass.addEventListener("change", () => this.refresh());
    document.getElementById("filters").addEventListener("submit", (event) => this.chooseFirst(event));
    this.search.addEventListener("keydown", (event) => event.key === "ArrowDown" && this.move(event, -1, 1));
    list.addEventListener("keydown", (event) => this.onKey(event));
    this.refresh();
    this.show(null);
  }

  offerClasses() {
    const options = this.model.classes.map((term) => element("option", { value: term }, this.model.terms[term].label));
    if (this.model.entities.some((entity) => !entity.classes.length)) {
      options.push(element("option", { value: -1 }, "none of the ontology's"));
    }
    this.ofClass.replaceChildren(element("option", { value: "" }, "any"), ...options);
  }

  refresh() {
    const ofClass = this.ofClass.value === "" ? null : Number(this.ofClass.value);
    const found = this.model.search(this.search.value, ofClass);
    this.list.show(found);
    this.found.textContent = counted(found.length, "entity", "entities");
  }

  item(n) {
    const shown = button(this.model.entities[n].label, () => this.choose(n), { "aria-current": n === this.selected });
    shown.append(element("small", {}, counted(this.model.factsOf[n].length, "fact", "facts")));
    shown.dataset.n = n;
    return element("li", {}, shown);
  }

  chooseFirst(event) {
    event.preventDefault();
    if (this.list.items.length) this.choose(this.list.items[0]);
  }

  onKey(event) {
    const buttons = [...this.list.list.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.move(event, buttons.indexOf(document.activeElement), step);
  }

  move(event, from, step) {
    const buttons = this.list.list.querySelectorAll("button");
    event.preventDefault();
    if (from + step < 0) this.search.focus();
    else buttons[Math.min(from + step, buttons.length - 1)]?.focus();
  }

  choose(n) {
    this.onSelect(n);
    if (matchMedia("(max-width: 62rem)").matches) this.card.scrollIntoView({ block: "start" });
  }

  /** Shows an entity, without telling anybody. */
  show(n) {
    this.selected = n;
    for (const shown of this.list.list.querySelectorAll("button")) {
      shown.setAttribute("aria-current", Number(shown.dataset.n) === n);
    }
    this.card.replaceChildren(...(n === null ? this.invitation() : this.details(n)));
    this.card.scrollTop = 0;
  }

  invitation() {
    const nothing = this.model.entities.length ? "Choose an entity, in the list or in the graph." : "There are no entities.";
    return [element("h3", { id: "entity-title" }, "No entity chosen"), element("p", { class: "quiet" }, nothing)];
  }

  details(n) {
    const entity = this.model.entities[n];
    const facts = this.model.factsOf[n].filter((fact) => this.model.isShown(fact));
    const hidden = this.model.factsOf[n].length - facts.length;
    const classes = entity.classes.flatMap((term) => [termElement(this.model.terms[term]), ", "]).slice(0, -1);
    return [
      element("h3", { id: "entity-title" }, entity.label),
      element("p", {}, ...(classes.length ? classes : ["of no class of the ontology"])),
      entity.aliases.length ? element("p", { class: "quiet" }, `also called ${entity.aliases.join(", ")}`) : null,
      this.mentions(entity),
      element("h4", {}, counted(facts.length, "fact", "facts")),
      hidden ? element("p", { class: "quiet" }, `${hidden} less sure than ${percent(this.model.minConfidence)} not shown`) : null,
      element("ul", { class: "facts" }, ...facts.map((fact) => factItem(this.model, this.passages, fact, this.onSelect, n))),
      ...this.sameThings(n),
    ].filter(Boolean);
  }

  mentions(entity) {
    const name = this.model.documents[entity.document].name;
    if (!entity.mentions.length) return element("p", { class: "quiet" }, `in ${name}`);
    const open = () => this.passages.open(entity.document, entity.mentions);
    const times = counted(entity.mentions.length, "mention", "mentions");
    return element("p", {}, button(`${times} in ${name}`, open, { class: "inline" }));
  }

  sameThings(n) {
    const links = this.model.linksOf[n];
    if (!links.length) return [];
    const items = links.map((link) => linkItem(this.model, link, this.onSelect, n));
    return [element("h4", {}, "In other documents"), element("ul", { class: "plain" }, ...items)];
  }
}
