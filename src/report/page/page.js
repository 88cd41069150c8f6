// SPDX-License-Identifier: Apache-2.0
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const $ = (q) => document.querySelector(q);
// By kind, as in StarPU's traces.
const colours = { gemm: '#4caf50', expert: '#1b8e3a', attention: '#8bc34a', memory: '#90a4ae', reduction: '#607d8b', gate: '#00bcd4', routing: '#00838f',
	alltoall: '#ec407a', allgather: '#fb8c00', 'reduce-scatter': '#fdd835', allreduce: '#8e24aa', broadcast: '#8d6e63',
	dependency: '#b0bec5', order: '#5c6bc0', 'late peer': '#d32f2f', 'slow link': '#ff7043', scheduler: '#6d4c41', overhead: '#a1887f',
	submission: '#00897b', done: '#78909c', unexplained: '#212121' };
const colour = (kind) => colours[kind] || '#607d8b';

function add(parent, tag, attributes = {}, text) {
	const svg = ['svg', 'path', 'line', 'text', 'circle', 'rect'].includes(tag);
	const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
	for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
	if (text !== undefined) e.textContent = text;
	parent.append(e);
	return e;
}

function short(x) {
	if (x === null || x === undefined || !isFinite(x)) return '-';
	const a = Math.abs(x);
	if (a !== 0 && (a < 1e-3 || a >= 1e7)) return x.toExponential(2);
	return a >= 1000 ? Math.round(x).toLocaleString('en') : String(+x.toPrecision(4));
}

const tip = $('#tip');
function show(event, text) {
	tip.hidden = !text;
	tip.textContent = text;
	if (!text) return;
	const x = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 4);
	const y = event.clientY + 14 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 8 : event.clientY + 14;
	tip.style.left = Math.max(4, x) + 'px';
	tip.style.top = y + 'px';
}

function ticks(low, high, n) {
	const raw = (high - low) / n || 1, unit = 10 ** Math.floor(Math.log10(raw));
	const step = [1, 2, 5, 10].map((f) => f * unit).find((s) => s >= raw);
	const all = [];
	for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-6; t += step) all.push(+t.toPrecision(12));
	return all;
}

