"use strict";

/** Puts the report on the page, and keeps list, drawing and address in step with what is selected. */
function main() {
  const model = new ReportModel(JSON.parse(document.getElementById("data").textContent));
  const passages = new Passages(model);
  head(model);
  let drawing = null;
  const select = (n) => {
    explorer.show(n);
    drawing?.select(n);
    history.replaceState(null, "", n === null ? "#explore" : `#${model.entities[n].id}`);
  };
  const explorer = new Explorer(model, passages, select);
  const lists = new Lists(model, passages, (n) => {
    select(n);
    document.getElementById("entity").scrollIntoView({ block: "center" });
    document.getElementById("entity").focus({ preventScroll: true });
  });
  new RunHistory(model);
  drawing = new Drawing(model, select);
  const confidence = document.getElementById("confidence");
  confidence.addEventListener("input", () => {
    model.minConfidence = Number(confidence.value);
    document.getElementById("confidence-shown").value = percent(model.minConfidence);
    explorer.show(explorer.selected);
    lists.showFacts();
    drawing.filter();
  });
  const chosen = model.byId.get(location.hash.slice(1));
  if (chosen !== undefined) select(chosen);
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
}

function head(model) {
  const documents = counted(model.documents.length, "document", "documents");
  const entities = counted(model.entities.length, "entity", "entities");
  const facts = counted(model.facts.length, "fact", "facts");
  const flagged = model.facts.filter((fact) => fact.flags.length).length;
  document.getElementById("title").textContent = model.title;
  document.getElementById("summary").textContent =
    `${documents}, ${entities}, ${facts}` + (flagged ? `, ${flagged} of them flagged` : "");
  const asOf = document.getElementById("as-of");
  asOf.dateTime = model.asOf;
  asOf.textContent = timeOf(model.asOf, true);
}

main();
