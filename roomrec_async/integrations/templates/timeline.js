"use strict";
(() => {
  const frame = document.querySelector(".frame");
  const canvas = frame.querySelector(".canvas");
  const rows = [...frame.querySelectorAll(".row")].map((row) => [...row.querySelectorAll(".track")]);
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

  // Roving tabindex: the Tab key stops only at the track that had the focus last.
  let tabStop = rows[0][0];
  frame.addEventListener("focusin", (event) => {
    const track = trackOf(event);
    if (!track) return;
    tabStop.tabIndex = -1;
    tabStop = track;
    tabStop.tabIndex = 0;
    select(track);
  });
  frame.addEventListener("click", (event) => trackOf(event)?.focus());

  const middle = (track) => track.offsetLeft + track.offsetWidth / 2;
  const nearest = (row, position) => row.reduce(
    (best, track) => (Math.abs(middle(track) - position) < Math.abs(middle(best) - position) ? track : best));
  const allTracks = rows.flat();
  const moves = {
    ArrowLeft: (track) => allTracks[allTracks.indexOf(track) - 1],
    ArrowRight: (track) => allTracks[allTracks.indexOf(track) + 1],
    ArrowUp: (track, row) => row > 0 && nearest(rows[row - 1], middle(track)),
    ArrowDown: (track, row) => row < rows.length - 1 && nearest(rows[row + 1], middle(track)),
    Home: (_, row, withCtrl) => (withCtrl ? allTracks[0] : rows[row][0]),
    End: (_, row, withCtrl) => (withCtrl ? allTracks.at(-1) : rows[row].at(-1)),
  };
  frame.addEventListener("keydown", (event) => {
    const track = trackOf(event);
    const move = moves[event.key];
    if (!track || !move || event.altKey || event.metaKey) return;
    event.preventDefault();
    const row = rows.findIndex((tracks) => tracks.includes(track));
    (move(track, row, event.ctrlKey) || track).focus();
  });

  const zoomControls = document.querySelector(".zoom");
  if (!zoomControls) return;
  const maxZoom = Math.max(...[...frame.querySelectorAll(".axis .scale")].map((scale) => Number(scale.dataset.zoom)));
  const [zoomOut, zoomIn] = zoomControls.querySelectorAll("button");
  const setZoom = (zoom) => {
    const clamped = Math.min(maxZoom, Math.max(1, zoom));
    // Keep the time in the middle of the view where it is.
    const labels = frame.querySelector(".corner").offsetWidth;
    const view = frame.clientWidth - labels;
    const fraction = (frame.scrollLeft + view / 2) / (canvas.offsetWidth - labels);
    canvas.dataset.zoom = clamped;
    canvas.style.setProperty("--zoom", clamped);
    frame.scrollLeft = fraction * (canvas.offsetWidth - labels) - view / 2;
    zoomControls.querySelector("output").textContent = `${clamped}×`;
    zoomOut.disabled = clamped === 1;
    zoomIn.disabled = clamped === maxZoom;
  };
  // Factors; 0 shows everything, since the zoom is never less than 1.
  const buttonFactors = { out: 0.5, in: 2, fit: 0 };
  zoomControls.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) setZoom(Number(canvas.dataset.zoom) * buttonFactors[button.dataset.zoom]);
  });
  frame.addEventListener("keydown", (event) => {
    const factor = { "+": 2, "=": 2, "-": 0.5, 0: 0 }[event.key];
    if (factor === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    setZoom(Number(canvas.dataset.zoom) * factor);
    tabStop.scrollIntoView({ block: "nearest", inline: "center" });
  });
  zoomControls.hidden = false;
  setZoom(1);
})();