// A chart: lines over x, a band between two of them, dots. log: both axes by powers of ten.
function chart(parent, title, { x, lines = [], band, dots = [], dotName = 'held out', log, unit = '', zero }) {
	const figure = add(parent, 'figure'), W = 360, H = 190, L = 46, R = 8, T = 8, B = 22;
	add(figure, 'h3', {}, title);
	const svg = add(figure, 'svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': title });
	const ys = lines.flatMap((l) => l.y).concat(band ? band.flatMap((b) => b) : [], dots.map((d) => d[1])).filter((v) => v !== null && isFinite(v));
	const xs = x.concat(dots.map((d) => d[0]));
	const f = log ? Math.log10 : (v) => v;
	let [x0, x1, y0, y1] = [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b)), ys.reduce((a, b) => Math.min(a, b)), ys.reduce((a, b) => Math.max(a, b))].map(f);
	if (zero) y0 = Math.min(0, y0);
	if (x1 === x0) x1 = x0 + 1;
	if (y1 === y0) y1 = y0 + (Math.abs(y0) || 1) * 0.1;
	const px = (v) => L + (f(v) - x0) / (x1 - x0) * (W - L - R), py = (v) => H - B - (f(v) - y0) / (y1 - y0) * (H - T - B);
	const text = (v) => log ? short(10 ** v) : short(v), back = (v) => log ? 10 ** v : v;
	for (const t of ticks(y0, y1, 4)) {
		add(svg, 'line', { class: 'axis', x1: L, x2: W - R, y1: py(back(t)), y2: py(back(t)) });
		add(svg, 'text', { x: L - 4, y: py(back(t)) + 3, 'text-anchor': 'end' }, text(t));
	}
	for (const t of ticks(x0, x1, 5)) add(svg, 'text', { x: Math.min(px(back(t)), W - 2), y: H - 8, 'text-anchor': px(back(t)) > W - 26 ? 'end' : 'middle' }, text(t));
	const path = (y) => y.map((v, i) => v === null || !isFinite(v) ? '' : (i && y[i - 1] !== null ? 'L' : 'M') + px(x[i]).toFixed(1) + ' ' + py(v).toFixed(1)).join('');
	if (band) {
		const edge = (y) => y.map((v, i) => px(x[i]).toFixed(1) + ' ' + py(v).toFixed(1));
		add(svg, 'path', { class: 'band', d: 'M' + edge(band[0]).concat(edge(band[1]).reverse()).join('L') + 'Z' });
	}
	for (const l of lines) {
		const p = add(svg, 'path', { class: 'curve ' + (l.class || 'one'), d: path(l.y) });
		if (l.colour) p.style.stroke = l.colour;
	}
	for (const d of dots) {
		const e = add(svg, 'circle', { class: 'dot', cx: px(d[0]), cy: py(d[1]), r: 2.6 });
		if (d[2]) { e.style.fill = d[2]; e.style.stroke = 'var(--ink)'; e.addEventListener('pointermove', (ev) => show(ev, d[3])); e.addEventListener('pointerleave', () => show(null, '')); }
	}
	const named = lines.filter((l) => l.name);
	if (named.length > 1 || dots.length) {
		const keys = add(figure, 'div', { class: 'keys' });
		for (const l of named) add(add(keys, 'span'), 'i', { style: `background:${l.colour || (l.class && l.class.includes('two') ? 'var(--two)' : 'var(--one)')}` }).after(l.name);
		if (dots.length) add(add(keys, 'span'), 'i', { style: `background:var(--${log ? 'soft' : 'two'});border-radius:50%` }).after(dotName);
	}
	if (log) return;
	const cursor = add(svg, 'line', { class: 'cursor', y1: T, y2: H - B, visibility: 'hidden' });
	svg.addEventListener('pointermove', (e) => {
		const at = svg.getBoundingClientRect(), want = x0 + ((e.clientX - at.left) / at.width * W - L) / (W - L - R) * (x1 - x0);
		let i = 0;
		for (let k = 0; k < x.length; k++) if (Math.abs(x[k] - want) < Math.abs(x[i] - want)) i = k;
		cursor.setAttribute('x1', px(x[i])); cursor.setAttribute('x2', px(x[i])); cursor.setAttribute('visibility', 'visible');
		const near = dots.find((d) => d[0] === x[i]);
		show(e, `step ${x[i]}\n` + lines.filter((l) => l.name).map((l) => `${l.name} ${short(l.y[i])} ${unit}`).join('\n') + (near ? `\nheld out ${short(near[1])}` : ''));
	});
	svg.addEventListener('pointerleave', () => { show(null, ''); cursor.setAttribute('visibility', 'hidden'); });
}

// Running mean over about a fiftieth of the run, so that a noisy curve shows where it goes.
function smooth(y) {
	const w = Math.max(1, Math.round(y.length / 50)), out = [];
	for (let i = 0; i < y.length; i++) {
		const part = y.slice(Math.max(0, i - w), i + w + 1).filter((v) => v !== null);
		out.push(part.length ? part.reduce((a, b) => a + b, 0) / part.length : null);
	}
	return out;
}

function summary() {
	const s = data.summary, dl = $('#summary');
	const tile = (name, value) => { if (value === '-' || value === undefined) return; const d = add(dl, 'div'); add(d, 'dt', {}, name); add(d, 'dd', {}, value); };
	$('#title').textContent = data.run;
	document.title = 'fsmoe report: ' + data.run;
	tile('steps', short(s.steps));
	tile('loss', `${short(s.first_loss)} → ${short(s.last_loss)}`);
	tile('held-out loss', short(s.held_out_loss));
	tile('tokens/s', short(s.tokens_per_s));
	tile('ms a step', short(s.median_ms));
	tile('10 % to 90 %', `${short(s.p10_ms)} to ${short(s.p90_ms)}`);
	if (s.dropped_share !== null) tile('dropped', short(100 * s.dropped_share) + ' %');
}

