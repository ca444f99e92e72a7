"use strict";

const MOST_DRAWN = 2000;
const FIRST_PAINT_MILLISECONDS = 400;
const SLICE_MILLISECONDS = 25;
const REDRAW_MILLISECONDS = 500;
const REST_MILLISECONDS = 400;
const COLOURS = 7;
const MOST_TOLD = 12;
const MOST_NAMED = 200;
const MOST_FADED = 600;
const MOST_LABEL_CHARACTERS = 30;

/** The graph on its canvas: places by d3-force, drawn by Cytoscape, with everything that is not selected faded. */
class Drawing {
  constructor(model, onSelect) {
    this.model = model;
    this.container = document.getElementById("graph");
    this.drawn = this.bestConnected();
    this.isDrawn = new Set(this.drawn);
    this.touched = false;
    this.edges = model.facts.flatMap((fact, n) =>
      fact.object !== null && this.isDrawn.has(fact.subject) && this.isDrawn.has(fact.object) ? [n] : [],
    );
    this.layout = new Layout(model, this.drawn, this.edges);
    this.layout.goOn(FIRST_PAINT_MILLISECONDS);
    this.cy = cytoscape({
      container: this.container,
      elements: this.elements(),
      style: this.style(),
      layout: { name: "preset", fit: false },
      ...this.wholeView(),
      minZoom: 0.02,
      maxZoom: 4,
      pixelRatio: this.drawn.length > 500 ? 1 : "auto",
      textureOnViewport: this.drawn.length > 500,
      hideEdgesOnViewport: this.edges.length > 3000,
      boxSelectionEnabled: false,
      autounselectify: true,
    });
    this.cy.on("tap", "node", (event) => onSelect(event.target.data("n")));
    this.cy.on("viewport", () => this.nameSoon());
    this.cy.on("tapstart scrollzoom pinchzoom", () => {
      this.touched = true;
    });
    this.container.addEventListener("keydown", (event) => this.onKey(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.cy.style(this.style()));
    this.tell();
    this.name();
    this.settle();
  }

  /** The entities that are drawn: all, or where there are too many those with the most facts. */
  bestConnected() {
    const all = this.model.entities.map((_, n) => n);
    if (all.length <= MOST_DRAWN) return all;
    const degree = (n) => this.model.factsOf[n].length;
    return all.sort((one, other) => degree(other) - degree(one) || one - other).slice(0, MOST_DRAWN);
  }

  /**
   * Finishes the layout in slices, between which the page answers. While somebody types or points it rests, and it is
   * drawn anew the less often the longer that takes.
   */
  settle() {
    let restUntil = 0;
    let redrawAt = performance.now() + REDRAW_MILLISECONDS;
    for (const act of ["keydown", "input", "pointerdown", "wheel"]) {
      addEventListener(act, () => (restUntil = performance.now() + REST_MILLISECONDS), { capture: true, passive: true });
    }
    const goOn = () => {
      if (performance.now() < restUntil) return setTimeout(goOn, REST_MILLISECONDS / 4);
      const isDone = this.layout.goOn(SLICE_MILLISECONDS);
      if (isDone || performance.now() > redrawAt) {
        const took = this.redraw();
        redrawAt = performance.now() + Math.max(REDRAW_MILLISECONDS, 8 * took);
      }
      return isDone ? this.onSettled() : setTimeout(goOn);
    };
    setTimeout(goOn);
  }

  /** Draws the places that the layout has found; how many milliseconds that took, but for the painting. */
  redraw() {
    const begun = performance.now();
    this.cy.nodes().positions((node) => this.layout.place(node.data("n")));
    if (!this.touched) this.cy.viewport(this.wholeView());
    return performance.now() - begun;
  }

  onSettled() {
    document.documentElement.dataset.settled = "true";
    performance.mark("settled");
  }

  /** Zoom and pan that show all places. Cytoscape's own `fit` measures every label and edge first. */
  wholeView() {
    return this.layout.view(this.container.clientWidth, this.container.clientHeight);
  }

  nameSoon() {
    clearTimeout(this.naming);
    this.naming = setTimeout(() => this.name(), REST_MILLISECONDS / 4);
  }

  /** Names the nodes in sight where they are not too many to be read, else the best connected ones. */
  name() {
    const { x1, x2, y1, y2 } = this.cy.extent();
    const isInSight = ({ x, y }) => x >= x1 && x <= x2 && y >= y1 && y <= y2;
    let inSight = this.drawn.filter((n) => isInSight(this.layout.place(n)));
    if (inSight.length > MOST_NAMED) {
      const degree = (n) => this.model.factsOf[n].length;
      inSight = inSight.sort((one, other) => degree(other) - degree(one)).slice(0, MOST_NAMED / 4);
    }
    this.cy.batch(() => {
      this.cy.nodes(".named").not(".near").removeClass("named");
      for (const n of inSight) this.cy.getElementById(`n${n}`).addClass("named");
      // Sizes are in the drawing's units: names are to be as large on the screen however far away it is.
      this.cy.nodes(".named").style("font-size", Math.max(9, 10 / this.cy.zoom()));
    });
  }

  elements() {
    const nodes = this.drawn.map((n) => ({
      group: "nodes",
      classes: `c${this.colour(n)}`,
      data: { id: `n${n}`, n, label: shortened(this.model.entities[n].label), size: this.layout.size(n) },
      position: this.layout.place(n),
    }));
    const edges = this.edges.map((n) => {
      const { subject, object, predicate } = this.model.facts[n];
      const label = this.model.terms[predicate].label;
      return { group: "edges", data: { id: `f${n}`, n, label, source: `n${subject}`, target: `n${object}` } };
    });
    return [...nodes, ...edges];
  }

  /** The number of the entity's colour: that of its most used class. */
  colour(n) {
    const places = this.model.entities[n].classes.map((term) => this.model.classes.indexOf(term));
    return Math.min(COLOURS, ...places.filter((place) => place >= 0));
  }

  style() {
    const computed = getComputedStyle(document.documentElement);
    const value = (name) => computed.getPropertyValue(name).trim();
    const colours = Array.from({ length: COLOURS + 1 }, (_, n) => value(`--c${n}`));
    const faded = Number(value("--faded"));
    return [
      {
        selector: "node",
        style: {
          width: "data(size)",
          height: "data(size)",
        },
      },
      {
        selector: "node.named",
        style: {
          label: "data(label)",
          color: value("--ink"),
          "font-size": 9,
          "text-outline-color": value("--raised"),
          "text-outline-width": 1.5,
          "text-valign": "bottom",
        },
      },
      ...colours.map((colour, n) => ({ selector: `.c${n}`, style: { "background-color": colour } })),
      { selector: "edge", style: { width: 1, "line-color": value("--edge"), "curve-style": "haystack" } },
      { selector: ".below", style: { display: "none" } },
      { selector: ".faded", style: { opacity: faded } },
      {
        selector: "edge.near",
        style: {
          width: 2,
          "z-index": 1,
          color: value("--quiet"),
          "curve-style": "bezier",
          "line-color": value("--accent"),
          "target-arrow-color": value("--accent"),
          "target-arrow-shape": "triangle",
        },
      },
      {
        selector: "edge.told",
        style: {
          label: "data(label)",
          "font-size": 8,
          "min-zoomed-font-size": 8,
          "text-outline-color": value("--raised"),
          "text-outline-width": 1.5,
          "text-rotation": "autorotate",
        },
      },
      { selector: "node.chosen", style: { "border-color": value("--accent"), "border-width": 4, "z-index": 2 } },
    ];
  }

  /** Shows an entity with its neighbours, and everything else faded; null shows all alike. */
  select(n) {
    this.cy.batch(() => {
      this.cy.elements(".faded, .near, .chosen").removeClass("faded near told chosen");
      const node = n === null ? this.cy.collection() : this.cy.getElementById(`n${n}`);
      if (node.empty()) return;
      const near = node.closedNeighborhood();
      if (this.drawn.length <= MOST_FADED) this.cy.elements().not(near).addClass("faded");
      near.addClass("near");
      near.nodes().addClass("named");
      this.nameSoon();
      if (near.edges().length <= MOST_TOLD) near.edges().addClass("told");
      node.addClass("chosen");
    });
    if (n !== null && this.isDrawn.has(n)) this.bringToSight(n);
  }

  bringToSight(n) {
    const node = this.cy.getElementById(`n${n}`);
    const zoom = Math.max(this.cy.zoom(), 1.1);
    this.touched = true;
    this.cy.zoom({ level: zoom, position: node.position() });
    this.cy.center(node);
  }

  /** Hides the facts that are less sure than is wanted. */
  filter() {
    this.cy.batch(() => this.cy.edges().forEach((edge) => edge.toggleClass("below", !this.model.isShown(edge.data("n")))));
  }

  onKey(event) {
    const step = 60;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const zooms = { "+": 1.25, "=": 1.25, "-": 0.8 };
    if (moves[event.key]) this.cy.panBy({ x: moves[event.key][0], y: moves[event.key][1] });
    else if (zooms[event.key]) this.cy.zoom({ level: this.cy.zoom() * zooms[event.key], renderedPosition: this.middle() });
    else if (event.key === "0") this.cy.viewport(this.wholeView());
    else return;
    this.touched = true;
    event.preventDefault();
  }

  middle() {
    return { x: this.cy.width() / 2, y: this.cy.height() / 2 };
  }

  tell() {
    const all = this.model.entities.length;
    document.getElementById("drawn").textContent =
      this.drawn.length < all
        ? `The ${this.drawn.length.toLocaleString("en")} best connected of ${all.toLocaleString("en")} entities are drawn; the list has all.`
        : "";
    const classes = this.model.classes.slice(0, COLOURS);
    const items = classes.map((term, n) => [`c${n}`, this.model.terms[term].label]);
    if (this.model.entities.some((_, n) => this.colour(n) === COLOURS)) items.push(["c7", "other"]);
    document
      .getElementById("legend")
      .replaceChildren(...items.map(([colour, label]) => element("li", {}, element("span", { class: `dot ${colour}` }), label)));
  }
}

/** A label that does not cover half of the drawing. */
function shortened(label) {
  const points = [...label];
  return points.length > MOST_LABEL_CHARACTERS ? `${points.slice(0, MOST_LABEL_CHARACTERS).join("")}…` : label;
}
