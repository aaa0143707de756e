// The pictures of a parameter, drawn with Plotly when its row is first opened.
"use strict";

(function () {
  const WORDS = { p: "pass", n: "pass, lost in the noise", i: "inconclusive", f: "fail", e: "error", "-": "not checked", ".": "" };
  const DECADES = ["1e-16", "1e-12", "1e-8", "1e-4", "1"];

  const styles = () => getComputedStyle(document.documentElement);
  const color = (name) => styles().getPropertyValue(`--${name}`).trim();
  const number = (value) => (value === "nan" ? NaN : value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const logOf = (value) => Math.log10(Math.max(number(value), 1e-17));

  function baseLayout(extra) {
    const axis = {
      color: color("muted"), gridcolor: color("line"), zeroline: false, linecolor: color("strong-line"),
      exponentformat: "e", automargin: true, tickfont: { size: 11 }, title: { font: { size: 12 }, standoff: 8 },
    };
    const merged = Object.assign({
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      // a finger scrolls the page, a mouse zooms
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      margin: { l: 48, r: 12, t: 8, b: 40 }, font: { family: styles().getPropertyValue("--sans"), size: 12, color: color("ink") },
      hoverlabel: { align: "left", bgcolor: color("surface"), bordercolor: color("strong-line"), font: { family: styles().getPropertyValue("--mono"), size: 12, color: color("ink") } },
      legend: { orientation: "h", y: -0.28, x: 0, font: { color: color("muted"), size: 11 } },
    }, extra);
    merged.xaxis = Object.assign({}, axis, extra.xaxis, { title: Object.assign({}, axis.title, { text: (extra.xaxis || {}).label || "" }) });
    merged.yaxis = Object.assign({}, axis, extra.yaxis, { title: Object.assign({}, axis.title, { text: (extra.yaxis || {}).label || "" }) });
    delete merged.xaxis.label;
    delete merged.yaxis.label;
    return merged;
  }

  function indexOf(position, shape) {
    const index = [];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index.unshift(position % shape[axis]);
      position = Math.floor(position / shape[axis]);
    }
    return `[${index.join(", ")}]`;
  }

  function range(first, block, size) {
    const last = Math.min(first + block, size) - 1;
    return first === last ? `${first}` : `${first}–${last}`;
  }

  // where a cell stands: its entry's index, and the entries that it stands for
  function cellPlace(slice, shape, row, column) {
    const columns = slice.state[0].length;
    if (slice.kind === "vector") {
      const first = (row * columns + column) * slice.column_block;
      const at = slice.entry ? slice.entry[row][column] : first;
      const stands = slice.column_block > 1 ? `worst of ${range(first, slice.column_block, slice.columns)}` : "";
      return [indexOf(at, shape), stands];
    }
    if (slice.entry) {
      const rows = range(row * slice.row_block, slice.row_block, slice.rows);
      const cols = range(column * slice.column_block, slice.column_block, slice.columns);
      const stands = slice.kind === "overview" ? "worst of its slice" : `worst of rows ${rows}, columns ${cols}`;
      return [indexOf(slice.entry[row][column], shape), stands];
    }
    const index = [...slice.at, row, column];
    return [`[${shape.length === 0 ? "" : index.join(", ")}]`, ""];
  }

  function cellText(slice, shape, row, column, oracle) {
    const state = slice.state[row][column];
    if (state === " ") return "";
    const [index, stands] = cellPlace(slice, shape, row, column);
    const lines = [`<b>${escaped(index)}</b> ${WORDS[state] || ""}`];
    if (stands) lines.push(escaped(stands));
    lines.push(`analytic ${escaped(slice.analytic[row][column])}`);
    lines.push(`${escaped(oracle === "central" ? "numeric" : oracle)} ${escaped(slice.reference[row][column])}`);
    if (slice.autograd) lines.push(`autograd ${escaped(slice.autograd[row][column])}`);
    lines.push(`relative error ${escaped(slice.relative_error[row][column])}`);
    lines.push(`uncertainty ${escaped(slice.uncertainty[row][column])}`);
    return lines.join("<br>");
  }

  // an axis label for a row or a column: where its entries begin
  function starts(count, block) {
    return Array.from({ length: count }, (_, i) => i * block);
  }

  function heatMap(element, slice, shape, oracle, withBar) {
    const rows = slice.state.length;
    const columns = slice.state[0].length;
    const z = slice.state.map((letters, r) => Array.from(letters, (letter, c) => (
      letter === " " || letter === "-" || letter === "n" ? null : Math.min(0, logOf(slice.relative_error[r][c])) || 0)));
    const text = slice.state.map((letters, r) => Array.from(letters, (_, c) => cellText(slice, shape, r, c, oracle)));
    const width = element.clientWidth || 600;
    // cells may be up to four times as wide as high, or as high as wide, so that long arrays fill a picture
    const room = [(width - 120) / columns, 420 / rows].map((size) => Math.max(2, Math.min(30, size)));
    const cellWidth = Math.min(room[0], 4 * room[1]);
    const cellHeight = Math.min(room[1], 4 * room[0]);
    const cell = Math.min(cellWidth, cellHeight);
    const height = Math.max(90, Math.round(cellHeight * rows) + 54);
    const traces = [{
      type: "heatmap", z, text, hoverinfo: "text", zmin: -16, zmax: 0, hoverongaps: true,
      xgap: cell > 6 ? 1 : 0, ygap: cell > 6 ? 1 : 0, showscale: withBar,
      colorscale: [0, 1, 2, 3, 4].map((i) => [i / 4, color(`heat-${i}`)]),
      colorbar: { thickness: 10, outlinewidth: 0, len: 1, y: 0.5, ypad: 0, tickvals: [-16, -12, -8, -4, 0], ticktext: DECADES, tickfont: { size: 11, color: color("muted") } },
    }];
    [["f", "x-thin", "fail"], ["i", "diamond-open", "inconclusive"], ["n", "circle", "muted"]].forEach(([letter, symbol, tone]) => {
      const x = [];
      const y = [];
      slice.state.forEach((letters, r) => Array.from(letters).forEach((each, c) => {
        if (each === letter) { x.push(c); y.push(r); }
      }));
      if (!x.length) return;
      const size = letter === "n" ? 2 : Math.max(3, Math.min(9, cell * 0.45));
      // a sign on a cell of the far end of the scale takes the page's colour, to be seen
      const tones = x.map((c, i) => (z[y[i]][c] !== null && z[y[i]][c] > -6 ? color("page") : color(tone)));
      traces.push({
        type: "scatter", mode: "markers", x, y, hoverinfo: "skip",
        marker: { symbol, size, color: tones, line: { color: tones, width: letter === "n" ? 0 : 1.75 } },
      });
    });
    const plotWidth = Math.min(width, Math.round(cellWidth * columns) + 70 + (withBar ? 70 : 10));
    const ticks = (count, block, size) => {
      const every = size >= 20 && count <= 12 ? 1 : Math.ceil(count / Math.max(1, Math.min(8, (count * size) / 45)));
      const at = starts(count, 1).filter((i) => i % every === 0);
      return { tickvals: at, ticktext: at.map((i) => String(i * block)) };
    };
    const folded = slice.kind === "vector" && rows > 1;
    const layout = baseLayout({
      width: plotWidth, height, margin: { l: 44, r: withBar ? 60 : 8, t: 12, b: 30 },
      xaxis: Object.assign({ showgrid: false, constrain: "domain", range: [-0.5, columns - 0.5] }, ticks(columns, slice.column_block, cellWidth)),
      yaxis: Object.assign({ showgrid: false, range: [rows - 0.5, -0.5] },
        slice.kind === "vector" ? (folded ? ticks(rows, columns * slice.column_block, cellHeight) : { tickvals: [] }) : ticks(rows, slice.row_block, cellHeight)),
    });
    return Plotly.react(element, traces, layout, config());
  }

  // no bar of buttons: it would cover the first row of a heat map
  function config() {
    return { displayModeBar: false, responsive: false, doubleClick: "reset" };
  }

  function drawGrids(element, parameter) {
    const grids = parameter.grids;
    const many = grids.slices.length > 1;
    if (!element.childElementCount) {
      if (many) element.classList.add("slices");
      grids.slices.forEach((slice) => {
        const box = document.createElement("div");
        if (slice.kind === "overview") box.className = "overview";
        if (many) {
          const title = document.createElement("p");
          title.className = "slice-title";
          title.textContent = slice.kind === "overview" ? "Each cell is a slice over the last two dimensions" : `[${slice.at.join(", ")}, :, :]`;
          box.append(title);
        }
        const plot = document.createElement("div");
        box.append(plot);
        element.append(box);
      });
      const states = new Set(grids.slices.flatMap((slice) => slice.state).join(""));
      const notes = [];
      if (states.has("f")) notes.push("× wrong");
      if (states.has("i")) notes.push("◇ undecided");
      if (states.has("n")) notes.push("· right, but lost in the noise");
      if (states.has("-")) notes.push("blank: not checked");
      if (grids.slices.some((slice) => slice.entry && slice.kind !== "overview")) notes.push("a cell shows the worst of its entries");
      if (grids.left_out) notes.push(`${grids.left_out} further slices are not shown`);
      element.parentElement.querySelector(".more").textContent = notes.length ? ` (${notes.join("; ")})` : "";
    }
    grids.slices.forEach((slice, i) => {
      heatMap(element.children[i].lastElementChild, slice, parameter.shape, grids.oracle, i === 0);
    });
  }

  function drawScatter(element, parameter) {
    const data = parameter.scatter;
    const groups = [["pn.", "circle", "accent", "pass"], ["i", "diamond-open", "inconclusive", "inconclusive"], ["fe", "x", "fail", "fail"], ["", "circle", "muted", ""]];
    const all = data.analytic.concat(data.reference);
    const low = Math.min(...all);
    const high = Math.max(...all);
    const traces = [{ type: "scatter", mode: "lines", x: [low, high], y: [low, high], hoverinfo: "skip", line: { color: color("strong-line"), width: 1 } }];
    groups.forEach(([letters, symbol, tone, name]) => {
      const chosen = Array.from(data.state).flatMap((letter, i) => (letters.includes(letter) ? [i] : []));
      if (!chosen.length) return;
      traces.push({
        type: "scatter", mode: "markers", name, x: chosen.map((i) => data.reference[i]), y: chosen.map((i) => data.analytic[i]),
        text: chosen.map((i) => `<b>${indexOf(data.entry[i], parameter.shape)}</b> ${WORDS[data.state[i]]}<br>analytic ${data.analytic[i]}<br>${escaped(data.oracle)} ${data.reference[i]}`),
        hoverinfo: "text", marker: { symbol, size: tone === "fail" ? 7 : 6, color: color(tone), opacity: 0.75, line: { color: color(tone), width: 1 } },
      });
    });
    return Plotly.react(element, traces, baseLayout({ width: element.clientWidth, height: 300, xaxis: { label: escaped(data.oracle) }, yaxis: { label: "analytic" } }), config());
  }

  function drawHistogram(element, parameter) {
    const data = parameter.histogram;
    const middles = data.counts.map((_, i) => (data.edges[i] + data.edges[i + 1]) / 2);
    const widths = data.counts.map((_, i) => data.edges[i + 1] - data.edges[i]);
    const text = data.counts.map((count, i) => `${count} entries<br>1e${data.edges[i]} to 1e${data.edges[i + 1]}`);
    const resolution = number(data.resolution);
    const shapes = Number.isFinite(resolution) && resolution > 0
      ? [{ type: "line", x0: Math.log10(resolution), x1: Math.log10(resolution), y0: 0, y1: 1, yref: "paper", line: { color: color("ink"), width: 1.5, dash: "dash" } }] : [];
    const ends = middles.length ? [data.edges[0], data.edges[data.edges.length - 1]] : [-16, 0];
    if (shapes.length) { ends[0] = Math.min(ends[0], shapes[0].x0 - 0.5); ends[1] = Math.max(ends[1], shapes[0].x0 + 0.5); }
    const notes = [];
    if (data.zero) notes.push(`${data.zero} agree exactly`);
    if (data.non_finite) notes.push(`${data.non_finite} are not finite`);
    if (data.in_noise) notes.push(`${data.in_noise} are lost in the noise`);
    element.parentElement.querySelector(".more").textContent = notes.length ? ` Not drawn: ${notes.join(", ")}.` : "";
    const step = Math.max(1, Math.ceil((ends[1] - ends[0]) / 6));
    const ticks = [];
    for (let at = Math.ceil(ends[0]); at <= ends[1]; at += step) ticks.push(at);
    return Plotly.react(element, [{ type: "bar", x: middles, y: data.counts, width: widths, text, textposition: "none", hoverinfo: "text", marker: { color: color("accent"), line: { color: color("page"), width: 1 } } }],
      baseLayout({ width: element.clientWidth, height: 300, shapes, xaxis: { label: "relative error", range: ends, tickvals: ticks, ticktext: ticks.map((t) => (t === 0 ? "1" : `1e${t}`)), showgrid: false }, yaxis: { label: "entries" } }), config());
  }

  function drawSteps(element, parameter) {
    const curve = parameter.curves[Number(element.dataset.curve)];
    const points = curve.step.map((h, i) => [h, number(curve.error[i])]).filter(([, e]) => Number.isFinite(e) && e > 0);
    const errors = points.map(([, e]) => e);
    const low = Math.log10(Math.min(...errors)) - 0.5;
    const high = Math.log10(Math.max(...errors)) + 0.4;
    const traces = [];
    const slope = (coefficient, power, name, dash) => {
      const y = curve.step.map((h) => coefficient * h ** power);
      traces.push({ type: "scatter", mode: "lines", x: curve.step, y, name, hoverinfo: "name", line: { color: color("strong-line"), width: 1.25, dash } });
    };
    if (curve.roundoff) slope(number(curve.roundoff.coefficient), -1, "roundoff", "dot");
    if (curve.truncation) slope(number(curve.truncation.coefficient), 2, "truncation", "dash");
    traces.push({
      type: "scatter", mode: "lines+markers", name: "measured", x: points.map(([h]) => h), y: errors,
      hovertemplate: "step %{x:.3g}<br>error %{y:.3g}<extra></extra>", line: { color: color("accent"), width: 2 }, marker: { size: 5 },
    });
    const shapes = [{ type: "line", x0: curve.chosen_step, x1: curve.chosen_step, y0: 0, y1: 1, yref: "paper", line: { color: color("ink"), width: 1, dash: "dash" } }];
    const annotations = [{ x: Math.log10(curve.chosen_step), y: 1, yref: "paper", text: "chosen step", showarrow: false, xanchor: "left", yanchor: "top", font: { size: 11, color: color("muted") } }];
    const uncertainty = number(curve.uncertainty);
    if (Number.isFinite(uncertainty) && uncertainty > 0) {
      shapes.unshift({ type: "rect", layer: "below", x0: 0, x1: 1, xref: "paper", y0: 10 ** Math.min(low, Math.log10(uncertainty) - 1), y1: uncertainty, fillcolor: color("accent"), opacity: 0.12, line: { width: 0 } });
      annotations.push({ x: 0, xref: "paper", y: Math.log10(uncertainty), text: "uncertainty", showarrow: false, xanchor: "left", yanchor: "top", font: { size: 11, color: color("muted") } });
    }
    const bottom = uncertainty > 0 ? Math.min(low, Math.log10(uncertainty) - 0.7) : low;
    return Plotly.react(element, traces, baseLayout({
      width: element.clientWidth, height: 320, shapes, annotations, showlegend: true,
      xaxis: { type: "log", label: "step", nticks: 7 }, yaxis: { type: "log", label: "error", range: [bottom, Math.max(high + 0.8, bottom + 1)], nticks: 7 },
    }), config());
  }

  function drawLine(element, parameter) {
    const curve = parameter.curves[Number(element.dataset.curve)];
    const x = curve.offset;
    const traces = [];
    const tangent = (slope, name, tone, dash, side) => {
      if (!Number.isFinite(slope)) return;
      const at = x.filter((t) => side === 0 || t * side >= 0);
      traces.push({ type: "scatter", mode: "lines", name, x: at, y: at.map((t) => slope * t), hoverinfo: "name", line: { color: color(tone), width: 1.5, dash } });
    };
    tangent(number(curve.analytic), "analytic slope", "fail", "dash", 0);
    if (curve.kink) {
      tangent(number(curve.kink.left_slope), "left slope", "inconclusive", "dot", -1);
      tangent(number(curve.kink.right_slope), "right slope", "pass", "dashdot", 1);
    }
    traces.push({
      type: "scatter", mode: "lines", name: "loss", x, y: curve.loss.map(number), line: { color: color("accent"), width: 2.25 },
      hovertemplate: "offset %{x:.3g}<br>change of the loss %{y:.4g}<extra></extra>",
    });
    return Plotly.react(element, traces, baseLayout({ width: element.clientWidth, height: 320, showlegend: true, xaxis: { label: "offset", nticks: 7 }, yaxis: { label: "change of the loss", nticks: 7 } }), config());
  }

  const DRAW = { grids: drawGrids, scatter: drawScatter, histogram: drawHistogram, steps: drawSteps, line: drawLine };
  const parsed = new Map();

  function dataOf(id) {
    if (!parsed.has(id)) parsed.set(id, JSON.parse(document.getElementById(id).textContent));
    return parsed.get(id);
  }

  function draw(pictures) {
    const parameter = dataOf(pictures.dataset.source).parameters[Number(pictures.dataset.parameter)];
    if (!parameter) return;
    pictures.hidden = false;
    pictures.querySelectorAll(".plot").forEach((element) => {
      try {
        DRAW[element.dataset.kind](element, parameter);
      } catch (problem) {
        element.textContent = "This picture cannot be drawn from the report's data.";
        console.error(problem);
      }
    });
  }

  // those that are open and on the sheet shown; the rest when they are opened
  function drawVisible() {
    document.querySelectorAll("details.parameter[open] .pictures").forEach((pictures) => {
      if (pictures.closest("details").getClientRects().length) draw(pictures);
    });
  }

  function start() {
    document.querySelectorAll("details.parameter").forEach((row) => row.addEventListener("toggle", () => {
      if (row.open) row.querySelectorAll(".pictures").forEach(draw);
    }));
    document.addEventListener("sheet-shown", drawVisible);
    [matchMedia("(prefers-color-scheme: dark)"), matchMedia("print")].forEach((query) => query.addEventListener("change", drawVisible));
    let width = document.documentElement.clientWidth;
    let waiting = 0;
    addEventListener("resize", () => {
      if (document.documentElement.clientWidth === width) return;
      width = document.documentElement.clientWidth;
      clearTimeout(waiting);
      waiting = setTimeout(drawVisible, 150);
    });
    drawVisible();
  }

  // in a single file plotly.js is compressed; the browser unpacks it
  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  const packed = document.getElementById("plotly-packed");
  if (packed) unpack(packed).then(start);
  else if (typeof Plotly !== "undefined") start();
})();