function curves() {
	const c = data.columns, x = c.step, grid = $('#curves .grid');
	const noisy = (name, key, more = {}) => c[key] && chart(grid, name, { x, lines: [{ y: c[key], class: 'one faint', name: name }, { y: smooth(c[key]), name: 'running mean' }], ...more });
	noisy('loss', 'loss', { dots: data.held_out });
	chart(grid, 'learning rate', { x, lines: [{ y: c.lr, name: 'learning rate' }], zero: true });
	noisy('gradient norm', 'grad_norm');
	noisy('tokens/s', 'tokens_per_s', { zero: true });
	noisy('ms a step', 'ms', { zero: true });
	noisy('Gflop/s', 'gflops_per_s', { zero: true });
}

function experts() {
	const c = data.columns, x = c.step, grid = $('#experts .grid');
	if (!c.load_mean || !c.routed) return $('#experts').remove();
	chart(grid, 'tokens of an expert: least, mean, most', { x, band: [c.load_min, c.load_max], zero: true,
		lines: [{ y: c.load_mean, name: 'mean' }, { y: c.load_min, class: 'one faint', name: 'least' }, { y: c.load_max, class: 'one faint', name: 'most' }] });
	const share = c.dropped.map((d, i) => c.routed[i] ? 100 * d / c.routed[i] : null);
	chart(grid, 'choices dropped, %', { x, zero: true, lines: [{ y: share, class: 'one faint', name: 'dropped' }, { y: smooth(share), name: 'running mean' }], unit: '%' });
	if (c.entropy) chart(grid, 'evenness of experts, 0 to 1', { x, lines: [{ y: c.entropy, name: 'evenness' }] });
	if (data.rank_load.length) heat(grid, 'load of expert-parallel ranks over the even share', 'rank', data.rank_load);
	if (data.expert_load) {
		heat(grid, 'fullest expert of each layer over the even share', 'layer', data.expert_load.peak, true);
		shares(grid);
	}
}

// Over steps, tokens of each rank over the even share, or such a ratio itself: blue is less, red is more.
function heat(grid, title, what, rows, ratio) {
	const full = ratio ? 1.5 : 0.5, ranks = rows[0].length - 1, figure = add(grid, 'figure'), W = 360, L = 46, h = Math.max(6, Math.min(26, 150 / ranks)), H = ranks * h + 22;
	add(figure, 'h3', {}, title);
	const svg = add(figure, 'svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': 'heat map: ' + title }), w = (W - L - 8) / rows.length;
	rows.forEach((row, i) => {
		const mean = ratio ? 1 : row.slice(1).reduce((a, b) => a + b, 0) / ranks || 1;
		for (let r = 0; r < ranks; r++) {
			const over = row[r + 1] / mean;
			const cell = add(svg, 'rect', { x: L + i * w, y: r * h, width: w + 0.3, height: h - 1, fill: warmth(over, full) });
			cell.addEventListener('pointermove', (e) => show(e, `step ${row[0]}, ${what} ${r}\n` + (ratio ? '' : `${short(row[r + 1])} tokens, `) + `${short(over)} of the even share`));
			cell.addEventListener('pointerleave', () => show(null, ''));
		}
	});
	for (let r = 0; r < ranks; r += Math.ceil(ranks / 16)) add(svg, 'text', { x: L - 4, y: r * h + h / 2 + 3, 'text-anchor': 'end' }, what + ' ' + r);
	add(svg, 'text', { x: L, y: H - 8 }, rows[0][0]);
	add(svg, 'text', { x: W - 8, y: H - 8, 'text-anchor': 'end' }, rows[rows.length - 1][0]);
	warmthKeys(figure, full);
}

