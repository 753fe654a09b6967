// A labelled choice among a few texts.
export function render({ model, el }) {
  const label = document.createElement("label");
  label.className = "pick";
  label.append(document.createTextNode(model.label + " "));
  const select = document.createElement("select");
  label.append(select);
  el.append(label);

  function draw() {
    select.replaceChildren(...model.options.map(([value, text]) => {
      const option = document.createElement("option");
      option.value = value;
      option.append(document.createTextNode(text));
      return option;
    }));
    select.value = model.value;
  }
  select.addEventListener("change", () => { model.value = select.value; });
  model.on("options", draw);
  model.on("value", draw);
  draw();
}
