/* Draws what happened around a fault: who led, who answered, what clients achieved, what the logs say. No library. */
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const STATES = { writes: ["takes writes", "var(--kept)"], reads: ["read-only", "var(--reads)"], silent: ["no answer", "var(--silent)"] };
  const LEFT = 92, RIGHT = 14, ROW = 20, RATES = 120, EVENTS = 20, AXIS = 24, TOP = 26;

  function node(name, attributes, parent, text) {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  }

  class Picture {
    constructor(place, data) {
      this.place = place; this.data = data;
      this.members = [...new Set(data.periods.map((one) => one.member))].sort();
      const named = data.groups.map((group, number) => [`leader, group ${number}`, group.filter((member) => this.members.includes(member))]);
      const groups = named.filter(([, members]) => members.length);
      this.groups = groups.length > 1 ? groups : [["who led", this.members]];
      const first = Math.min(0, ...data.periods.map((one) => one.begun));
      this.whole = [Math.max(first, -8), Math.max(data.ended, 1)];
      this.shown = [...this.whole];
      this.tip = place.appendChild(Object.assign(document.createElement("div"), { className: "tip", hidden: true }));
      this.draw();
      new ResizeObserver(() => { if (this.width !== place.clientWidth) this.draw(); }).observe(place);
      place.tabIndex = 0;
      place.addEventListener("keydown", (event) => this.key(event));
    }

    x(second) { return LEFT + (second - this.shown[0]) / (this.shown[1] - this.shown[0]) * (this.width - LEFT - RIGHT); }
    second(x) { return this.shown[0] + (x - LEFT) / (this.width - LEFT - RIGHT) * (this.shown[1] - this.shown[0]); }

    draw() {
      const { data, place } = this;
      this.width = Math.max(place.clientWidth, 300);
      if (this.svg) this.svg.remove();
      const rates = [["writes", data.rates, data.gap], ["reads", data.reads, null]].filter(([, one]) => one), lines = this.members.length + this.groups.length;
      this.bottom = TOP + lines * ROW + rates.length * (RATES + 22) + EVENTS;
      const height = this.bottom + AXIS;
      this.svg = node("svg", { viewBox: `0 0 ${this.width} ${height}`, height, role: "img", "aria-label": `what happened in ${data.promise}` });
      place.prepend(this.svg);
      const clip = `clip-${Math.random().toString(36).slice(2)}`;
      node("rect", { x: LEFT, y: 0, width: this.width - LEFT - RIGHT, height }, node("clipPath", { id: clip }, node("defs", {}, this.svg)));
      this.inside = node("g", { "clip-path": `url(#${clip})` }, this.svg);
      this.spans(height);
      this.rows();
      rates.forEach(([what, one, gap], number) => this.rates(what, one, gap, TOP + lines * ROW + 18 + number * (RATES + 22), RATES));
      this.events(this.bottom - EVENTS / 2);
      this.axis();
      this.cursor = node("line", { y1: TOP - 6, y2: this.bottom, stroke: "var(--ink)", "stroke-width": 1, visibility: "hidden" }, this.inside);
      this.selection = node("rect", { y: TOP - 6, height: this.bottom - TOP, fill: "var(--link)", opacity: 0.15, visibility: "hidden" }, this.inside);
      this.listen();
    }

    rect(begun, ended, y, height, fill, more = {}) {
      const x = this.x(begun);
      return node("rect", { x, y, width: Math.max(this.x(ended) - x, 0.5), height, fill, ...more }, this.inside);
    }

    spans() {
      for (const one of this.data.faults.filter((each) => each.preparation)) {
        this.line(one.begun, "var(--quiet)", "");
        node("text", { x: this.x(one.begun) + 4, y: 13, class: "quiet" }, this.inside, `prepared: ${one.words}`);
      }
      for (const one of this.data.faults.filter((each) => !each.preparation)) {
        const end = one.healed ?? one.healing ?? this.data.ended;
        this.rect(one.begun, end, TOP - 6, this.bottom - TOP + 6, "var(--fault)", { opacity: 0.08 });
        this.line(one.begun, "var(--fault)", "");
        if (one.in_effect !== null) this.line(one.in_effect, "var(--fault)", "2 3");
        if (one.healing !== null) this.line(one.healing, "var(--heal)", "6 4");
        node("text", { x: this.x(one.begun) + 4, y: 13, fill: "var(--fault)" }, this.inside, one.words).style.fill = "var(--fault)";
      }
    }

    line(second, stroke, dashes) {
      node("line", { x1: this.x(second), x2: this.x(second), y1: TOP - 8, y2: this.bottom, stroke, "stroke-width": 1.5, "stroke-dasharray": dashes }, this.inside);
    }

    rows() {
      const writing = this.data.periods.filter((one) => one.state === "writes");
      this.groups.forEach(([name, group], row) => {
        const y = TOP + row * ROW;
        node("text", { x: 0, y: y + 14, class: "quiet" }, this.svg, name);
        const led = writing.filter((each) => group.includes(each.member)).sort((a, b) => a.begun - b.begun);
        led.forEach((one, number) => {
          this.rect(one.begun, one.ended, y + 2, ROW - 5, "var(--kept)", { rx: 2 });
          const shown = Math.min(this.x(one.ended), this.width - RIGHT) - Math.max(this.x(one.begun), LEFT);
          if (shown > 34) return node("text", { x: Math.max(this.x(one.begun), LEFT) + 4, y: y + 14 }, this.inside, one.member).style.fill = "var(--card)";
          const room = (led[number + 1] ? this.x(led[number + 1].begun) : this.width - RIGHT) - this.x(one.ended);
          if (shown > 0 && room > 40) node("text", { x: this.x(one.ended) + 4, y: y + 14 }, this.inside, one.member);
        });
      });
      this.members.forEach((member, row) => {
        const y = TOP + (row + this.groups.length) * ROW;
        node("text", { x: 0, y: y + 14 }, this.svg, member);
        for (const one of this.data.periods) if (one.member === member) this.rect(one.begun, one.ended, y + 2, ROW - 5, STATES[one.state][1], { rx: 2 });
      });
    }

    rates(what, rates, gap, top, height) {
      const up = height * 0.72, base = top + up;
      const per = (list) => list.map(([at, count]) => [at, count / rates.width]);
      const good = per(rates.acknowledged), most = Math.max(1, ...good.map(([, rate]) => rate));
      const bad = [...per(rates.refused), ...per(rates.unknown)], worst = Math.max(1, ...bad.map(([, rate]) => rate));
      if (gap) this.rect(gap[0], gap[1], top - 4, height + 4, "var(--gap)");
      for (const [at, rate] of good) this.rect(at, at + rates.width, base - up * rate / most, up * rate / most, "var(--kept)");
      for (const [list, fill] of [[rates.refused, "var(--refused)"], [rates.unknown, "var(--inconclusive)"]])
        for (const [at, rate] of per(list)) this.rect(at, at + rates.width, base, (height - up) * Math.sqrt(rate / worst), fill);
      node("line", { x1: LEFT, x2: this.width - RIGHT, y1: base, y2: base, stroke: "var(--quiet)" }, this.svg);
      node("text", { x: 0, y: top + 10, class: "quiet" }, this.svg, what);
      node("text", { x: 0, y: top + 25, class: "quiet" }, this.svg, "a second");
      node("text", { x: 0, y: top + 40, class: "quiet" }, this.svg, `peak ${Math.round(most).toLocaleString("en")}`);
      node("text", { x: 0, y: base + 16, class: "quiet" }, this.svg, "failed");
      const last = Math.max(...[...rates.acknowledged, ...rates.refused, ...rates.unknown].map(([at]) => at + rates.width));
      if (Number.isFinite(last) && this.shown[1] - last > 2 * rates.width) {
        const x = this.x(last), left = x < this.width - RIGHT - 60;
        node("line", { x1: x, x2: x, y1: top + 18, y2: base, stroke: "var(--quiet)", "stroke-dasharray": "2 3" }, this.inside);
        node("text", { x: x + (left ? 4 : -4), y: top + 28, class: "quiet halo", "text-anchor": left ? "start" : "end" }, this.inside, "load ends");
      }
      if (gap && gap[1] - gap[0] > 0.5) {
        const middle = Math.min(Math.max((this.x(gap[0]) + this.x(gap[1])) / 2, LEFT + 60), this.width - RIGHT - 60);
        node("text", { x: middle, y: top + 14, "text-anchor": "middle", "font-weight": 600, class: "halo" }, this.inside, `nothing for ${(gap[1] - gap[0]).toFixed(1)} s`);
      }
    }

    events(y) {
      node("text", { x: 0, y: y + 4, class: "quiet" }, this.svg, "log lines");
      for (const one of this.data.events) node("circle", { cx: this.x(one.at), cy: y, r: 3.5, fill: "var(--link)", opacity: 0.75 }, this.inside);
    }

    axis() {
      const span = this.shown[1] - this.shown[0], room = Math.max(2, Math.floor((this.width - LEFT) / 80));
      const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((one) => span / one <= room) ?? 1200;
      for (let at = Math.ceil(this.shown[0] / step) * step; at <= this.shown[1]; at += step) {
        node("line", { x1: this.x(at), x2: this.x(at), y1: this.bottom, y2: this.bottom + 4, stroke: "var(--quiet)" }, this.svg);
        node("text", { x: this.x(at), y: this.bottom + 17, "text-anchor": "middle", class: "quiet" }, this.svg, `${+at.toFixed(1)} s`);
      }
    }

    listen() {
      let from = null;
      const at = (event) => { const box = this.svg.getBoundingClientRect(); return (event.clientX - box.left) * this.width / box.width; };
      this.svg.addEventListener("pointermove", (event) => {
        this.show(this.second(at(event)), at(event));
        if (from !== null) {
          const [low, high] = [Math.min(from, at(event)), Math.max(from, at(event))];
          Object.entries({ x: low, width: high - low, visibility: "visible" }).forEach(([key, value]) => this.selection.setAttribute(key, value));
        }
      });
      this.svg.addEventListener("pointerleave", () => { this.hide(); from = null; this.selection.setAttribute("visibility", "hidden"); });
      this.svg.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse") from = at(event); });
      this.svg.addEventListener("pointerup", (event) => {
        if (from !== null && Math.abs(at(event) - from) > 12) this.zoom(this.second(Math.min(from, at(event))), this.second(Math.max(from, at(event))));
        from = null; this.selection.setAttribute("visibility", "hidden");
      });
      this.svg.addEventListener("dblclick", () => this.zoom(...this.whole));
      this.svg.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.shiftKey && document.activeElement !== this.place) return;
        event.preventDefault();
        this.scale(event.deltaY > 0 ? 1.25 : 0.8, this.second(at(event)));
      }, { passive: false });
    }

    scale(factor, around = (this.shown[0] + this.shown[1]) / 2) { this.zoom(around - (around - this.shown[0]) * factor, around + (this.shown[1] - around) * factor); }
    zoom(from, to) {
      const [first, last] = this.whole;
      if (to - from < 0.5) return;
      this.shown = [Math.max(first, from), Math.min(last, to)];
      this.hide(); this.draw();
      this.place.dispatchEvent(new CustomEvent("zoomed", { detail: this.shown }));
    }
    key(event) {
      const span = this.shown[1] - this.shown[0];
      const move = { ArrowLeft: -0.1, ArrowRight: 0.1 }[event.key];
      if (move) this.zoom(this.shown[0] + move * span, this.shown[1] + move * span);
      else if (event.key === "+") this.scale(0.7); else if (event.key === "-") this.scale(1.4); else if (event.key === "0") this.zoom(...this.whole);
      else return;
      event.preventDefault();
    }

    show(second, x) {
      const { data } = this;
      if (x < LEFT || x > this.width - RIGHT) return this.hide();
      this.cursor.setAttribute("x1", x); this.cursor.setAttribute("x2", x); this.cursor.setAttribute("visibility", "visible");
      const lines = [["b", `${second.toFixed(2)} s after the fault, ${new Date((data.zero + second) * 1000).toLocaleTimeString()}`]];
      const states = this.members.map((member) => {
        const period = data.periods.find((one) => one.member === member && one.begun <= second && second <= one.ended);
        return `${member} ${period ? STATES[period.state][0] : "not asked"}`;
      });
      lines.push(["div", states.join(", ")]);
      for (const [what, rates] of [["acknowledged", data.rates], ["reads answered", data.reads]]) if (rates) {
        const rate = (list) => Math.round((list.find(([at]) => at <= second && second < at + rates.width) ?? [0, 0])[1] / rates.width);
        lines.push(["div", `${rate(rates.acknowledged)} ${what}, ${rate(rates.refused)} refused, ${rate(rates.unknown)} unanswered a second`]);
      }
      const reach = 6 / (this.width - LEFT - RIGHT) * (this.shown[1] - this.shown[0]);
      const near = data.events.filter((one) => Math.abs(one.at - second) <= reach);
      for (const one of near.slice(0, 6)) lines.push(["div", `▸ ${one.at.toFixed(1)} s ${one.host}: ${one.words}`]);
      if (near.length > 6) lines.push(["div", `… and ${near.length - 6} more: zoom in`]);
      this.tip.replaceChildren(...lines.map(([name, text]) => Object.assign(document.createElement(name), { textContent: text })));
      this.tip.hidden = false;
      const scale = this.place.clientWidth / this.width;
      this.tip.style.left = `${Math.max(0, Math.min(x * scale + 14, this.place.clientWidth - this.tip.offsetWidth))}px`;
      this.tip.style.top = `${this.bottom + AXIS + 2}px`;
    }
    hide() { this.tip.hidden = true; this.cursor.setAttribute("visibility", "hidden"); }
  }

  function button(words, title, act) {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: words, title });
    made.addEventListener("click", act);
    return made;
  }

  function begin(place) {
    if (place.picture) return place.picture;
    const data = JSON.parse(document.getElementById(place.dataset.record).textContent);
    const picture = place.picture = new Picture(place, data);
    const tools = Object.assign(document.createElement("div"), { className: "tools small" });
    tools.append(button("+", "zoom in", () => picture.scale(0.6)), button("−", "zoom out", () => picture.scale(1.6)),
      button("all", "the whole time", () => picture.zoom(...picture.whole)),
      button("the fault", "from the fault until clients work again", () => picture.zoom(-2, (data.gap ? data.gap[1] : data.ended) + 3)));
    const legend = Object.assign(document.createElement("span"), { className: "legend" });
    for (const [words, colour] of [...Object.values(STATES), ["refused", "var(--refused)"], ["unanswered", "var(--inconclusive)"], ["fault", "var(--fault)"], ["healing", "var(--heal)"]]) {
      const one = document.createElement("span"), dot = document.createElement("i");
      dot.style.background = colour; one.append(dot, words); legend.append(one);
    }
    tools.append(legend);
    place.before(tools);
    if (data.events.length) {
      const list = document.createElement("details"), heading = document.createElement("summary"), table = document.createElement("table");
      heading.textContent = data.events.length === 1 ? "1 notable log line" : `${data.events.length} notable log lines`; heading.className = "small";
      for (const one of data.events) {
        const row = table.insertRow();
        row.className = "small";
        [`${one.at.toFixed(2)} s`, one.host, one.words].forEach((text) => { row.insertCell().textContent = text; });
        row.addEventListener("click", () => { picture.zoom(one.at - 3, one.at + 3); picture.show(one.at, picture.x(one.at)); });
      }
      list.append(heading, Object.assign(document.createElement("div"), { className: "scroll" })); list.lastChild.append(table);
      list.classList.add("screen");
      place.after(list);
    }
    return picture;
  }

  /* Those that are hidden are drawn when they are shown: only then is there a width to draw them in. */
  function drawShown() { document.querySelectorAll(".picture[data-record]").forEach((place) => { if (place.offsetParent !== null) begin(place); }); }
  window.drawPicture = begin;
  document.addEventListener("toggle", drawShown, true);
  drawShown();
})();