// Full colour where it is so much over or below 1.
const warmth = (over, full) => `rgba(${over > 1 ? '229,57,53' : '30,136,229'},${Math.min(1, Math.abs(over - 1) / full).toFixed(3)})`;
function warmthKeys(figure, full) {
	const keys = add(figure, 'div', { class: 'keys' });
	if (full < 1) add(add(keys, 'span'), 'i', { style: 'background:rgb(30,136,229)' }).after(`${1 - full} of it or less`);
	add(add(keys, 'span'), 'i', { style: 'background:rgb(229,57,53)' }).after(`${1 + full} of it or more`);
}

// Every expert of every layer, in the mean over the run's last steps.
function shares(grid) {
	const load = data.expert_load, layers = load.layers.length, experts = Math.max(...load.layers.map((l) => l.length));
	const figure = add(grid, 'figure'), W = 360, L = 46, h = Math.max(6, Math.min(26, 150 / layers)), H = layers * h + 22, w = (W - L - 8) / experts;
	add(figure, 'h3', {}, `load of experts over the even share, steps ${load.from} to ${load.to}`);
	const svg = add(figure, 'svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': 'heat map of the load of experts by layer' });
	load.layers.forEach((row, l) => {
		const mean = row.reduce((a, b) => a + b, 0) / row.length || 1;
		row.forEach((tokens, e) => {
			const cell = add(svg, 'rect', { x: L + e * w, y: l * h, width: Math.max(1, w - 1), height: h - 1, fill: warmth(tokens / mean, 0.5) });
			cell.addEventListener('pointermove', (ev) => show(ev, `layer ${l}, expert ${e}\n${short(tokens)} tokens a step, ${short(tokens / mean)} of the even share`));
			cell.addEventListener('pointerleave', () => show(null, ''));
		});
		if (l % Math.ceil(layers / 16) === 0) add(svg, 'text', { x: L - 4, y: l * h + h / 2 + 3, 'text-anchor': 'end' }, 'layer ' + l);
	});
	add(svg, 'text', { x: L, y: H - 8 }, 'expert 0');
	add(svg, 'text', { x: W - 8, y: H - 8, 'text-anchor': 'end' }, String(experts - 1));
	warmthKeys(figure, 0.5);
}

const lanes = ['compute', 'intra', 'inter'];
const us = (v) => v >= 1000 ? short(v / 1000) + ' ms' : short(v) + ' µs';

const dark = (hex) => 0.3 * parseInt(hex.slice(1, 3), 16) + 0.59 * parseInt(hex.slice(3, 5), 16) + 0.11 * parseInt(hex.slice(5, 7), 16) < 140;

