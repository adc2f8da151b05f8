"use strict";
(() => {
  const frame = document.querySelector(".frame");
  const canvas = frame.querySelector(".canvas");
  const rows = [...frame.querySelectorAll(".row")].map((row) => [...row.querySelectorAll(".track")]);
  const titles = [...document.querySelectorAll("thead th")].slice(1).map((title) => title.textContent);

  // The details: what the table says of the track, so that it is written once.
  const [hint, shown] = document.querySelector(".panel").children;
  const [heading, list] = shown.children;
  const values = titles.map((title) => {
    const group = document.createElement("div");
    group.append(document.createElement("dt"), document.createElement("dd"));
    group.firstChild.textContent = title;
    list.append(group);
    return group.lastChild;
  });
  let told = null;
  const tell = (track) => {
    if (!track || track === told) return;
    told?.classList.remove("told");
    told = track;
    told.classList.add("told");
    const [name, ...cells] = document.getElementById(`track-${track.dataset.track}`).cells;
    heading.textContent = name.textContent;
    cells.forEach((cell, index) => {
      values[index].textContent = cell.textContent;
      values[index].className = cell.className;
    });
    hint.hidden = true;
    shown.hidden = false;
  };
  const trackOf = (event) => event.target.closest(".track");
  frame.addEventListener("pointerover", (event) => tell(trackOf(event)));

  // One stop for the Tab key: the track that had the focus last.
  let stop = rows[0][0];
  frame.addEventListener("focusin", (event) => {
    const track = trackOf(event);
    if (!track) return;
    stop.tabIndex = -1;
    stop = track;
    stop.tabIndex = 0;
    tell(track);
  });
  frame.addEventListener("click", (event) => trackOf(event)?.focus());

  const middle = (track) => track.offsetLeft + track.offsetWidth / 2;
  const nearest = (row, place) => row.reduce(
    (best, track) => (Math.abs(middle(track) - place) < Math.abs(middle(best) - place) ? track : best));
  const all = rows.flat();
  const moves = {
    ArrowLeft: (track) => all[all.indexOf(track) - 1],
    ArrowRight: (track) => all[all.indexOf(track) + 1],
    ArrowUp: (track, row) => row > 0 && nearest(rows[row - 1], middle(track)),
    ArrowDown: (track, row) => row < rows.length - 1 && nearest(rows[row + 1], middle(track)),
    Home: (_, row, far) => (far ? all[0] : rows[row][0]),
    End: (_, row, far) => (far ? all.at(-1) : rows[row].at(-1)),
  };
  frame.addEventListener("keydown", (event) => {
    const track = trackOf(event);
    const move = moves[event.key];
    if (!track || !move || event.altKey || event.metaKey) return;
    event.preventDefault();
    const row = rows.findIndex((tracks) => tracks.includes(track));
    (move(track, row, event.ctrlKey) || track).focus();
  });

  const zoom = document.querySelector(".zoom");
  if (!zoom) return;
  const most = Math.max(...[...frame.querySelectorAll(".axis .scale")].map((scale) => Number(scale.dataset.zoom)));
  const [out, into] = zoom.querySelectorAll("button");
  const enlarge = (factor) => {
    const before = Number(canvas.dataset.zoom);
    const after = Math.min(most, Math.max(1, factor));
    // What is in the middle of the view stays there.
    const labels = frame.querySelector(".corner").offsetWidth;
    const view = frame.clientWidth - labels;
    const place = (frame.scrollLeft + view / 2) / (canvas.offsetWidth - labels);
    canvas.dataset.zoom = after;
    canvas.style.setProperty("--zoom", after);
    frame.scrollLeft = place * (canvas.offsetWidth - labels) - view / 2;
    zoom.querySelector("output").textContent = `${after}×`;
    out.disabled = after === 1;
    into.disabled = after === most;
    return before !== after;
  };
  const zooms = { out: 0.5, in: 2, fit: 0 };
  zoom.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) enlarge(Number(canvas.dataset.zoom) * zooms[button.dataset.zoom]);
  });
  frame.addEventListener("keydown", (event) => {
    const factor = { "+": 2, "=": 2, "-": 0.5, 0: 0 }[event.key];
    if (factor === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    enlarge(Number(canvas.dataset.zoom) * factor);
    stop.scrollIntoView({ block: "nearest", inline: "center" });
  });
  zoom.hidden = false;
  enlarge(1);
})();
