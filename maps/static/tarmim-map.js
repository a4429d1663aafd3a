/* The map page: list, map and explanation of one run, kept in step.
 *
 * Reads the page's JSON (`tarmim-config`) and the city's data; every text on screen comes from there and is set with textContent.
 * Works from a server and from a file on a USB stick: no module, no build step, no library but Leaflet.
 */
(function () {
  "use strict";

  const config = read("tarmim-config");
  const map = window.map_tarmim;
  const HATCH = "url(#tarmim-hatch)";
  const INK = "#1b2733";
  const FSI = "\u2068";
  const PDI = "\u2069";

  const state = { lang: config.lang, measure: "score", selected: null, layers: new Set(), about: false };
  const $ = (id) => document.getElementById(id);

  let city = null;
  let measures = new Map();
  let absent = new Map();
  let criteria = new Set();
  let shapes = [];
  let visible = [];
  let options = [];
  let search = [];

  // ------------------------------------------------------------------------------------------------------------ words, numbers

  function read(id) {
    const element = document.getElementById(id);
    return element === null ? null : JSON.parse(element.textContent);
  }

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") made.className = value;
      else if (name === "text") made.textContent = value;
      else made.setAttribute(name, value === true ? "" : String(value));
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  const bdi = (text, attributes) => element("bdi", { ...attributes, text });
  const number = (text) => bdi(text, { dir: "ltr", class: "number" });

  function fill(text, values) {
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
      if (!(name in values)) return whole;
      const value = values[name];
      if (typeof value === "number") return grouped(String(value));
      return state.lang === "ar" ? FSI + value + PDI : String(value);
    });
  }

  const t = (key, values) => fill(config.messages[state.lang][key], values || {});

  function counted(key, n) {
    const forms = config.messages[state.lang][key];
    return fill(forms[new Intl.PluralRules(state.lang).select(n)] || forms.other, { n });
  }

  const local = (texts) => (texts && (texts[state.lang] || texts.ar || texts.en)) || "";
  const grouped = (digits) => digits.replace(/^(-?\d+)/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));

  /* The same text as maps/figures.py: half away from zero on the exact value, comma between thousands. */
  function figure(value, decimals) {
    if (value === null || value === undefined) return "–";
    const text = value.toFixed(decimals);
    return grouped(Number(text) === 0 ? text.replace("-", "") : text);
  }

  /* A value of a measure: maps/figures.py, `amount`. */
  const amount = (measure, value) => figure(value === null || value === undefined ? null : value * measure.factor, measure.decimals);
  const percent = (share) => (share === null || share === undefined ? "–" : figure(share * 100, 0) + "%");
  function withUnit(measure, value) {
    if (value === null) return [bdi(t("unknown"))];
    if (measure.factor === 100) return [number(amount(measure, value) + "%")];
    return [number(amount(measure, value)), " " + local(measure.unit)];
  }

  const rankText = (i) => (city.rank[i] === null ? "–" : city.rank[i] + (city.tied[i] ? "=" : ""));
  const plainText = (text) => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "");

  function nameOf(i, lang) {
    const wanted = lang || state.lang;
    const names = wanted === "ar" ? [city.name_ar[i], city.name_en[i]] : [city.name_en[i], city.name_ar[i]];
    return names[0] || names[1] || city.id[i];
  }

  /* For searching: one spelling of alef, yeh and teh marbuta, no vowel signs, Latin without accents, digits Latin. */
  function searchable(text) {
    return text
      .normalize("NFKD")
      .replace(/[\u0300-\u036f\u064b-\u065f\u0670\u0640]/g, "")
      .replace(/\u0671/g, "ا")
      .replace(/[\u0649\u06cc]/g, "ي")
      .replace(/\u06a9/g, "ك")
      .replace(/\u0629/g, "ه")
      .replace(/[\u0660-\u0669]/g, (digit) => String(digit.charCodeAt(0) - 0x660))
      .toLowerCase()
      .replace(/[^\p{L}\p{N}<>{}()=]+/gu, "");
  }

  // ---------------------------------------------------------------------------------------------------- what is coloured, and how

  function coloured() {
    if (state.measure === "score") {
      return { id: "score", values: city.score, limits: city.limits.score, palette: config.palettes.priority, decimals: config.score_decimals, factor: 1 };
    }
    if (state.measure === "rank") {
      return { id: "rank", values: city.rank, limits: city.limits.rank, palette: [...config.palettes.priority].reverse(), decimals: 0, factor: 1 };
    }
    const measure = measures.get(state.measure);
    const palette = config.palettes[measure.palette] || config.palettes.priority;
    return { id: measure.id, values: city.values[measure.id].value, limits: measure.limits, palette, decimals: measure.decimals, factor: measure.factor };
  }

  function classOf(value, limits) {
    let found = 0;
    while (found < limits.length && value >= limits[found]) found += 1;
    return found;
  }

  function colourOf(found, classes, palette) {
    if (classes === 1) return palette[2];
    return palette[Math.round((found * (palette.length - 1)) / (classes - 1))];
  }

  function paint(shown, i) {
    const value = shown.values[i];
    return value === null ? null : colourOf(classOf(value, shown.limits), shown.limits.length + 1, shown.palette);
  }

  const moved = (i) => city.decided_rank && city.decided_rank[i] !== null && city.decided_rank[i] !== city.rank[i];
  const measureLabel = () => (state.measure in { score: 1, rank: 1 } ? t(state.measure) : local(measures.get(state.measure).label));
  const valueText = (shown, i) => (shown.id === "rank" ? rankText(i) : amount(shown, shown.values[i]));

  // -------------------------------------------------------------------------------------------------------------------- shapes

  function decode(flat) {
    const points = [];
    let x = 0;
    let y = 0;
    for (let k = 0; k < flat.length; k += 2) {
      x += flat[k];
      y += flat[k + 1];
      points.push([y / 1e5, x / 1e5]);
    }
    return points;
  }

  const group = L.featureGroup();
  const renderer = L.svg({ padding: 0.3 });

  function drawShapes() {
    shapes = city.shapes.map((polygons, i) => {
      if (polygons.length === 0) return null;
      const shape = L.polygon(polygons.map((rings) => rings.map(decode)), { renderer, smoothFactor: 0, bubblingMouseEvents: false });
      shape.on("click", () => select(i, { push: true, reveal: true }));
      shape.on("mouseover", () => hover(i, true));
      shape.on("mouseout", () => hover(i, false));
      shape.bindTooltip(() => tip(i), { sticky: true, direction: "top", className: "tip" });
      return shape.addTo(group);
    });
    group.addTo(map);
  }

  function tip(i) {
    const shown = coloured();
    const value = shown.values[i] === null ? t("unknown") : valueText(shown, i);
    return element("div", { dir: state.lang === "ar" ? "rtl" : "ltr" }, element("strong", {}, bdi(nameOf(i))), element("span", {}, measureLabel() + ": ", number(value)));
  }

  function restyle() {
    const shown = coloured();
    const faded = state.layers.size > 0;
    shapes.forEach((shape, i) => {
      if (shape === null) return;
      const colour = paint(shown, i);
      const chosen = i === state.selected;
      shape.setStyle({
        color: chosen ? "#0b1118" : "#53606d",
        weight: chosen ? 3.5 : 0.8,
        opacity: visible[i] ? 1 : 0.35,
        fillColor: colour === null ? HATCH : colour,
        fillOpacity: visible[i] ? (faded ? 0.55 : 0.92) : 0.12,
      });
    });
    if (state.selected !== null && shapes[state.selected]) shapes[state.selected].bringToFront();
    options.forEach((option, i) => {
      const colour = paint(shown, i);
      option.chip.classList.toggle("hatch", colour === null);
      option.chip.style.backgroundColor = colour === null ? "" : colour;
      const extra = !(state.measure in { score: 1, rank: 1 });
      option.extra.hidden = !extra;
      option.extra.replaceChildren();
      if (extra) option.extra.append(...withUnit(measures.get(state.measure), shown.values[i]));
    });
    names.refresh();
    drawLegend(shown);
  }

  function hover(i, on) {
    if (options[i]) options[i].row.classList.toggle("hover", on);
    if (shapes[i] && i !== state.selected) shapes[i].setStyle({ weight: on ? 2.5 : 0.8, color: on ? INK : "#53606d" });
    if (on && shapes[i] && i !== state.selected) {
      shapes[i].bringToFront();
      if (state.selected !== null && shapes[state.selected]) shapes[state.selected].bringToFront();
    }
  }

  // ------------------------------------------------------------------------------------------------- names and values on the map

  const Names = L.Layer.extend({
    onAdd() {
      this._pane = map.getPane("names");
      this._pane.classList.add("leaflet-zoom-hide");
      this._measure = document.createElement("canvas").getContext("2d");
      map.on("zoomend viewreset", this.refresh, this);
    },
    onRemove() {
      map.off("zoomend viewreset", this.refresh, this);
    },
    width(text, font) {
      this._measure.font = font;
      return this._measure.measureText(text).width;
    },
    refresh() {
      if (city === null || !this._pane) return;
      const shown = coloured();
      const taken = [];
      this._pane.replaceChildren();
      city.labels.forEach((place, i) => {
        if (place === null || !visible[i]) return;
        const at = map.latLngToLayerPoint([place[1] / 1e5, place[0] / 1e5]);
        const metres = (40075016.7 * Math.cos(((place[1] / 1e5) * Math.PI) / 180)) / (256 * 2 ** map.getZoom());
        const radius = place[2] / metres;
        const value = shown.values[i] === null ? "" : valueText(shown, i);
        const name = nameOf(i);
        const wide = this.width(name, "700 12px Cairo, sans-serif") + 6;
        const fits = wide < radius * 2.5 && radius > 15;
        const small = value === "" ? 0 : this.width(value, "700 11px Cairo, sans-serif") + 2;
        if (!fits && (small === 0 || small > radius * 1.9 || radius < 7.5)) return;
        const half = [(fits ? Math.max(wide, small) : small) / 2, fits ? 17 : 8];
        if (taken.some((box) => Math.abs(box[0] - at.x) < box[2] + half[0] && Math.abs(box[1] - at.y) < box[3] + half[1])) return;
        taken.push([at.x, at.y, half[0], half[1]]);
        const colour = paint(shown, i);
        const label = element("div", { class: "place" + (colour !== null && dark(colour) && state.layers.size === 0 ? " on-dark" : ""), "data-row": i });
        if (fits) label.append(bdi(name, { class: "place-name" }));
        if (value !== "") label.append(number(value));
        L.DomUtil.setPosition(label, at);
        this._pane.append(label);
      });
    },
  });
  const names = new Names();

  function dark(colour) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return 0.299 * r + 0.587 * g + 0.114 * b < 140;
  }

  /* A bar of a round length, at the latitude of the map's centre. */
  function drawScale() {
    const metres = (40075016.7 * Math.cos((map.getCenter().lat * Math.PI) / 180)) / (256 * 2 ** map.getZoom());
    const most = 100 * metres;
    const ten = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((step) => step * ten).find((step) => step <= most);
    const text = length >= 1000 ? t("scale_km", { n: length / 1000 }) : t("scale_m", { n: length });
    const bar = $("scale").firstElementChild;
    bar.textContent = text;
    bar.style.inlineSize = Math.round(length / metres) + "px";
  }

  // -------------------------------------------------------------------------------------------------------------------- legend

  function legendText(shown, k, least, most) {
    const edges = [least, ...shown.limits, most];
    const last = k === shown.limits.length;
    const whole = shown.decimals === 0 && shown.factor === 1 && Number.isInteger(edges[k]) && Number.isInteger(edges[k + 1]);
    const from = amount(shown, edges[k]);
    const to = amount(shown, whole && !last ? edges[k + 1] - 1 : edges[k + 1]);
    return from === to ? from : from + " – " + to;
  }

  function drawLegend(shown) {
    const body = $("legend-body");
    const known = shown.values.filter((value) => value !== null);
    const classes = shown.limits.length + 1;
    const counts = new Array(classes).fill(0);
    known.forEach((value) => (counts[classOf(value, shown.limits)] += 1));
    const measure = measures.get(shown.id);
    const sub = measure ? local(measure.meaning) : t(shown.id + "_meaning");
    const list = element("ul", { class: "swatches" });
    const row = (swatch, text, n) => element("li", {}, swatch, text, element("span", { class: "count" }, number("(" + n + ")")));
    if (known.length > 0) {
      const least = Math.min(...known);
      const most = Math.max(...known);
      for (let step = 0; step < classes; step += 1) {
        const k = shown.id === "rank" ? step : classes - 1 - step;
        const swatch = element("span", { class: "swatch" });
        swatch.style.backgroundColor = colourOf(k, classes, shown.palette);
        list.append(row(swatch, number(legendText(shown, k, least, most)), counts[k]));
      }
    }
    const unknown = shown.values.length - known.length;
    list.append(row(element("span", { class: "swatch hatch" }), element("span", { text: t("unknown") }), unknown));
    const unit = measure ? local(measure.unit) : "";
    body.replaceChildren(
      element("p", { class: "legend-title" }, element("strong", { text: measureLabel() }), unit ? element("span", { class: "unit", text: unit }) : null),
      element("p", { class: "small", text: sub }),
      list,
    );
  }

  function measureChoices() {
    const choose = $("measure");
    const entry = (id, label) => element("option", { value: id, text: label });
    const result = element("optgroup", { label: t("result") }, entry("score", t("score")), entry("rank", t("rank")));
    const own = element("optgroup", { label: t("criteria") });
    const other = element("optgroup", { label: t("measures_other") });
    for (const measure of measures.values()) (criteria.has(measure.id) ? own : other).append(entry(measure.id, plainText(local(measure.label))));
    choose.replaceChildren(result, ...[own, other].filter((part) => part.children.length > 0));
    choose.value = state.measure;
  }

  // ------------------------------------------------------------------------------------------------------------------- the list

  function bar(i, className) {
    const track = element("span", { class: className || "bar", "aria-hidden": "true" });
    if (city.score[i] === null) {
      track.classList.add("hatch");
      return track;
    }
    const low = city.score_low[i] === null ? city.score[i] : city.score_low[i];
    const high = city.score_high[i] === null ? city.score[i] : city.score_high[i];
    const range = element("span", { class: "range" });
    range.style.insetInlineStart = low + "%";
    range.style.inlineSize = Math.max(high - low, 0) + "%";
    const point = element("span", { class: "point" });
    point.style.insetInlineStart = city.score[i] + "%";
    track.append(range, point);
    return track;
  }

  function buildList() {
    const rows = $("rows");
    const ranked = element("div", { role: "presentation" });
    const label = element("p", { class: "group-title", id: "group-not", role: "presentation", text: t("not_assessable") });
    const rest = element("div", { role: "group", "aria-labelledby": "group-not" }, label);
    options = city.id.map((id, i) => {
      const assessed = city.status[i] === "ranked";
      const chip = element("span", { class: "chip", "aria-hidden": "true" });
      const extra = element("span", { class: "extra" });
      const sub = element("span", { class: "sub" }, bdi(nameOf(i, state.lang === "ar" ? "en" : "ar"), { class: "other-name" }), extra);
      const row = element(
        "div",
        { class: "row" + (assessed ? "" : " not"), role: "option", id: "row-" + i, "aria-selected": "false" },
        element("span", { class: "rank" }, number(rankText(i)), moved(i) ? element("small", { class: "decided", title: t("decided_rank", { rank: city.decided_rank[i] }), text: t("decided_short", { rank: city.decided_rank[i] }) }) : ""),
        chip,
        element("span", { class: "names" }, bdi(nameOf(i), { class: "name" }), sub),
        element("span", { class: "score" }, number(assessed ? figure(city.score[i], config.score_decimals) : percent(city.coverage[i]))),
        bar(i),
      );
      if (!assessed) row.querySelector(".score").append(element("small", { text: t("known_short") }));
      row.addEventListener("click", () => select(i, { push: true, pan: true }));
      row.addEventListener("mouseenter", () => hover(i, true));
      row.addEventListener("mouseleave", () => hover(i, false));
      (assessed ? ranked : rest).append(row);
      return { row, chip, extra, assessed };
    });
    rows.replaceChildren(ranked, rest);
    rows.append(element("p", { class: "nothing", id: "nothing", role: "presentation", text: t("nothing_found"), hidden: true }));
    options.rest = rest;
  }

  function districtChoices() {
    const choose = $("district");
    const chosen = choose.value;
    const known = [...new Set(city.district.filter(Boolean))].sort((a, b) => a.localeCompare(b, state.lang, { numeric: true }));
    choose.replaceChildren(element("option", { value: "", text: t("districts_all") }));
    known.forEach((name) => choose.append(element("option", { value: name, text: plainText(name) })));
    choose.value = known.includes(chosen) ? chosen : "";
    choose.closest("label").hidden = known.length < 2;
  }

  function filter() {
    const wanted = searchable($("search").value);
    const district = $("district").value;
    visible = city.id.map((_, i) => (district === "" || city.district[i] === district) && search[i].includes(wanted));
    options.forEach((option, i) => (option.row.hidden = !visible[i]));
    options.rest.hidden = !options.some((option, i) => !option.assessed && visible[i]);
    const n = visible.filter(Boolean).length;
    $("nothing").hidden = n > 0;
    $("found").textContent = t("found", { n, total: city.id.length });
    restyle();
  }

  function listKeys(event) {
    const order = options.map((_, i) => i).filter((i) => visible[i]);
    const at = order.indexOf(state.selected);
    const to = { ArrowDown: at + 1, ArrowUp: Math.max(at - 1, 0), Home: 0, End: order.length - 1, PageDown: at + 10, PageUp: Math.max(at - 10, 0) }[event.key];
    if (to !== undefined && order.length > 0) {
      event.preventDefault();
      select(order[Math.min(to, order.length - 1)], { pan: true });
    } else if ((event.key === "Enter" || event.key === " ") && state.selected !== null) {
      event.preventDefault();
      save(true);
      $("panel-title").focus();
    }
  }

  // ---------------------------------------------------------------------------------------------------------------- choosing one

  function select(i, how) {
    const before = state.selected;
    state.selected = i;
    state.about = false;
    if (before !== null && options[before]) options[before].row.setAttribute("aria-selected", "false");
    if (i === null) {
      $("rows").removeAttribute("aria-activedescendant");
    } else {
      const row = options[i].row;
      row.setAttribute("aria-selected", "true");
      $("rows").setAttribute("aria-activedescendant", row.id);
      if (!row.hidden) within(row, $("rows"));
    }
    showPanel();
    restyle();
    if (i !== null && how && how.pan) reveal(i);
    if (how && how.reveal && phone()) $("panel").scrollIntoView({ block: "nearest" });
    if (!how || how.save !== false) save(Boolean(how && how.push));
  }

  const phone = () => window.matchMedia("(max-width: 719px)").matches;

  function within(row, box) {
    if (box.scrollHeight <= box.clientHeight) return;
    const [outer, inner] = [box.getBoundingClientRect(), row.getBoundingClientRect()];
    if (inner.top < outer.top + 30) box.scrollTop -= outer.top + 30 - inner.top;
    else if (inner.bottom > outer.bottom - 8) box.scrollTop += inner.bottom - outer.bottom + 8;
  }

  function reveal(i) {
    if (!shapes[i]) return;
    const box = shapes[i].getBounds();
    if (!map.getBounds().contains(box)) map.panTo(box.getCenter());
    if (phone()) $("map-box").scrollIntoView({ block: "nearest" });
  }

  // ------------------------------------------------------------------------------------------------------------------- the panel

  function showPanel() {
    const panel = $("panel");
    const open = state.selected !== null || state.about;
    const was = !panel.hidden;
    panel.hidden = !open;
    $("main").classList.toggle("with-panel", open);
    $("about-button").setAttribute("aria-expanded", String(state.about));
    if (open) {
      const title = state.about ? element("span", { text: t("page_about") }) : bdi(nameOf(state.selected));
      $("panel-title").replaceChildren(title);
      $("panel-body").replaceChildren(...(state.about ? about() : why(state.selected)));
      panel.scrollTop = 0;
    }
    if (was !== open) resized();
  }

  function closePanel() {
    const i = state.selected;
    const from = state.about ? $("about-button") : $("rows");
    state.about = false;
    if (i === null) showPanel();
    else select(null, { push: true });
    from.focus({ preventScroll: true });
  }

  const section = (title, ...children) => element("section", {}, element("h3", { text: title }), ...children);

  function why(i) {
    const assessed = city.status[i] === "ranked";
    const total = city.rank.filter((rank) => rank !== null).length;
    const facts = element("p", { class: "facts small" }, bdi(nameOf(i, state.lang === "ar" ? "en" : "ar")), " · " + t("code") + " ", bdi(city.id[i]));
    if (city.district[i]) facts.append(" · " + t("district") + " ", bdi(city.district[i]));
    return [facts, assessed ? headline(i, total) : unranked(i), decision(i), sentence(i), contributions(i), allMeasures(i), sources()].filter(Boolean);
  }

  function headline(i, total) {
    const [low, high] = [city.score_low[i], city.score_high[i]].map((value) => figure(value, config.score_decimals));
    return element(
      "div",
      { class: "headline" },
      element("div", { class: "big" }, element("span", { class: "small", text: t("rank") }), element("strong", { id: "why-rank" }, number(rankText(i))), element("span", { class: "small", text: t("rank_of", { total }) }), likely(i)),
      element(
        "div",
        { class: "big" },
        element("span", { class: "small", text: t("score") }),
        element("strong", { id: "why-score" }, number(figure(city.score[i], config.score_decimals))),
        element("span", { class: "small", text: t("between", { low, high }) }),
      ),
      bar(i, "bar wide-bar"),
      element("p", { class: "small", text: t("coverage", { share: percent(city.coverage[i]) }) + (city.tied[i] ? " · " + t("tied") : "") }),
    );
  }

  // The ranks that hold in 90 of 100 draws of all that is uncertain.
  function likely(i) {
    const [low, high] = [city.rank_low, city.rank_high].map((ranks) => (ranks ? ranks[i] : null));
    return low === null ? "" : element("span", { class: "small", id: "why-places", text: t("places_of", { low, high }) });
  }

  // A rank that somebody decided, beside the computed one: who, when, why. Text from people is only ever text content.
  function decision(i) {
    if (!moved(i)) return null;
    const said = element("p", { class: "decided" }, element("strong", { text: t("decided_rank", { rank: city.decided_rank[i] }) }));
    if (city.decided_by[i]) said.append(" · ", bdi(city.decided_by[i]), " · ", bdi(city.decided_on[i]), element("br"), bdi(city.decided_why[i]));
    else said.append(" · " + t("decided_other"));
    return said;
  }

  function unranked(i) {
    return element(
      "div",
      { class: "headline not" },
      element("strong", { class: "need", text: t("not_assessable") }),
      element("p", { class: "small", text: t("not_ranked") + " " + t("coverage", { share: percent(city.coverage[i]) }) + ". " + t("coverage_low", { share: percent(city.scheme.minimum_coverage) }) + "." }),
    );
  }

  function sentence(i) {
    const text = state.lang === "ar" ? city.why_ar[i] : city.why_en[i];
    return text ? element("p", { class: "sentence", id: "why-text" }, bdi(text)) : null;
  }

  function contributions(i) {
    const most = Math.max(1e-9, ...Object.values(city.contributions).flat().filter((points) => points !== null));
    const parts = city.scheme.criteria.map((one) => ({ one, points: (city.contributions[one.measure] || [])[i] ?? null }));
    parts.sort((a, b) => (a.points === null) - (b.points === null) || (b.points ?? 0) - (a.points ?? 0) || b.one.weight - a.one.weight);
    const list = element("ol", { class: "parts" }, ...parts.map(({ one, points }) => part(i, one, points, most)));
    const missing = parts.filter(({ points }) => points === null).length;
    const total = city.score[i] === null ? null : element("p", { class: "sum" }, element("span", { text: t("sum") }), number(figure(city.score[i], config.score_decimals)));
    return section(t("makes_up"), list, total, missing > 0 ? element("p", { class: "small", text: counted("unknown_criteria", missing) }) : null);
  }

  const described = (id) => measures.get(id) || absent.get(id) || { label: { ar: id, en: id }, unit: { ar: "", en: "" }, decimals: 2, factor: 1 };

  function part(i, one, points, most) {
    const measure = described(one.measure);
    const unit = local(measure.unit);
    const value = measures.has(one.measure) ? city.values[one.measure].value[i] : null;
    const unknown = points === null;
    const track = element("span", { class: "bar part-bar" + (unknown ? " hatch" : ""), "aria-hidden": "true" });
    if (!unknown) {
      const filled = element("span", { class: "filled" });
      filled.style.inlineSize = (100 * Math.max(points, 0)) / most + "%";
      track.append(filled);
    }
    const [low, high] = one.goalposts.map((edge) => figure(edge * measure.factor, Number.isInteger(edge * measure.factor) ? 0 : Math.max(measure.decimals, 1)) + (unit === "%" ? "%" : ""));
    const scale = t(one.direction === "less" ? "scale_less" : "scale_more", { low, high });
    return element(
      "li",
      { class: unknown ? "unknown" : null, "data-measure": one.measure },
      element("div", { class: "part-head" }, element("span", { class: "part-name" }, bdi(local(measure.label))), element("span", { class: "part-points" }, unknown ? element("span", { text: t("unknown") }) : number(figure(points, config.score_decimals)))),
      track,
      element(
        "div",
        { class: "small part-facts" },
        element("span", {}, t("value") + " ", ...withUnit(measure, value)),
        element("span", { text: t("weight", { share: percent(one.weight) }) }),
        element("span", { text: unknown ? t("unknown_points") : scale }),
      ),
    );
  }

  function allMeasures(i) {
    const head = element("tr", {}, ...["measure", "value", "low_high", "surveyed"].map((key) => element("th", { scope: "col", text: t(key) })));
    const body = element("tbody");
    for (const measure of measures.values()) {
      const { value, low, high, coverage, note } = city.values[measure.id];
      const said = note && note[i] !== undefined ? local(city.notes[note[i]]) : "";
      const between = low && low[i] !== null && high[i] !== null ? amount(measure, low[i]) + " – " + amount(measure, high[i]) : "";
      const name = element("th", { scope: "row" }, bdi(local(measure.label)), said ? element("span", { class: "small note-text" }, bdi(said)) : null);
      body.append(
        element(
          "tr",
          { "data-measure": measure.id },
          name,
          element("td", { class: "value" }, ...withUnit(measure, value[i])),
          element("td", {}, number(between)),
          element("td", {}, number(coverage ? percent(coverage[i]) : "")),
        ),
      );
    }
    const table = element("table", { class: "measures" }, element("thead", {}, head), body);
    return element("details", { class: "more" }, element("summary", { text: t("measures_all") + " (" + measures.size + ")" }), table);
  }

  function sources() {
    const list = element("ul", { class: "sources" });
    (city.layers || []).forEach((layer) => {
      const line = element("li", {}, element("strong", {}, bdi(local(layer.label))), ": ", bdi(local(layer.source)));
      if (layer.date) line.append(" · " + t("date") + " ", bdi(layer.date));
      if (layer.licence) line.append(" · " + t("licence") + " ", bdi(layer.licence));
      if (layer.rows_read !== undefined) line.append(" · " + t("rows_used", { used: layer.rows_used, total: layer.rows_read }));
      list.append(line);
    });
    return section(t("sources"), list);
  }

  function about() {
    const ranked = city.rank.filter((rank) => rank !== null).length;
    const counts = element(
      "div",
      { class: "headline" },
      element("div", { class: "big" }, element("span", { class: "small", text: t("ranked_count") }), element("strong", {}, number(String(ranked)))),
      element("div", { class: "big" }, element("span", { class: "small", text: t("not_ranked_count") }), element("strong", {}, number(String(city.id.length - ranked)))),
    );
    const method = section(t("method"), element("p", {}, bdi(t("method_text", { scheme: local(city.scheme.name), share: percent(city.scheme.minimum_coverage) }))));
    const list = element("ul", { class: "sources" });
    city.scheme.criteria.forEach((one) => {
      list.append(element("li", {}, element("strong", {}, bdi(local(described(one.measure).label))), " · " + t("weight", { share: percent(one.weight) }), element("span", { class: "small note-text" }, bdi(local(one.reason)))));
    });
    const made = element("p", { class: "small", text: t("made_with", { version: city.tarmim || "" }) });
    const run = element("p", { class: "small" }, bdi(t("run", { run: city.run })));
    const demo = city.study.generated ? element("p", { class: "sentence", text: t("generated_long") }) : null;
    return [demo, counts, method, section(t("criteria"), list), sources(), run, made].filter(Boolean);
  }

  // -------------------------------------------------------------------------------------------------------------- context layers

  const drawn = new Map();

  /* World coordinates of Web Mercator, 0 to 1, so that any zoom is one multiplication away. */
  function world(flat, origin) {
    const made = new Float64Array(flat.length);
    let [x, y] = origin;
    for (let k = 0; k < flat.length; k += 2) {
      x += flat[k];
      y += flat[k + 1];
      const sine = Math.sin(((y / 1e5) * Math.PI) / 180);
      made[k] = (x / 1e5 + 180) / 360;
      made[k + 1] = 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
    }
    return made;
  }

  function dotPath(context, shape, x, y, r) {
    if (shape === "square") context.rect(x - r, y - r, 2 * r, 2 * r);
    else if (shape === "triangle") {
      context.moveTo(x, y - r * 1.2);
      context.lineTo(x + r * 1.1, y + r * 0.8);
      context.lineTo(x - r * 1.1, y + r * 0.8);
      context.closePath();
    } else if (shape === "diamond") {
      context.moveTo(x, y - r * 1.25);
      context.lineTo(x + r * 1.25, y);
      context.lineTo(x, y + r * 1.25);
      context.lineTo(x - r * 1.25, y);
      context.closePath();
    } else if (shape === "cross") {
      const a = r * 0.38;
      context.moveTo(x - a, y - r);
      [[a, -r], [a, -a], [r, -a], [r, a], [a, a], [a, r], [-a, r], [-a, a], [-r, a], [-r, -a], [-a, -a]].forEach(([dx, dy]) => context.lineTo(x + dx, y + dy));
      context.closePath();
    } else {
      context.moveTo(x + r, y);
      context.arc(x, y, r, 0, 2 * Math.PI);
    }
  }

  function prepare(context, style, scale) {
    context.setLineDash(style.dash ? [5, 3] : []);
    context.strokeStyle = style.colour;
    context.fillStyle = style.colour;
    context.lineWidth = (style.width || 1.4) * scale;
    context.lineJoin = "round";
  }

  const Context = L.Renderer.extend({
    initialize(payload, level) {
      L.Renderer.prototype.initialize.call(this, { padding: 0.3, pane: "context" });
      const placed = (flat) => world(flat, payload.origin);
      this._level = level;
      this._classes = payload.classes;
      this._dots = { codes: payload.points.codes, xy: placed(payload.points.xy) };
      this._lines = { codes: payload.paths.codes, parts: payload.paths.lines.map((lines) => lines.map(placed)) };
      this._areas = { codes: payload.areas.codes, parts: payload.areas.rings.map((rings) => rings.map(placed)) };
    },
    _initContainer() {
      this._container = document.createElement("canvas");
      this._container.setAttribute("aria-hidden", "true");
      this._container.style.zIndex = this._level;
      this._context = this._container.getContext("2d");
    },
    _destroyContainer() {
      this._container.remove();
      delete this._context;
      delete this._container;
    },
    _updatePaths() {},
    _update() {
      if (this._map._animatingZoom && this._bounds) return;
      L.Renderer.prototype._update.call(this);
      const size = this._bounds.getSize();
      const ratio = window.devicePixelRatio || 1;
      L.DomUtil.setPosition(this._container, this._bounds.min);
      this._container.width = ratio * size.x;
      this._container.height = ratio * size.y;
      this._container.style.width = size.x + "px";
      this._container.style.height = size.y + "px";
      this._context.scale(ratio, ratio);
      this._draw(size);
    },
    _draw(size) {
      const zoom = this._map.getZoom();
      const scale = 256 * 2 ** zoom;
      const origin = this._map.getPixelOrigin();
      const [x0, y0] = [origin.x + this._bounds.min.x, origin.y + this._bounds.min.y];
      const thick = zoom < 13 ? 0.7 : zoom < 15 ? 1 : 1.5;
      const seen = (part) => {
        let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
        for (let k = 0; k < part.length; k += 2) {
          left = Math.min(left, part[k]);
          right = Math.max(right, part[k]);
          top = Math.min(top, part[k + 1]);
          bottom = Math.max(bottom, part[k + 1]);
        }
        return right * scale - x0 > 0 && left * scale - x0 < size.x && bottom * scale - y0 > 0 && top * scale - y0 < size.y;
      };
      const trace = (part) => {
        this._context.moveTo(part[0] * scale - x0, part[1] * scale - y0);
        for (let k = 2; k < part.length; k += 2) this._context.lineTo(part[k] * scale - x0, part[k + 1] * scale - y0);
      };
      for (let code = this._classes.length - 1; code >= 0; code -= 1) {
        const style = this._classes[code];
        prepare(this._context, style, thick);
        this._each(this._areas, code, (parts) => parts.some(seen) && parts.forEach(trace), () => {
          this._context.globalAlpha = 0.5;
          this._context.fill("evenodd");
          this._context.globalAlpha = 1;
          this._context.stroke();
        });
        this._each(this._lines, code, (parts) => parts.filter(seen).forEach(trace), () => this._context.stroke());
        this._points(code, style, scale, x0, y0, size, (style.size || 3) * (zoom < 13 ? 0.62 : zoom < 15 ? 0.85 : 1.3));
      }
    },
    _each(features, code, trace, finish) {
      let waiting = 0;
      this._context.beginPath();
      features.codes.forEach((own, n) => {
        if (own !== code) return;
        trace(features.parts[n]);
        waiting += 1;
        if (waiting % 32 === 0) {
          finish();
          this._context.beginPath();
        }
      });
      finish();
    },
    _points(code, style, scale, x0, y0, size, r) {
      const { codes, xy } = this._dots;
      const context = this._context;
      let waiting = 0;
      context.setLineDash([]);
      context.lineWidth = style.hollow ? 1.4 : 0.6;
      context.strokeStyle = style.hollow ? style.colour : "#ffffff";
      context.fillStyle = style.hollow ? "#ffffff" : style.colour;
      const finish = () => {
        context.fill();
        if (r > 2.2) context.stroke();
        context.beginPath();
      };
      context.beginPath();
      for (let n = 0; n < codes.length; n += 1) {
        if (codes[n] !== code) continue;
        const x = xy[2 * n] * scale - x0;
        const y = xy[2 * n + 1] * scale - y0;
        if (x < -r || y < -r || x > size.x + r || y > size.y + r) continue;
        dotPath(context, style.shape, x, y, r);
        waiting += 1;
        if (waiting % 16 === 0) finish();
      }
      finish();
    },
  });

  function sample(payload, style, code) {
    const canvas = element("canvas", { class: "sample", "aria-hidden": "true" });
    const ratio = window.devicePixelRatio || 1;
    canvas.width = 24 * ratio;
    canvas.height = 16 * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    prepare(context, style, 1);
    context.beginPath();
    if (payload.areas.codes.includes(code)) {
      context.rect(4, 3, 16, 10);
      context.globalAlpha = 0.5;
      context.fill();
      context.globalAlpha = 1;
    } else if (payload.paths.codes.includes(code)) {
      context.moveTo(1, 8);
      context.lineTo(23, 8);
      context.stroke();
      context.beginPath();
    }
    if (payload.points.codes.includes(code)) {
      context.setLineDash([]);
      context.lineWidth = 1.4;
      context.fillStyle = style.hollow ? "#ffffff" : style.colour;
      dotPath(context, style.shape, 12, 8, Math.min(style.size || 4, 5.5));
      context.fill();
    }
    context.stroke();
    return canvas;
  }

  function layerPanel() {
    $("layers").hidden = config.layers.length === 0;
    $("layers-body").replaceChildren(
      ...config.layers.map((layer) => {
        const box = element("input", { type: "checkbox", id: "layer-" + layer.name, disabled: Boolean(layer.too_big) });
        box.checked = state.layers.has(layer.name);
        box.addEventListener("change", () => {
          if (box.checked) state.layers.add(layer.name);
          else state.layers.delete(layer.name);
          showLayer(layer);
          restyle();
          save(true);
        });
        const status = element("div", { class: "small layer-status", role: "status", id: "status-" + layer.name });
        if (layer.too_big) status.textContent = t("layer_too_big");
        return element("li", {}, element("label", {}, box, bdi(local(layer.label))), status);
      }),
    );
    config.layers.forEach(showLayer);
  }

  async function layerData(layer) {
    const embedded = read("tarmim-layer-" + layer.name);
    return embedded === null ? fetched(layer.url) : embedded;
  }

  async function fetched(url) {
    const answer = await fetch(url, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  }

  async function showLayer(layer) {
    const wanted = () => state.layers.has(layer.name);
    const status = () => $("status-" + layer.name);
    if (layer.too_big) return;
    if (!wanted()) {
      status().replaceChildren();
      if (drawn.has(layer.name)) drawn.get(layer.name).canvas.remove();
      return;
    }
    if (!drawn.has(layer.name)) {
      status().textContent = t("loading");
      let payload = null;
      try {
        payload = await layerData(layer);
      } catch (error) {
        state.layers.delete(layer.name);
        $("layer-" + layer.name).checked = false;
        status().textContent = t("failed_layer");
        restyle();
        return;
      }
      if (!drawn.has(layer.name)) drawn.set(layer.name, { payload, canvas: new Context(payload, config.order.indexOf(layer.name) + 1) });
      if (!wanted()) return;
    }
    const { payload, canvas } = drawn.get(layer.name);
    canvas.addTo(map);
    status().replaceChildren(...layerLegend(payload));
  }

  function layerLegend(payload) {
    if (payload.total === 0) return [element("p", { text: t("layer_empty") })];
    const list = element("ul", { class: "swatches" });
    payload.classes.forEach((style, code) => {
      const n = (style.shown < style.total ? figure(style.shown, 0) + " / " : "") + figure(style.total, 0);
      list.append(element("li", {}, sample(payload, style, code), bdi(local(style.label)), element("span", { class: "count" }, number("(" + n + ")"))));
    });
    return [
      list,
      payload.message ? element("p", { class: "layer-capped" }, t("layer_shown", { n: payload.shown, total: payload.total }) + ". ", bdi(local(payload.message))) : null,
      payload.without_place > 0 ? element("p", { text: counted("no_place", payload.without_place) }) : null,
    ].filter(Boolean);
  }

  // ----------------------------------------------------------------------------------------------------- the address keeps the view

  let quiet = false;

  function address() {
    const at = map.getCenter();
    const parts = new URLSearchParams();
    parts.set("v", [map.getZoom(), at.lat.toFixed(5), at.lng.toFixed(5)].join("/"));
    if (state.selected !== null) parts.set("sel", city.id[state.selected]);
    if (state.measure !== "score") parts.set("m", state.measure);
    if (state.layers.size > 0) parts.set("layers", [...state.layers].join(","));
    parts.set("lang", state.lang);
    return "#" + parts.toString().replace(/%2F/g, "/").replace(/%2C/g, ",");
  }

  function save(push) {
    if (quiet || city === null) return;
    const hash = address();
    if (hash === window.location.hash) return;
    window.history[push ? "pushState" : "replaceState"](null, "", hash);
  }

  function restore() {
    const parts = new URLSearchParams(window.location.hash.slice(1));
    quiet = true;
    if (parts.get("lang") in config.messages) state.lang = parts.get("lang");
    const measure = parts.get("m") || "score";
    state.measure = measure === "rank" || measures.has(measure) ? measure : "score";
    const known = new Set(config.layers.filter((layer) => !layer.too_big).map((layer) => layer.name));
    state.layers = new Set((parts.get("layers") || "").split(",").filter((name) => known.has(name)));
    const chosen = parts.has("sel") ? city.id.indexOf(parts.get("sel")) : -1;
    speak();
    select(chosen === -1 ? null : chosen, { save: false });
    const view = (parts.get("v") || "").split("/").map(Number);
    if (view.length === 3 && view.every(Number.isFinite) && Math.abs(view[1]) <= 85 && Math.abs(view[2]) <= 180) {
      map.setView([view[1], view[2]], Math.min(Math.max(view[0], 2), 19), { animate: false });
    } else {
      wholeCity();
    }
    quiet = false;
  }

  let fitted = "";
  const viewNow = () => [map.getZoom(), map.getCenter().lat.toFixed(4), map.getCenter().lng.toFixed(4)].join();

  function wholeCity() {
    const [west, south, east, north] = city.bounds;
    if (city.bounds.length === 4) map.fitBounds([[south, west], [north, east]], { animate: false, padding: [12, 12] });
    fitted = viewNow();
  }

  /* Another size of the box: whoever looks at the whole city goes on seeing all of it. */
  function resized() {
    const whole = viewNow() === fitted;
    map.invalidateSize({ pan: true, animate: false });
    if (whole) wholeCity();
  }

  // ------------------------------------------------------------------------------------------------------------------- language

  /* All words again, in the language of the state. */
  function speak() {
    const root = document.documentElement;
    root.lang = state.lang;
    root.dir = state.lang === "ar" ? "rtl" : "ltr";
    document.querySelectorAll("[data-msg]").forEach((one) => (one.textContent = t(one.dataset.msg)));
    document.querySelectorAll("[data-msg-label]").forEach((one) => one.setAttribute("aria-label", t(one.dataset.msgLabel)));
    document.querySelectorAll("[data-msg-placeholder]").forEach((one) => one.setAttribute("placeholder", t(one.dataset.msgPlaceholder)));
    document.querySelectorAll("[data-lang]").forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.lang === state.lang)));
    $("generated").title = t("generated_long");
    const name = local(city === null ? config.title : city.study.name);
    document.title = plainText(fill(config.messages[state.lang].title, { city: name })) + " · " + t("tarmim");
    $("city").replaceChildren(bdi(name));
    if ($("list-link")) $("list-link").href = config.list_url.replace("{lang}", state.lang);
    if (city === null) return;
    $("generated").hidden = !city.study.generated;
    $("run").replaceChildren(bdi(t("run", { run: city.run.slice(0, 16) })));
    measureChoices();
    districtChoices();
    buildList();
    filter();
    layerPanel();
    drawScale();
    map.getContainer().setAttribute("aria-label", t("map"));
    if (state.selected !== null) options[state.selected].row.setAttribute("aria-selected", "true");
    showPanel();
  }

  // ---------------------------------------------------------------------------------------------------------------------- start

  function wire() {
    $("search").addEventListener("input", filter);
    $("district").addEventListener("change", filter);
    $("rows").addEventListener("keydown", listKeys);
    $("measure").addEventListener("change", (event) => {
      state.measure = event.target.value;
      restyle();
      save(true);
    });
    $("zoom-in").addEventListener("click", () => map.zoomIn());
    $("zoom-out").addEventListener("click", () => map.zoomOut());
    $("zoom-all").addEventListener("click", wholeCity);
    $("panel-close").addEventListener("click", closePanel);
    $("panel").addEventListener("keydown", (event) => event.key === "Escape" && closePanel());
    $("about-button").addEventListener("click", () => {
      state.about = !state.about;
      showPanel();
      if (state.about) $("panel-title").focus();
    });
    document.querySelectorAll("[data-lang]").forEach((one) =>
      one.addEventListener("click", () => {
        state.lang = one.dataset.lang;
        speak();
        save(true);
      }),
    );
    map.on("moveend", () => {
      drawScale();
      save(false);
    });
    window.addEventListener("popstate", restore);
    new ResizeObserver(resized).observe($("map-box"));
  }

  function index() {
    measures = new Map(city.measures.map((measure) => [measure.id, measure]));
    absent = new Map(city.absent.map((measure) => [measure.id, measure]));
    criteria = new Set(city.scheme.criteria.map((one) => one.measure));
    search = city.id.map((id, i) => searchable([city.name_ar[i], city.name_en[i], id].join(" ")));
    visible = city.id.map(() => true);
  }

  function begin(found) {
    city = found;
    index();
    map.setMinZoom(8);
    map.setMaxZoom(19);
    map.getContainer().setAttribute("role", "application");
    map.getContainer().setAttribute("aria-describedby", "map-help");
    if (phone()) $("legend").open = false;
    wholeCity();
    names.addTo(map);
    drawShapes();
    restore();
    wire();
    $("map-loading").hidden = true;
    $("main").setAttribute("aria-busy", "false");
    document.documentElement.dataset.ready = "true";
    if (document.fonts) document.fonts.ready.then(() => names.refresh());
  }

  function fail() {
    $("trouble").textContent = t("failed_city");
    $("trouble").hidden = false;
    $("map-loading").hidden = true;
    $("main").setAttribute("aria-busy", "false");
  }

  const embedded = read("tarmim-city");
  if (embedded !== null) begin(embedded);
  else fetched(config.data_url).then(begin, fail);
})();
