"use strict";

/** The report's data with what is needed to look things up quickly. Everything is known by its index. */
class ReportModel {
  constructor(data) {
    Object.assign(this, data);
    this.minConfidence = 0;
    this.factsOf = this.entities.map(() => []);
    this.linksOf = this.entities.map(() => []);
    this.facts.forEach((fact, n) => {
      this.factsOf[fact.subject].push(n);
      if (fact.object !== null && fact.object !== fact.subject) this.factsOf[fact.object].push(n);
    });
    this.links.forEach((link, n) => {
      this.linksOf[link.one].push(n);
      this.linksOf[link.other].push(n);
    });
    this.byId = new Map(this.entities.map((entity, n) => [entity.id, n]));
    this.names = this.entities.map((entity) => [entity.label, ...entity.aliases].map(folded));
    this.factTexts = this.facts.map((fact) => folded(this.sentence(fact).join(" ")));
    this.classes = this.classesByUse();
  }

  /** Classes, the most used first: those of entities' first place, by index of their term. */
  classesByUse() {
    const uses = new Map();
    for (const entity of this.entities) {
      for (const term of entity.classes) uses.set(term, (uses.get(term) ?? 0) + 1);
    }
    return [...uses].sort((one, other) => other[1] - one[1] || one[0] - other[0]).map(([term]) => term);
  }

  /** Subject, predicate and object of a fact as people read them. */
  sentence(fact) {
    const object = fact.object === null ? fact.literal.surface : this.entities[fact.object].label;
    return [this.entities[fact.subject].label, this.terms[fact.predicate].label, object];
  }

  isShown(fact) {
    return this.facts[fact].confidence >= this.minConfidence;
  }

  /**
   * Entities that have all words of the text in one of their names, best first: the same name, then names that begin
   * with it, then the best connected. A class (the index of a term, -1 for entities without one) narrows them down.
   */
  search(text, ofClass = null) {
    const wanted = folded(text).trim();
    const words = wanted.split(/\s+/u).filter(Boolean);
    const found = [];
    this.entities.forEach((entity, n) => {
      if (ofClass === -1 ? entity.classes.length : ofClass !== null && !entity.classes.includes(ofClass)) return;
      let best = -1;
      for (const name of this.names[n]) {
        if (!words.every((word) => name.includes(word))) continue;
        best = Math.max(best, name === wanted ? 2 : name.startsWith(wanted) ? 1 : 0);
      }
      if (best >= 0) found.push([n, words.length ? best : 0]);
    });
    return found
      .sort(([one, a], [other, b]) => b - a || this.factsOf[other].length - this.factsOf[one].length || one - other)
      .map(([n]) => n);
  }
}

/** A text without case and accents, for comparing. */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
