// The time slider with its buttons. One position is under way at a time: the next is sent when the page has shown it.
export function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "clock";
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Time");
  el.append(root);

  let wanted = model.index;
  let timer = 0;

  function button(text, label, act) {
    const node = document.createElement("button");
    node.type = "button";
    node.append(document.createTextNode(text));
    node.setAttribute("aria-label", label);
    node.title = label;
    node.addEventListener("click", act);
    root.append(node);
    return node;
  }

  button("|<", "first snapshot", () => go(0));
  button("<", "one snapshot back", () => go(wanted - 1));
  const play = button("play", "play", () => (timer ? stop() : start()));
  button(">", "one snapshot on", () => go(wanted + 1));
  button(">|", "last snapshot", () => go(model.last));

  const clock = document.createElement("output");
  clock.append(document.createTextNode(model.text));
  root.append(clock);

  const range = document.createElement("input");
  range.type = "range";
  range.min = "0";
  range.step = "1";
  range.setAttribute("aria-label", "time of day");
  range.addEventListener("input", () => go(Number(range.value)));
  root.append(range);

  function go(index) {
    wanted = Math.max(0, Math.min(model.last, index));
    range.value = String(wanted);
    send();
  }

  function send() {
    if (wanted !== model.index && model.shown === model.index) model.index = wanted;
  }

  function start() {
    if (wanted >= model.last) go(0);
    play.firstChild.data = "pause";
    play.setAttribute("aria-label", "pause");
    timer = setInterval(() => {
      if (model.shown !== model.index) return;
      if (wanted >= model.last) stop(); else go(wanted + 1);
    }, 250);
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.firstChild.data = "play";
    play.setAttribute("aria-label", "play");
  }

  function draw() {
    range.max = String(model.last);
    if (model.shown === model.index && wanted === model.index) range.value = String(model.index);
    clock.firstChild.data = model.text;
    root.dataset.shown = String(model.shown);
    range.setAttribute("aria-valuetext", model.text);
    send();
  }
  model.on("shown", draw);
  model.on("text", draw);
  model.on("last", draw);
  model.on("index", () => { wanted = timer || document.activeElement === range ? wanted : model.index; draw(); });
  model.on("remove", stop);
  draw();
}