// Measured ranks above, the prediction below, on one axis; wheel or buttons zoom, dragging moves.
function gantt() {
	const t = data.timeline, box = $('#gantt');
	const rows = t.tracks.flatMap((track, rank) => lanes.map((name, lane) => ({ track, name, lane, slices: track.slices.filter((s) => s[3] === lane),
		waits: track.predicted ? [] : t.waits.filter((w) => w[0] === rank && w[1] === lane), path: [] })).filter((r) => r.slices.length));
	const canvas = document.createElement('canvas'), tools = add(box, 'div', { class: 'tools' });
	const L = 122, h = 18, top = 6, gap = 8, end = Math.max(t.span_us, t.predicted_us || 0);
	let from = 0, to = end, hit = [], gaps = [];
	const taskOf = new Map(rows.flatMap((r) => r.track.predicted ? [] : r.slices.map((s) => [t.tracks.indexOf(r.track) + ' ' + s[5], r])));
	for (const p of t.path.segments) if (p[3] < 0) { const r = taskOf.get(p[0] + ' ' + p[4]); if (r) r.path.push(p); }
	rows.forEach((r, i) => { r.y = i ? rows[i - 1].y + h + (r.track !== rows[i - 1].track ? gap : 2) : top; });
	const height = rows[rows.length - 1].y + h + 24;
	const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
	// On paper it is as wide as a page, so that its letters are as large as the others.
	function draw(paper) {
		const W = paper === true ? 720 : canvas.clientWidth, scale = paper === true ? 3 : devicePixelRatio || 1, c = canvas.getContext('2d');
		canvas.width = W * scale; canvas.height = height * scale; canvas.style.height = paper === true ? 'auto' : height + 'px';
		c.setTransform(scale, 0, 0, scale, 0, 0);
		c.font = '11px system-ui, sans-serif';
		const px = (v) => L + (v - from) / (to - from) * (W - L - 6);
		c.fillStyle = css('--soft'); c.strokeStyle = css('--line');
		for (const v of ticks(from, to, Math.max(2, W / 140))) {
			c.beginPath(); c.moveTo(px(v), 0); c.lineTo(px(v), height - 16); c.stroke();
			if (px(v) < W - 30) c.fillText(us(v), px(v) + 2, height - 5);
		}
		hit = [];
		gaps = [];
		for (const r of rows) {
			c.fillStyle = css('--soft');
			c.fillText(r.track.name.slice(0, 9) + ' ' + r.name, 4, r.y + 13);
			c.save(); c.beginPath(); c.rect(L, r.y, W - L - 6, h); c.clip();
			// Waiting is a thin line in the cause's colour, so that gaps can be told from tasks.
			for (const w of r.waits) {
				const a = px(w[2]), b = px(w[3]);
				if (b < L || a > W || b - a < 0.3) continue;
				c.fillStyle = colour(t.causes[w[4]].name);
				c.fillRect(a, r.y + h / 2 - 2, b - a, 4);
				gaps.push([a, b, r, null, w]);
			}
			for (const s of r.slices) {
				const a = px(s[0]), b = px(s[1]);
				if (b < L || a > W) continue;
				c.fillStyle = colour(t.kinds[s[4]]);
				c.fillRect(a, r.y, Math.max(b - a, 0.6), h);
				hit.push([Math.max(a, L) - 1, Math.max(b, a + 2) + 1, r, s]);
				if (b - a > 60) { c.fillStyle = dark(c.fillStyle) ? '#fff' : '#000'; c.fillText(s[5], Math.max(a, L) + 3, r.y + 13, b - Math.max(a, L) - 5); }
			}
			// The critical path: a line under what is on it.
			c.fillStyle = css('--ink');
			for (const p of r.path) if (px(p[2]) >= L && px(p[1]) <= W) c.fillRect(px(p[1]), r.y + h - 2.5, Math.max(px(p[2]) - px(p[1]), 0.6), 2.5);
			c.restore();
		}
	}
	function zoom(factor, at) {
		const width = Math.min(end, Math.max(5, (to - from) * factor)), part = (at - from) / (to - from);
		from = Math.max(0, Math.min(end - width, at - part * width)); to = from + width;
		draw();
	}
	const time = (e) => { const b = canvas.getBoundingClientRect(); return from + (e.clientX - b.left - L) / (b.width - L - 6) * (to - from); };
	for (const [name, act] of [['+', () => zoom(0.5, (from + to) / 2)], ['−', () => zoom(2, (from + to) / 2)], ['all', () => { from = 0; to = end; draw(); }]])
		add(tools, 'button', { type: 'button', 'aria-label': 'zoom ' + name }, name).addEventListener('click', act);
	add(tools, 'span', {}, 'Ctrl and wheel zoom, dragging moves');
	box.append(canvas);
	let drag = null;
	canvas.addEventListener('wheel', (e) => { if (e.ctrlKey) { e.preventDefault(); zoom(e.deltaY > 0 ? 1.25 : 0.8, time(e)); } }, { passive: false });
	canvas.addEventListener('pointerdown', (e) => { drag = [e.clientX, from]; });
	addEventListener('pointerup', () => { drag = null; });
	canvas.addEventListener('pointermove', (e) => {
		const b = canvas.getBoundingClientRect(), x = e.clientX - b.left, y = e.clientY - b.top;
		if (drag && e.buttons) {
			const width = to - from;
			from = Math.max(0, Math.min(end - width, drag[1] - (e.clientX - drag[0]) / (b.width - L) * width)); to = from + width;
			return draw();
		}
		const under = ([a, z, r]) => x >= a && x <= z && y >= r.y && y <= r.y + h, found = hit.find(under) || gaps.find(under);
		if (!found) return show(e, '');
		const [, , r, s, w] = found;
		if (w) return show(e, `${r.track.name}, ${r.name}: ${t.causes[w[4]].name}\n${us(w[2])} to ${us(w[3])}: ${us(w[3] - w[2])}\n${t.causes[w[4]].doc}` + (w[6] ? `: ${w[6]}` + (w[5] !== w[0] ? `, rank ${w[5]}` : '') : ''));
		show(e, `${s[5]}\n${t.kinds[s[4]]}, ${r.track.name}, ${r.name}${s[6] ? ', ' + s[6] : ''}\n${us(s[0])} to ${us(s[1])}: ${us(s[1] - s[0])}` + (r.track.predicted ? '' : `\nready at ${us(s[2])}, waited ${us(Math.max(0, s[0] - s[2]))}`));
	});
	canvas.addEventListener('pointerleave', () => show(null, ''));
	const keys = add(box, 'div', { class: 'keys' });
	for (const k of t.kinds) add(add(keys, 'span'), 'i', { style: 'background:' + colour(k) }).after(k);
	addEventListener('resize', draw);
	addEventListener('beforeprint', () => draw(true));
	addEventListener('afterprint', draw);
	matchMedia('print').addEventListener('change', (e) => draw(e.matches));
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
	draw();
}

