// A table of text cells. Cells are made once; later messages change only the text, the class or the row mark
// of what changed, in one animation frame. Text nodes only: nothing that is shown can become markup.
export function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "sheet";
  root.setAttribute("role", "grid");
  root.setAttribute("aria-label", model.label);
  root.tabIndex = 0;
  el.append(root);

  let cells = [];
  let rows = [];
  const pending = new Map();
  const marks = new Map();
  let frame = 0;
  let seq = 0;

  const tone = (text) => (text.startsWith("+") || text.startsWith("▲") ? "gain"
    : text.startsWith("-") || text.startsWith("▼") ? "loss" : "");

  function put(cell, column, text) {
    cell.firstChild.data = text;
    if (model.columns[column].tone) cell.className = "cell " + model.columns[column].kind + " " + tone(text);
    if (model.columns[column].tip) cell.title = text;
  }

  function row(index, texts, mark) {
    const line = document.createElement("div");
    line.setAttribute("role", "row");
    line.className = "row " + mark;
    if (texts.length === 1) {
      const whole = document.createElement("div");
      whole.className = "whole";
      whole.setAttribute("role", "gridcell");
      whole.append(document.createTextNode(texts[0]));
      line.append(whole);
      cells[index] = [whole];
    } else {
      cells[index] = texts.map((text, c) => {
        const cell = document.createElement("div");
        const column = model.columns[c];
        cell.className = "cell " + column.kind;
        cell.setAttribute("role", column.head ? "rowheader" : "gridcell");
        cell.append(document.createTextNode(""));
        put(cell, c, text);
        line.append(cell);
        return cell;
      });
    }
    return line;
  }

  function head() {
    const line = document.createElement("div");
    line.className = "row head";
    line.setAttribute("role", "row");
    for (const column of model.columns) {
      const cell = document.createElement("div");
      cell.className = "cell " + column.kind;
      cell.setAttribute("role", "columnheader");
      cell.append(document.createTextNode(column.name));
      if (column.title) cell.title = column.title;
      line.append(cell);
    }
    return line;
  }

  function full(message) {
    pending.clear();
    marks.clear();
    const first = rows.length === 0;
    const top = root.scrollTop;
    const left = root.scrollLeft;
    cells = [];
    root.style.gridTemplateColumns = model.columns.map((c) => c.width).join(" ");
    rows = message.rows.map((texts, i) => row(i, texts, message.marks[i]));
    root.replaceChildren(head(), ...rows);
    if (rows.length === 0) {
      const empty = document.createElement("div");
      empty.className = "whole empty";
      empty.append(document.createTextNode(message.empty));
      root.append(empty);
    }
    root.scrollTop = top;
    root.scrollLeft = left;
    const center = rows.find((line) => line.classList.contains("center"));
    if (first && center) {
      root.scrollTop = center.firstElementChild.offsetTop - root.clientHeight / 2;
      root.scrollLeft = (root.scrollWidth - root.clientWidth) / 2;
    }
    done(message.seq);
  }

  function done(number) {
    seq = number;
    root.dataset.seq = String(number);
  }

  function paint() {
    frame = 0;
    for (const [key, text] of pending) {
      const line = cells[Math.floor(key / 64)];
      if (line && line[key % 64]) put(line[key % 64], key % 64, text);
    }
    pending.clear();
    for (const [index, mark] of marks) if (rows[index]) rows[index].className = "row " + mark;
    marks.clear();
    root.dataset.seq = String(seq);
  }

  model.on("msg:custom", (message) => {
    if (message.rows !== undefined) return full(message);
    message.k.forEach((key, i) => pending.set(key, message.v[i]));
    message.m.forEach(([index, mark]) => marks.set(index, mark));
    seq = message.seq;
    if (!frame) frame = requestAnimationFrame(paint);
  });
  model.send_msg({ hello: true });
}
