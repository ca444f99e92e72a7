"use strict";

const SVG = "http://www.w3.org/2000/svg";
const NUMBERS = {
  chunks: "chunks",
  entities: "entities",
  relations: "facts",
  model_calls: "model calls",
  cached_calls: "answered from stored results",
  embedding_calls: "embedding calls",
  input_tokens: "tokens in",
  output_tokens: "tokens out",
  failed_items: "items failed",
  rejected: "parts left out",
  seconds: "seconds",
};
const TONES = { failure: "warn", outage: "bad", held: "warn", resume: "warn", wait: "quiet" };

/** What happened in the runs: their numbers, a lane for each stage, and the events. */
class RunHistory {
  constructor(model) {
    document.getElementById("runs").replaceChildren(...model.runs.map((run) => this.run(run)));
  }

  run(run) {
    const { timeline } = run;
    const tone = { completed: "good", failed: "bad", cancelled: "warn" }[run.status] ?? "quiet";
    return element(
      "article",
      { class: "run" },
      element("h3", {}, `${run.name}: `, element("span", { class: tone }, run.status)),
      run.error ? element("p", { class: tone }, run.error) : null,
      element("p", { class: "quiet" }, `${run.id} · ${this.duration(timeline)}`),
      this.numbers(run),
      ...timeline.stages.map((stage) => this.lane(stage)),
      timeline.stages.length ? this.key(timeline.stages) : null,
      element("ol", { class: "events" }, ...timeline.events.map((event) => this.event(event))),
    );
  }

  duration({ startedAt, endedAt }) {
    if (!startedAt || !endedAt) return "never begun";
    return `${timeOf(startedAt, true)} to ${timeOf(endedAt, false)}`;
  }

  numbers(run) {
    const rows = Object.entries(NUMBERS).map(([name, label]) => [label, run.statistics[name].toLocaleString("en")]);
    const shown = [...rows, ["resumes", String(run.resumes)]];
    return element(
      "dl",
      { class: "numbers" },
      ...shown.map(([label, value]) => element("div", {}, element("dt", {}, label), element("dd", {}, value))),
    );
  }

  /** A stage's row: a bar where it was at work, in the colour of what came of it. */
  lane(stage) {
    const said = Object.entries(stage.counts).map(([status, count]) => `${count} ${status}`);
    const label = `${stage.stage}: ${counted(stage.items, "item", "items")}; attempts: ${said.join(", ")}`;
    const drawing = document.createElementNS(SVG, "svg");
    set(drawing, { viewBox: `0 0 ${stage.cells.length} 10`, preserveAspectRatio: "none", role: "img", "aria-label": label });
    stage.cells.forEach((status, n) => {
      if (status === null) return;
      const cell = document.createElementNS(SVG, "rect");
      set(cell, { x: n, y: 0, width: 1.05, height: 10, class: `s-${status}` });
      drawing.append(cell);
    });
    return element("div", { class: "lane", title: label }, element("span", {}, stage.stage), drawing);
  }

  key(stages) {
    const statuses = [...new Set(stages.flatMap((stage) => Object.keys(stage.counts)))];
    return element(
      "ul",
      { class: "states", "aria-label": "Colours of attempts" },
      ...statuses.map((status) => element("li", {}, element("span", { class: `dot s-${status}` }), status)),
    );
  }

  event(event) {
    return element(
      "li",
      {},
      element("time", { datetime: event.at, title: event.at }, timeOf(event.at, false)),
      element("span", { class: TONES[event.kind] ?? null }, event.text),
    );
  }
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

/** A time as the reader's clock has it, with or without the day. */
function timeOf(iso, withDay) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const day = { year: "numeric", month: "short", day: "numeric" };
  return new Intl.DateTimeFormat("en-GB", withDay ? { ...day, ...options } : options).format(new Date(iso));
}
