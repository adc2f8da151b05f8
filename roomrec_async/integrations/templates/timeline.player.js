"use strict";
(() => {
  const frame = document.querySelector(".frame");
  const canvas = frame.querySelector(".canvas");
  const cursor = frame.querySelector(".cursor");
  const thumb = frame.querySelector(".thumb");
  const ruler = frame.querySelector(".ruler");
  const status = document.querySelector(".stage [role=status]");
  // Times are in seconds from the start of the axis.
  const length = Number(canvas.dataset.length) / 1000;
  const isReduced = matchMedia("(prefers-reduced-motion: reduce)");

  const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
  const format = (time) => {
    const seconds = Math.floor(time);
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    if (!parts[0]) parts.shift();
    return parts.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
  };

  // Seek in a file. Browsers cannot where a server has no byte ranges: then the whole file is fetched first.
  const seekIn = async (media, time) => {
    const { seekable } = media;
    if (!seekable.length || seekable.end(0) > 0 || media.src.startsWith("blob:")) {
      media.currentTime = time;
      return;
    }
    media.dataset.wanted = time;
    if (media.dataset.fetching) return;
    media.dataset.fetching = "true";
    const response = await fetch(media.src);
    const wasPaused = media.paused;
    media.src = URL.createObjectURL(await response.blob());
    media.currentTime = Number(media.dataset.wanted);
    if (!wasPaused) await media.play();
  };

  // A film: its own controls play it. Time 0 of the film is where its first track starts on the axis.
  const playFilm = (film) => {
    const start = Number(film.dataset.start) / 1000;
    film.addEventListener("error", () => {
      status.textContent = "The film cannot be played: it is missing, or this browser cannot play its format.";
    });
    return {
      get time() { return start + film.currentTime; },
      get isPlaying() { return !film.paused && !film.ended; },
      seek: (time) => seekIn(film, clamp(time - start, 0, film.duration || Infinity)),
      toggle: () => (film.paused ? film.play() : film.pause()),
      onChange: (listener) => {
        for (const name of ["play", "seeking", "seeked", "timeupdate"]) film.addEventListener(name, listener);
      },
    };
  };

  // The tracks' own files: a clock, and the files of the tracks that are under it, each kept at the clock's time.
  const playTracks = () => {
    // Seconds before a track starts at which its file is opened, so that it starts in time.
    const prefetch = 3;
    // Seconds by which a file may differ from the clock: it plays a little faster or slower beyond the first, and
    // jumps beyond the second.
    const [fine, coarse] = [0.015, 0.15];
    // Seconds for which a file that is not loading may keep all others waiting.
    const patience = 10;
    // Seconds before the end of a file in which it keeps nobody waiting: there is nothing more to load.
    const tail = 0.3;

    const screens = document.querySelector(".screens");
    // Make the pictures as large as there is room for all of them, in pixels.
    const [gap, caption, smallest] = [8, 20, 112];
    const arrange = () => {
      const count = [...screens.children].filter((figure) => !figure.hidden).length;
      const [width, height] = [screens.clientWidth - gap, screens.clientHeight - gap];
      const widths = Array.from({ length: count }, (_, index) => {
        const columns = index + 1;
        const rowHeight = height / Math.ceil(count / columns) - gap - caption;
        return Math.min(width / columns - gap, (rowHeight * 16) / 9);
      });
      screens.style.setProperty("--tile", `${Math.floor(Math.max(smallest, ...widths))}px`);
    };
    new ResizeObserver(arrange).observe(screens);
    const button = document.querySelector(".play");
    const tracks = [...frame.querySelectorAll(".track[data-src]")].map((element) => {
      const start = Number(element.dataset.start) / 1000;
      return {
        element,
        start,
        end: start + Number(element.dataset.length) / 1000,
        // Time in the file = time on the axis + this: a file's own times count from the start of the room.
        shift: Number(element.dataset.fileStart) / 1000 - start,
        media: null,
        figure: null,
        waitsSince: null,
        isUnusable: false,
      };
    });
    let isPlaying = false;
    let isWaiting = false;
    let timer = null;
    let changed = () => {};
    let base = 0;
    let since = performance.now();
    const now = () => clamp(isPlaying && !isWaiting ? base + (performance.now() - since) / 1000 : base, 0, length);
    const anchor = (time) => {
      base = time;
      since = performance.now();
    };

    const drop = (track) => {
      track.isUnusable = true;
      track.element.classList.add("unusable");
      const count = tracks.filter((each) => each.isUnusable).length;
      status.textContent = count === 1 ? `A recording cannot be played: ${track.element.ariaLabel}.` : `${count} recordings cannot be played.`;
    };
    const open = (track) => {
      const isVideo = track.element.closest(".row").classList.contains("video");
      track.media = document.createElement(isVideo ? "video" : "audio");
      track.media.preload = "auto";
      track.media.addEventListener("error", () => drop(track));
      track.media.addEventListener("loadedmetadata", () => place(track, now()));
      track.media.src = track.element.dataset.src;
      if (isVideo) {
        track.figure = document.createElement("figure");
        const caption = document.createElement("figcaption");
        caption.append(document.createElement("bdi"));
        caption.firstChild.textContent = track.element.closest(".lane").querySelector(".who bdi").textContent;
        track.figure.append(track.media, caption);
        track.figure.hidden = true;
        const following = tracks.slice(tracks.indexOf(track) + 1).find(({ figure }) => figure);
        screens.insertBefore(track.figure, following?.figure ?? null);
      } else screens.after(track.media);
    };
    const close = (track) => {
      track.media.pause();
      if (track.media.src.startsWith("blob:")) URL.revokeObjectURL(track.media.src);
      track.media.removeAttribute("src");
      track.media.load();
      (track.figure ?? track.media).remove();
      arrange();
      Object.assign(track, { media: null, figure: null, waitsSince: null });
    };
    const fileTime = (track, time) => Math.max(0, Math.max(time, track.start) + track.shift);
    const place = (track, time) => seekIn(track.media, fileTime(track, time));
    const isUnder = (track, time) => track.start <= time && time < track.end;
    const isReady = ({ media, end }) => {
      if (media.ended || media.duration - media.currentTime < tail || end - now() < tail) return true;
      return !media.seeking && media.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA;
    };

    // Correct a file that has drifted from the clock: sound is bent by a percent or two, which nobody hears.
    const correct = (track, time) => {
      const { media } = track;
      const drift = media.currentTime - fileTime(track, time);
      if (Math.abs(drift) > coarse) place(track, time);
      media.playbackRate = Math.abs(drift) > fine ? 1 - clamp(drift / 2, -0.05, 0.05) : 1;
    };
    const run = (track, time, isRunning) => {
      const { media } = track;
      if (isRunning && isUnder(track, time) && !media.ended) {
        if (media.paused) media.play().catch((error) => error.name === "NotAllowedError" && setPlaying(false));
        else if (isReady(track)) correct(track, time);
      } else if (!media.paused) media.pause();
    };
    const keepsWaiting = (track) => {
      if (isReady(track)) track.waitsSince = null;
      else track.waitsSince ??= performance.now();
      const isStuck = track.waitsSince !== null && track.media.networkState !== HTMLMediaElement.NETWORK_LOADING;
      if (isStuck && performance.now() - track.waitsSince > patience * 1000) drop(track);
      return track.waitsSince !== null && !track.isUnusable;
    };

    const showFigure = ({ figure }, isShown) => {
      if (!figure || figure.hidden !== isShown) return;
      figure.hidden = !isShown;
      arrange();
    };
    const tick = () => {
      const time = now();
      const wanted = (track) => track.start - prefetch <= time && time < track.end && !track.isUnusable;
      for (const track of tracks) {
        if (track.media && !wanted(track)) close(track);
        else if (!track.media && wanted(track)) open(track);
      }
      const opened = tracks.filter((track) => track.media);
      const under = opened.filter((track) => isUnder(track, time));
      for (const track of opened) showFigure(track, under.includes(track));
      const waits = under.filter(keepsWaiting).length > 0;
      if (waits !== isWaiting) {
        anchor(time);
        isWaiting = waits;
      }
      if (time >= length) setPlaying(false);
      for (const track of opened) run(track, time, isPlaying && !isWaiting);
    };
    const setPlaying = (playing) => {
      anchor(now());
      isPlaying = playing;
      button.textContent = playing ? "Pause" : "Play";
      clearInterval(timer);
      if (playing) timer = setInterval(tick, 50);
      changed();
    };
    const seek = (time) => {
      anchor(clamp(time, 0, length));
      for (const track of tracks) if (track.media) place(track, base);
      tick();
    };
    const toggle = () => {
      if (!isPlaying && now() >= length) seek(0);
      setPlaying(!isPlaying);
      tick();
    };
    button.addEventListener("click", toggle);
    button.hidden = false;
    screens.hidden = !frame.querySelector(".row.video .track[data-src]");
    tick();
    return {
      get time() { return now(); },
      get isPlaying() { return isPlaying; },
      seek,
      toggle,
      onChange: (listener) => { changed = listener; },
    };
  };

  const film = document.querySelector("video.film");
  const player = film ? playFilm(film) : playTracks();

  // Scroll on when the cursor leaves the view while it runs, but not when the view was scrolled away from it.
  let wasInView = true;
  const follow = () => {
    const view = frame.getBoundingClientRect();
    const left = frame.querySelector(".corner").getBoundingClientRect().right;
    const { x } = cursor.getBoundingClientRect();
    const isInView = left <= x && x <= view.left + frame.clientWidth;
    if (wasInView && x > view.left + frame.clientWidth && player.isPlaying) frame.scrollLeft += (x - left) * 0.9;
    wasInView = isInView || (wasInView && player.isPlaying);
  };
  const show = () => {
    const time = clamp(player.time, 0, length);
    cursor.style.left = `${(time / length) * 100}%`;
    thumb.style.setProperty("--at", time / length);
    const text = `${format(time)} of ${format(length)}`;
    if (thumb.ariaValueText === text) return;
    thumb.ariaValueNow = Math.floor(time);
    thumb.ariaValueText = text;
    thumb.dataset.time = format(time);
  };
  const seek = (time) => {
    wasInView = true;
    player.seek(clamp(time, 0, length));
    show();
  };

  const timeAt = (event) => {
    const box = ruler.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * length;
  };
  // Before the track that was clicked gets the focus.
  frame.addEventListener("click", (event) => {
    if (event.target.closest(".lane") && !event.target.closest(".label")) seek(timeAt(event));
  }, true);
  const axis = frame.querySelector(".axis");
  axis.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest(".corner")) return;
    axis.setPointerCapture(event.pointerId);
    seek(timeAt(event));
  });
  axis.addEventListener("pointermove", (event) => {
    if (axis.hasPointerCapture(event.pointerId)) seek(timeAt(event));
  });

  const page = Math.max(10, length / 20);
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -page, PageUp: page };
  const slide = { Home: () => 0, End: () => length };
  for (const [key, step] of Object.entries(steps)) slide[key] = () => player.time + step;
  thumb.addEventListener("keydown", (event) => {
    const target = slide[event.key];
    if (!target || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    seek(target());
  });
  frame.addEventListener("keydown", (event) => {
    if (event.target.closest("button") || event.ctrlKey || event.altKey || event.metaKey) return;
    const track = event.target.closest(".track");
    if (event.key === " ") player.toggle();
    else if (event.key === "Enter" && track) seek((Number.parseFloat(track.style.getPropertyValue("--l")) || 0) * length);
    else return;
    event.preventDefault();
  });

  // Once a second is motion enough for those who asked for less.
  const interval = isReduced.matches ? 1000 : 0;
  let isDrawing = false;
  let drawn = 0;
  const draw = (at) => {
    if (at - drawn >= interval) {
      drawn = at;
      show();
      follow();
    }
    isDrawing = player.isPlaying;
    if (isDrawing) requestAnimationFrame(draw);
    else show();
  };
  player.onChange(() => {
    if (!isDrawing) requestAnimationFrame(draw);
    isDrawing = true;
  });
  thumb.hidden = false;
  cursor.hidden = false;
  show();
})();