// Bars whose pieces add up to the step.
function bars(box, rows, span) {
	for (const [label, pieces] of rows) {
		const row = add(box, 'div', { class: 'row' });
		add(row, 'span', {}, label);
		const bar = add(row, 'div', { class: 'bar' });
		for (const [name, value, kind, striped] of pieces) {
			if (!(value > 0)) continue;
			const e = add(bar, 'span', { class: striped ? 'exposed' : '', style: `width:${100 * value / span}%;background-color:${colour(kind)}` });
			e.addEventListener('pointermove', (ev) => show(ev, `${name}\n${us(value)}, ${short(100 * value / span)} % of the step`));
			e.addEventListener('pointerleave', () => show(null, ''));
		}
	}
}

function split() {
	const t = data.timeline, box = $('#split'), percent = (v) => v ? (100 * v / t.span_us).toFixed(1) : '';
	add(box, 'h3', { style: 'margin-top:14px' }, 'Where the step went: what compute lanes did, and waited for');
	bars(box, t.split.map((p) => [p.track, [...Object.entries(p.compute).map(([k, v]) => [k, v, k]),
		...Object.entries(p.exposed).map(([k, v]) => [k + ', exposed: nothing computes', v, k, true]),
		...Object.entries(p.waits).map(([k, v]) => [k, v, k])]]), t.span_us);
	const keys = add(box, 'div', { class: 'keys' });
	add(add(keys, 'span'), 'i', { class: 'exposed', style: 'background-color:' + colour('alltoall') }).after('striped: communication that nothing hides');
	for (const c of t.causes) if (t.lanes.some((l) => l.waits[c.name])) add(add(keys, 'span'), 'i', { style: 'background:' + colour(c.name) }).after(`${c.name}: ${c.doc}`);
	add(box, 'h3', { style: 'margin-top:14px' }, 'Waiting by cause, % of the step');
	table(box, ['rank, lane', 'runs', ...t.causes.map((c) => c.name)], t.lanes.map((l) => [`${l.rank} ${lanes[l.lane]}`, percent(l.run), ...t.causes.map((c) => percent(l.waits[c.name]))]));
}

