"use strict";

const TICKS = 160;
const LARGEST_ZOOM = 1.6;
const MARGIN_PIXELS = 40;

/** Where entities are drawn: d3-force's places, the same whenever the same graph is drawn. */
class Layout {
  constructor(model, drawn, facts) {
    this.nodes = new Map(drawn.map((n) => [n, { size: 6 + 3 * Math.sqrt(model.factsOf[n].length) }]));
    const links = facts.map((n) => ({
      source: this.nodes.get(model.facts[n].subject),
      target: this.nodes.get(model.facts[n].object),
    }));
    this.simulation = d3
      .forceSimulation([...this.nodes.values()])
      .force("link", d3.forceLink(links).distance(45))
      .force("charge", d3.forceManyBody().strength(-70).distanceMax(500))
      .force("x", d3.forceX().strength(0.06))
      .force("y", d3.forceY().strength(0.06))
      .alphaDecay(1 - 0.001 ** (1 / TICKS))
      .stop();
  }

  /** Goes on for so long at most; whether the places have come to rest. */
  goOn(milliseconds) {
    const until = performance.now() + milliseconds;
    while (performance.now() < until) {
      if (this.simulation.alpha() < this.simulation.alphaMin()) return true;
      this.simulation.tick();
    }
    return false;
  }

  place(n) {
    const { x, y } = this.nodes.get(n);
    return { x, y };
  }

  size(n) {
    return this.nodes.get(n).size;
  }

  /** Zoom and pan with which all places are within so many pixels. */
  view(width, height) {
    if (!this.nodes.size) return { zoom: 1, pan: { x: 0, y: 0 } };
    const places = [...this.nodes.values()];
    const [left, right] = ends(places.map(({ x }) => x));
    const [top, bottom] = ends(places.map(({ y }) => y));
    const zoom = Math.min(
      LARGEST_ZOOM,
      (width - MARGIN_PIXELS) / (right - left + MARGIN_PIXELS),
      (height - MARGIN_PIXELS) / (bottom - top + MARGIN_PIXELS),
    );
    return { zoom, pan: { x: (width - zoom * (left + right)) / 2, y: (height - zoom * (top + bottom)) / 2 } };
  }
}

function ends(values) {
  return [Math.min(...values), Math.max(...values)];
}
