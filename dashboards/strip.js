// Cards of figures: text nodes, changed in place.
export function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "facts";
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", model.label);
  el.append(root);
  const tone = (text) => (text.startsWith("+") ? "gain" : text.startsWith("-") ? "loss" : "");

  function part(parent, kind) {
    const node = document.createElement("div");
    node.className = kind;
    node.append(document.createTextNode(""));
    parent.append(node);
    return node;
  }

  function draw() {
    while (root.children.length > model.items.length) root.lastChild.remove();
    model.items.forEach(([name, value, small], i) => {
      let card = root.children[i];
      if (!card) {
        card = document.createElement("div");
        card.className = "figure";
        for (const kind of ["name", "value", "small"]) part(card, kind);
        root.append(card);
      }
      const texts = [name, value, small];
      texts.forEach((text, n) => { if (card.children[n].firstChild.data !== text) card.children[n].firstChild.data = text; });
      card.children[1].className = "value " + tone(value);
    });
  }
  model.on("items", draw);
  draw();
}