function path() {
	const t = data.timeline, p = t.path, box = $('#path');
	add(box, 'h3', { style: 'margin-top:14px' }, `Critical path: ${us(p.us)}, ${short(100 * p.us / t.span_us)} % of the step`);
	bars(box, [['through all ranks', [...Object.entries(p.tasks).sort((a, b) => b[1] - a[1]).map(([k, v]) => [k, v, k]), ...Object.entries(p.edges).map(([k, v]) => [k, v, k])]]], t.span_us);
	const keys = add(box, 'div', { class: 'keys' });
	for (const [k, v] of [...Object.entries(p.tasks), ...Object.entries(p.edges)].sort((a, b) => b[1] - a[1])) add(add(keys, 'span'), 'i', { style: 'background:' + colour(k) }).after(`${k} ${us(v)}`);
	if (!p.delays.length) return;
	add(box, 'h3', { style: 'margin-top:14px' }, 'What held the step up most');
	const list = add(box, 'ul');
	for (const d of p.delays) add(list, 'li', {}, d.text);
}

function windows() {
	const w = data.timeline.windows, box = $('#windows'), kb = (v) => (v / 1000).toFixed(1);
	if (!w.length) return;
	const planned = (r) => { const l = data.plan && (r.layer < 0 ? { tail: data.plan.tail_bytes } : data.plan.layers[r.layer]); return !l ? '-' : kb((r.layer < 0 ? l.tail : r.part === 'experts' ? l.moe_bytes : l.dense_bytes) || 0); };
	add(box, 'h3', { style: 'margin-top:14px' }, 'Gradient windows of the backward, and what filled them');
	const longest = Math.max(...w.map((r) => Math.max(r.us, r.gradient_us)));
	bars(box, w.map((r) => [r.layer < 0 ? 'at end' : `layer ${r.layer}, ${r.part}`, [['gradients', r.gradient_us, 'allreduce'], ['other communication on their lane', r.other_us, 'alltoall'],
		['nothing', Math.max(0, r.us - r.gradient_us - r.other_us), 'done']]]), longest);
	table(box, ['beside', 'window', 'gradients', 'KB', 'KB planned', 'other communication', 'lane idle'], w.map((r) => [r.layer < 0 ? 'nothing, at the end' : `layer ${r.layer}, ${r.part}`, r.us ? us(r.us) : '-', us(r.gradient_us), kb(r.gradient_bytes), planned(r),
		us(r.other_us), r.us ? us(Math.max(0, r.us - r.gradient_us - r.other_us)) : '-']));
}

function table(box, head, rows) {
	const t = add(add(box, 'div', { class: 'scroll' }), 'table'), tr = add(add(t, 'thead'), 'tr'), body = add(t, 'tbody');
	for (const h of head) add(tr, 'th', {}, h);
	for (const row of rows) { const r = add(body, 'tr'); for (const cell of row) add(r, 'td', {}, cell); }
}

function step() {
	const t = data.timeline;
	if (!t) return $('#step').remove();
	$('#step .about').textContent = `Measured ${us(t.span_us)}` + (t.predicted_us ? `, predicted ${us(t.predicted_us)} (${short(100 * (t.predicted_us / t.span_us - 1))} %).` : '.') +
		' A bar is a task, a thin line in a gap says what was waited for, a line below marks the critical path. Each rank has a lane that computes and lanes that communicate inside a node and between nodes.';
	gantt();
	split();
	path();
	windows();
	add($('#kinds'), 'h3', { style: 'margin-top:14px' }, 'By kind of task');
	table($('#kinds'), ['kind', 'tasks', 'measured', 'predicted', 'error'], t.by_kind.slice().sort((a, b) => b.measured_us - a.measured_us)
		.map((k) => [k.kind, k.tasks, us(k.measured_us), k.predicted_us === null ? '-' : us(k.predicted_us), k.predicted_us === null ? '-' : Math.round(100 * (k.predicted_us / k.measured_us - 1)) + ' %']));
}

