"use strict";
// Plays the films of expert and learner together, and draws both as stick figures.
const { last, films } = JSON.parse(document.getElementById("data").textContent);
const all = (selector) => [...document.querySelectorAll(selector)];
const expert = films.expert;
// How long a stride of the expert takes in the world (s).
const expertStride = expert && expert.period ? expert.period / expert.rate : null;
// `time` counts seconds of the world in mode "real", strides of the expert in mode "stride".
const state = { picked: last, mode: "real", speed: 1, playing: false, time: 0 };

function duration() {
  if (state.mode === "stride") return 1;
  return Math.max(0.1, ...[expert, films[state.picked]].filter(Boolean).map((f) => f.seconds / f.rate));
}
function timeIn(film) {
  if (state.mode === "real") return Math.min(state.time * film.rate, film.seconds - 0.001);
  if (film.period) return film.start + state.time * film.period;
  return (state.time * expertStride * film.rate) % film.seconds;
}
function playbackRate(film) {
  const rate = state.mode === "stride" && film.period ? film.period / expertStride : film.rate;
  return Math.min(16, Math.max(0.0625, rate * state.speed));
}

function synchronise(video, jump) {
  const film = films[video.dataset.film];
  if (!film || video.readyState < 1) return;
  const target = timeIn(film);
  const ended = state.mode === "real" && state.time * film.rate >= film.seconds;
  const running = state.playing && !ended;
  video.playbackRate = playbackRate(film);
  if (jump || !running || Math.abs(video.currentTime - target) > 0.12) {
    if (Math.abs(video.currentTime - target) > 0.005) video.currentTime = target;
  }
  if (running && video.paused) video.play().catch(() => {});
  if (!running && !video.paused) video.pause();
}

function show(jump) {
  all("video").forEach((video) => synchronise(video, jump));
  document.getElementById("scrub").value = Math.round((1000 * state.time) / duration());
  document.getElementById("clock").textContent = state.mode === "real"
    ? `${state.time.toFixed(2)} s of ${duration().toFixed(2)}`
    : `${Math.round(100 * state.time)} % of the stride`;
  draw();
}

function draw() {
  const canvas = document.getElementById("figures");
  if (!canvas) return;
  const density = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * density)) {
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
  }
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const scale = height / 2.45, ground = height - 0.16 * scale; // pixels of a leg length
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.strokeStyle = color("--line"); pen.lineWidth = 1;
  pen.beginPath(); pen.moveTo(0, ground); pen.lineTo(width, ground); pen.stroke();
  pen.lineCap = pen.lineJoin = "round";
  for (const [film, name, lineWidth] of [[expert, "--expert", 7], [films[state.picked], "--learner", 3.5]]) {
    const figure = film && film.figure;
    if (!figure) continue;
    const end = figure.frames.length - 1;
    const frame = Math.min(end, Math.max(0, (timeIn(film) - film.begins) * figure.fps));
    const before = figure.frames[Math.floor(frame)], after = figure.frames[Math.min(end, Math.ceil(frame))];
    const at = (k) => (before[k] + (after[k] - before[k]) * (frame % 1)) / figure.unit * scale;
    pen.strokeStyle = color(name); pen.lineWidth = lineWidth;
    for (const side of [2, 0, 1]) { // the far leg first, so that the near one covers it
      pen.globalAlpha = side === 2 ? 0.4 : 0.9;
      for (const [i, j, boneSide] of figure.bones) {
        if (boneSide !== side) continue;
        pen.beginPath();
        pen.moveTo(width / 2 + at(2 * i), ground - at(2 * i + 1));
        pen.lineTo(width / 2 + at(2 * j), ground - at(2 * j + 1));
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
  }
}

let previous = null;
function tick(now) {
  if (state.playing && previous !== null) {
    const step = Math.min(0.1, (now - previous) / 1000) * state.speed;
    state.time += state.mode === "stride" ? step / expertStride : step;
    const wrapped = state.time >= duration();
    if (wrapped) state.time %= duration();
    show(wrapped);
  }
  previous = now;
  requestAnimationFrame(tick);
}

function press(selector, pressed) {
  all(selector).forEach((button) => button.setAttribute("aria-pressed", String(button === pressed)));
}
function play(on) {
  state.playing = on;
  document.getElementById("play").textContent = on ? "Pause" : "Play";
  show(false);
}
function pick(name) {
  if (!(name in films) || name === "expert") return;
  state.picked = name;
  const button = document.querySelector(`[data-pick="${name}"]`);
  press("[data-pick]", button);
  button.scrollIntoView({ block: "nearest", inline: "nearest" });
  all("[data-iteration]").forEach((e) => { e.hidden = e.dataset.iteration !== name; });
  all("[data-column]").forEach((e) => e.classList.toggle("chosen", e.dataset.column === name));
  const column = document.querySelector(`th[data-column="${name}"]`), table = column && column.closest(".scroll");
  if (table) table.scrollLeft = column.offsetLeft + column.offsetWidth - table.clientWidth;
  const video = document.querySelector('video[data-role="learner"]');
  if (video) {
    video.hidden = !films[name];
    video.dataset.film = name;
    if (films[name]) video.src = films[name].src;
  }
  state.time = Math.min(state.time, duration());
  show(true);
}

all("[data-pick]").forEach((button) => button.addEventListener("click", () => {
  pick(button.dataset.pick);
  history.replaceState(null, "", "#" + button.dataset.pick);
}));
all("[data-mode]").forEach((button) => {
  button.disabled = button.dataset.mode === "stride" && !expertStride;
  button.addEventListener("click", () => {
    state.mode = button.dataset.mode;
    state.time = 0;
    press("[data-mode]", button);
    show(true);
  });
});
all("[data-speed]").forEach((button) => button.addEventListener("click", () => {
  state.speed = Number(button.dataset.speed);
  press("[data-speed]", button);
  show(false);
}));
all("video").forEach((video) => video.addEventListener("loadedmetadata", () => synchronise(video, true)));
document.getElementById("play").addEventListener("click", () => play(!state.playing));
document.getElementById("scrub").addEventListener("input", (event) => {
  state.time = Math.min(event.target.value / 1000, 0.9999) * duration();
  play(false);
  show(true);
});
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
pick(decodeURIComponent(location.hash.slice(1)) || state.picked);
play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
requestAnimationFrame(tick);
