"use strict";
(() => {
  const frame = document.querySelector(".frame");
  const canvas = frame.querySelector(".canvas");
  const lanes = [...frame.querySelectorAll(".lane")];
  const titles = [...document.querySelectorAll("thead th")].slice(1).map((title) => title.textContent);

  // Details of the selected track, copied from its row of the table: so its values are in the page only once.
  const [hint, details] = document.querySelector(".panel").children;
  const [heading, list] = details.children;
  const values = titles.map((title) => {
    const group = document.createElement("div");
    group.append(document.createElement("dt"), document.createElement("dd"));
    group.firstChild.textContent = title;
    list.append(group);
    return group.lastChild;
  });
  let selected = null;
  const select = (track) => {
    if (!track || track === selected) return;
    selected?.classList.remove("selected");
    selected = track;
    selected.classList.add("selected");
    const [name, ...cells] = document.getElementById(`track-${track.dataset.track}`).cells;
    heading.textContent = name.textContent;
    cells.forEach((cell, index) => {
      values[index].textContent = cell.textContent;
      values[index].className = cell.className;
    });
    hint.hidden = true;
    details.hidden = false;
  };
  const trackOf = (event) => event.target.closest(".track");
  frame.addEventListener("pointerover", (event) => select(trackOf(event)));

  // Rows of cells that the arrow keys lead to: tracks, and the buttons that collapse and expand a lane.
  const rows = [...frame.querySelectorAll("[role=row]")].map((row) => ({
    lane: row.closest(".lane"),
    cells: [...row.querySelectorAll(".track, button")],
    isLabel: row.matches(".label"),
  }));
  const isCollapsed = (lane) => lane.classList.contains("collapsed");
  const shownRows = () => rows.filter(({ lane, isLabel }) => !lane.hidden && (isLabel || !isCollapsed(lane)));
  // What Left and Right lead to: all tracks, and what stands for those of a collapsed lane.
  const sequence = (shown) => shown.filter(({ lane, isLabel }) => !isLabel || isCollapsed(lane)).flatMap(({ cells }) => cells);
  const cellOf = (event) => event.target.closest(".track, .label button");

  // Roving tabindex: the Tab key stops only at the cell that had the focus last.
  let tabStop = frame.querySelector(".lane [tabindex='0']");
  const setTabStop = (cell) => {
    tabStop.tabIndex = -1;
    tabStop = cell;
    tabStop.tabIndex = 0;
  };
  const keepTabStopShown = () => {
    const shown = shownRows();
    if (shown.length && !shown.some(({ cells }) => cells.includes(tabStop))) setTabStop(shown[0].cells[0]);
  };
  frame.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    setTabStop(cell);
    select(trackOf(event));
  });
  frame.addEventListener("click", (event) => trackOf(event)?.focus({ preventScroll: true }));

  const middle = (cell) => {
    const box = cell.getBoundingClientRect();
    return (box.left + box.right) / 2;
  };
  const nearest = (row, position) => row.cells.reduce(
    (best, cell) => (Math.abs(middle(cell) - position) < Math.abs(middle(best) - position) ? cell : best));
  const neighbor = (shown, cell, step) => {
    const cells = sequence(shown);
    const index = cells.indexOf(cell);
    // From the label of an expanded lane into its first row.
    if (index < 0) return step > 0 && shown[shown.findIndex((row) => row.cells.includes(cell)) + 1].cells[0];
    return cells[index + step];
  };
  const moves = {
    ArrowLeft: (cell, shown) => neighbor(shown, cell, -1),
    ArrowRight: (cell, shown) => neighbor(shown, cell, 1),
    ArrowUp: (cell, shown, row) => row > 0 && nearest(shown[row - 1], middle(cell)),
    ArrowDown: (cell, shown, row) => row < shown.length - 1 && nearest(shown[row + 1], middle(cell)),
    Home: (_, shown, row, withCtrl) => (withCtrl ? sequence(shown)[0] : shown[row].cells[0]),
    End: (_, shown, row, withCtrl) => (withCtrl ? sequence(shown) : shown[row].cells).at(-1),
  };
  frame.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    const move = moves[event.key];
    if (!cell || !move || event.altKey || event.metaKey) return;
    event.preventDefault();
    const shown = shownRows();
    const row = shown.findIndex(({ cells }) => cells.includes(cell));
    (move(cell, shown, row, event.ctrlKey) || cell).focus();
  });

  const setCollapsed = (lane, collapsed) => {
    lane.classList.toggle("collapsed", collapsed);
    // The tracks can still be seen, but a lane is collapsed to be passed over.
    lane.querySelector(".rows").inert = collapsed;
    lane.querySelector(".label button").ariaExpanded = String(!collapsed);
  };
  const collapseAll = document.querySelector(".collapse-all");
  const tellCollapsed = () => {
    collapseAll.textContent = lanes.every(isCollapsed) ? "Expand all" : "Collapse all";
    keepTabStopShown();
  };
  collapseAll?.addEventListener("click", () => {
    const collapsed = !lanes.every(isCollapsed);
    lanes.forEach((lane) => setCollapsed(lane, collapsed));
    tellCollapsed();
  });
  frame.addEventListener("click", (event) => {
    const button = event.target.closest(".label button");
    if (!button) return;
    const lane = button.closest(".lane");
    setCollapsed(lane, !isCollapsed(lane));
    tellCollapsed();
  });

  const search = document.querySelector(".search");
  const searchField = search?.querySelector("input");
  // Everything that the table says of a lane's tracks: names and SIDs too.
  const searchedTexts = new Map();
  const searchedText = (lane) => {
    if (!searchedTexts.has(lane)) {
      const tracks = [...lane.querySelectorAll(".track")];
      const texts = tracks.map((track) => document.getElementById(`track-${track.dataset.track}`).textContent);
      searchedTexts.set(lane, `${lane.querySelector(".who").textContent} ${texts.join(" ")}`.toLowerCase());
    }
    return searchedTexts.get(lane);
  };
  searchField?.addEventListener("input", () => {
    const words = searchField.value.toLowerCase().split(/\s+/).filter(Boolean);
    lanes.forEach((lane) => {
      lane.hidden = !words.every((word) => searchedText(lane).includes(word));
    });
    const found = lanes.filter((lane) => !lane.hidden).length;
    search.querySelector("output").textContent = words.length ? `${found} of ${lanes.length} found` : "";
    frame.querySelector(".none").hidden = found > 0;
    keepTabStopShown();
  });
  for (const control of document.querySelectorAll(".search, .collapse-all")) control.hidden = false;

  const zoomControls = document.querySelector(".zoom");
  if (!zoomControls) return;
  const levels = [...frame.querySelectorAll(".axis .scale")].map((scale) => Number(scale.dataset.zoom));
  const maxZoom = levels.at(-1);
  const [zoomOut, zoomIn] = zoomControls.querySelectorAll("button");
  let zoom = 1;
  // Keep the time at a position of the view, in pixels from the labels, where it is: by default in the middle.
  const setZoom = (wanted, position) => {
    const labels = frame.querySelector(".corner").offsetWidth;
    const view = frame.clientWidth - labels;
    const rows = lanes.find((lane) => !lane.hidden)?.querySelector(".rows");
    if (!rows) return;
    zoom = Math.min(maxZoom, Math.max(1, wanted));
    const at = (position ?? view / 2) - Number.parseFloat(getComputedStyle(rows).marginLeft);
    const fraction = (frame.scrollLeft + at) / rows.offsetWidth;
    canvas.dataset.zoom = levels.findLast((level) => level <= zoom);
    canvas.style.setProperty("--zoom", zoom);
    frame.scrollLeft = fraction * rows.offsetWidth - at;
    zoomControls.querySelector("output").textContent = `${Number(zoom.toPrecision(2))}×`;
    zoomOut.disabled = zoom === 1;
    zoomIn.disabled = zoom === maxZoom;
  };
  // Factors; 0 shows everything, since the zoom is never less than 1.
  const buttonFactors = { out: 0.5, in: 2, fit: 0 };
  zoomControls.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) setZoom(zoom * buttonFactors[button.dataset.zoom]);
  });
  frame.addEventListener("keydown", (event) => {
    const factor = { "+": 2, "=": 2, "-": 0.5, 0: 0 }[event.key];
    if (factor === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    setZoom(zoom * factor);
    if (document.activeElement === tabStop) tabStop.scrollIntoView({ block: "nearest", inline: "center" });
  });
  // The wheel alone scrolls. A pinch on a touchpad arrives as a wheel with the Ctrl key.
  const pixelsPerDoubling = 200;
  const pixelsPerLine = 33;
  frame.addEventListener("wheel", (event) => {
    const isOnAxis = event.target.closest(".axis") && event.deltaY;
    if (!event.ctrlKey && !event.metaKey && !isOnAxis) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? pixelsPerLine : 1);
    const corner = frame.querySelector(".corner").getBoundingClientRect();
    setZoom(zoom * 2 ** (-pixels / pixelsPerDoubling), event.clientX - corner.right);
  }, { passive: false });
  zoomControls.hidden = false;
  setZoom(1);
})();
