// Keeps the page fresh: the server renders sections, this puts them where the old ones were, and draws the charts.
"use strict";
(() => {
  const root = document.documentElement, live = document.getElementById("live");
  const hour = 720; // samples, as the server keeps
  let rows = [], charts = [], asOf = "", ticks = 0;

  // A section that has the focus keeps it: its buttons are the same by what they copy.
  const put = (name, html) => {
    const section = document.getElementById(name);
    const focused = section.contains(document.activeElement) ? document.activeElement.dataset.copy : undefined;
    section.innerHTML = html;
    if (focused === undefined) return;
    for (const b of section.querySelectorAll("button")) if (b.dataset.copy === focused) b.focus();
  };

  const bytes = v => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    while (v >= 1024 && i < units.length - 1) { v /= 1024; i++; }
    return (i === 0 ? Math.round(v) : v.toFixed(1)) + " " + units[i];
  };
  const plain = unit => v => (v >= 100 ? Math.round(v) : Number(v.toFixed(1))) + unit;

  const draw = () => {
    for (const c of charts) c.destroy();
    charts = [];
    const color = name => getComputedStyle(root).getPropertyValue("--" + name).trim();
    const sync = uPlot.sync("hour");
    const make = (id, title, format, series) => {
      const place = document.getElementById(id);
      charts.push(new uPlot({
        title, width: place.clientWidth, height: 150, cursor: { sync: { key: sync.key } },
        tzDate: at => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
        series: [{}].concat(series.map(s => ({
          label: s[0], stroke: color(s[1]), width: 1.5, dash: s[2], points: { show: false },
          value: (_, v) => v == null ? "-" : format(v),
        }))),
        axes: [
          {
            stroke: color("soft"), grid: { stroke: color("line"), width: 1 },
            values: (_, all) => all.map(v => new Date(v * 1e3).toISOString().slice(11, 19)),
          },
          { stroke: color("soft"), grid: { stroke: color("line"), width: 1 }, size: 80, values: (_, all) => all.map(format) },
        ],
        scales: { y: { range: (_, low, high) => [0, Math.max(high, 1)] } },
      }, [[]], place));
    };
    make("chart-bytes", "WAL", bytes, [["behind", "busy"], ["retained", "warn", [6, 3]]]);
    make("chart-lag", "Lag", plain(" s"), [["lag", "busy"]]);
    make("chart-rows", "Changes per second", plain(""), [
      ["created", "good"], ["updated", "busy", [6, 3]], ["deleted", "bad", [2, 2]], ["read", "warn", [8, 2, 2, 2]]]);
    fill();
  };
  const fill = () => {
    const column = i => rows.map(r => r[i]);
    const sets = [[1, 2], [3], [4, 5, 6, 7]];
    charts.forEach((c, i) => c.setData([column(0)].concat(sets[i].map(column))));
  };

  const take = event => {
    const u = JSON.parse(event.data);
    for (const [name, html] of Object.entries(u.sections)) put(name, html);
    if (event.type === "snapshot") rows = [];
    rows = rows.concat(u.samples || []).slice(-hour);
    if ((u.samples || []).length > 0 && charts.length > 0) fill();
    asOf = u.time.slice(11, 19) + "Z";
    live.textContent = "Live, as of " + asOf;
    root.classList.add("connected");
    root.classList.remove("lost");
    root.dataset.ticks = ++ticks;
    root.dataset.samples = rows.length;
    const state = document.querySelector(".pill");
    document.title = document.querySelector("h1").textContent + ": " + state.textContent.trim().slice(2) + " - tributary";
  };
  const lost = () => {
    root.classList.remove("connected");
    root.classList.add("lost");
    live.textContent = "Connection lost: " + (asOf ? "the numbers are of " + asOf : "the numbers are as old as this page");
  };

  const copy = async button => {
    const text = button.dataset.copy;
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
    } else { // a page over plain HTTP may not write the clipboard in the modern way
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  };

  root.classList.add("scripted");
  document.getElementById("charts").hidden = false;
  document.addEventListener("click", e => { if (e.target.matches("button.copy")) copy(e.target); });
  document.addEventListener("mouseover", e => {
    const time = e.target.closest("time");
    if (time) time.title = new Date(time.dateTime).toLocaleString() + " here";
  });
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  const events = new EventSource("events");
  events.addEventListener("snapshot", take);
  events.addEventListener("tick", take);
  events.addEventListener("error", lost);
})();