// The lines t = alpha + beta n, over the sizes that were measured; seconds, with n in bytes or flops.
function profile() {
	if (!data.profile || !data.profile.fits.length) return $('#profile').remove();
	const scale = { s: 1, ms: 1e-3, us: 1e-6 }, grid = $('#profile .grid');
	const communicates = (f) => f.lane && f.lane !== 'compute', moves = (f) => ['memory', 'reduction', 'routing'].includes(f.kind);
	const groups = [['communication: seconds over bytes', communicates], ['memory: seconds over bytes', moves],
		['computation: seconds over flops', (f) => !communicates(f) && !moves(f)]];
	for (const [title, mine] of groups) {
		const fits = data.profile.fits.filter(mine);
		if (!fits.length) continue;
		const low = Math.min(...fits.map((f) => f.low || 1e3)), high = Math.max(...fits.map((f) => f.high || 1e7)), x = [];
		for (let i = 0; i <= 60; i++) x.push(Math.max(1, low) * (high / Math.max(1, low)) ** (i / 60));
		const sizes = (data.timeline ? data.timeline.by_size : []).filter((p) => p.work > 0 && p.us > 0 && fits.some((f) => f.kind === p.kind && (f.lane || 'compute') === p.lane));
		const dots = sizes.map((p) => [p.work, p.us * 1e-6, colour(p.kind), `${p.kind}, ${p.lane}: ${p.tasks} tasks of ${short(p.work)}\nmedian ${us(p.us)}`]);
		chart(grid, title, { x, log: true, dots, dotName: 'tasks of the recorded step, medians', lines: fits.map((f) => {
			const s = scale[f.time || 's'];
			return { name: f.kind + (f.lane === 'inter' || f.lane === 'intra' ? ' ' + f.lane : ''), colour: f.lane === 'inter' ? colour(f.kind) : colour(f.kind) + (f.lane === 'intra' ? '99' : ''),
				y: x.map((n) => n < (f.low || 0) * 0.999 || n > (f.high || Infinity) * 1.001 ? null : s * (f.alpha + f.beta * n)) };
		}) });
	}
	table($('#profile'), ['kind', 'lane', 'alpha, µs', 'per byte or flop, ps', 'r²', 'samples'], data.profile.fits.map((f) => {
		const s = scale[f.time || 's'];
		return [f.kind, f.lane || 'compute', short(1e6 * s * f.alpha), short(1e12 * s * f.beta), f.r2 === undefined ? '-' : short(f.r2), f.samples || '-'];
	}));
}

function plan() {
	const p = data.plan;
	if (!p) return $('#plan').remove();
	const box = $('#layers');
	add(box, 'p', { class: 'about' }, `Schedule ${p.schedule}: forward ${us(1e6 * p.forward_seconds)}, backward ${us(1e6 * p.backward_seconds)}, after it ${us(1e6 * p.tail_seconds)} for ${short(p.tail_bytes || 0)} bytes of gradients.`);
	table(box, ['layer', 'chunks forward', 'chunks backward', 'gradient bytes beside experts', 'beside the dense part'],
		p.layers.map((l, i) => [i, l.forward_degree || 1, l.backward_degree || 1, short(l.moe_bytes || 0), short(l.dense_bytes || 0)]));
}

// Versions, layout and options, as run.json has them.
function made() {
	const m = data.made_by;
	if (!m) return $('#made').remove();
	const box = $('#made .options'), value = (v) => v !== null && typeof v === 'object' ? JSON.stringify(v) : String(v);
	const list = (title, object) => {
		if (!object) return;
		const part = add(box, 'div');
		add(part, 'h3', {}, title);
		const dl = add(part, 'dl', { class: 'plain' });
		for (const [k, v] of Object.entries(object)) { add(dl, 'dt', {}, k.replaceAll('_', '-')); add(dl, 'dd', {}, value(v)); }
	};
	list('versions', m.versions);
	list('layout', { ranks: m.ranks, nodes: m.nodes, ...m.layout, ...(m.schedule ? { schedule: m.schedule } : {}), 'max-degree': m.max_degree, ...(m.device ? { device: m.device } : {}), ...(m.dtype ? { dtype: m.dtype } : {}) });
	list('model', m.model);
	list('training', m.training);
	list('course', m.course);
}

summary();
curves();
experts();
step();
profile();
plan();
made();
if (data.log.length) $('#log pre').textContent = data.log.join('\n');
else $('#log').remove();
