# SPDX-License-Identifier: Apache-2.0
"""page.py RUN [DOM]: the page of a run against the run's own files, which this reads by itself:
every curve against metrics.jsonl, every task against timeline.json; and, where a browser has drawn
the page (its DOM as text), the cells of its tables against the page's data."""
import html.parser
import json
import statistics
import sys

failures = 0


def expect(what, have, wanted, tolerance=1e-9):
    global failures
    if isinstance(wanted, str) or wanted is None:
        good = have == wanted
    else:
        good = have is not None and abs(have - wanted) <= tolerance * max(1, abs(wanted))
    if not good:
        print(f"{what}: {have!r} is not {wanted!r}")
        failures += 1


def check_metrics(page, run):
    rows = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
    steps = [r for r in rows if "val_loss" not in r]
    expect("steps", page["summary"]["steps"], len(steps))
    for name, column in page["columns"].items():
        for have, row in zip(column, steps):
            expect(f"{name} of step {row['step']}", have, row[name])
    expect("points", len(page["columns"]["loss"]), len(steps))
    expect("tokens", page["summary"]["tokens"], sum(r["tokens"] for r in steps))
    if len(steps) % 2:
        expect("median", page["summary"]["median_ms"], statistics.median(r["ms"] for r in steps))
    for (step, loss), row in zip(page["held_out"], [r for r in rows if "val_loss" in r]):
        expect("held-out step", step, row["step"])
        expect("held-out loss", loss, row["val_loss"])
    loads = [r for r in steps if "expert_load" in r]
    last = loads[len(loads) - (len(loads) + 9) // 10:]
    for layer, experts in enumerate(page["expert_load"]["layers"]):
        for e, tokens in enumerate(experts):
            expect(f"load of layer {layer}, expert {e}", tokens,
                   statistics.fmean(r["expert_load"][layer][e] for r in last))


def check_timeline(page, run):
    events = json.load(open(f"{run}/timeline.json"))["traceEvents"]
    tracks = page["timeline"]["tracks"]
    slices = {}
    for e in events:
        if e["ph"] == "X":
            slices.setdefault(e["pid"], []).append(e)
    expect("tracks", len(tracks), len(slices))
    ranks = [t for t in range(len(tracks)) if not tracks[t]["predicted"]]
    zero = min(e["ts"] for r in ranks for e in slices[r])
    end = max(e["ts"] + e["dur"] for r in ranks for e in slices[r])
    expect("step", page["timeline"]["span_us"], end - zero, 1e-6)
    for t, track in enumerate(tracks):
        expect("tasks", len(track["slices"]), len(slices[t]))
        have = sorted((s[3], s[0], s[5]) for s in track["slices"])
        begin = 0 if track["predicted"] else zero
        wanted = sorted((e["tid"], e["ts"] - begin, e["name"]) for e in slices[t])
        for a, b in zip(have, wanted):
            expect("lane", a[0], b[0])
            expect("start", a[1], b[1], 1e-6)
    for row in page["timeline"]["by_kind"]:
        total = sum(e["dur"] for r in ranks for e in slices[r] if e["cat"] == row["kind"])
        expect(f"time of {row['kind']}", row["measured_us"], total / len(ranks), 1e-6)


class Tables(html.parser.HTMLParser):
    """Rows of cells of every table."""

    def __init__(self):
        super().__init__()
        self.tables, self.cell = [], None

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self.cell)
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


def check_cells(page, dom):
    parser = Tables()
    parser.feed(open(dom).read())
    heads = {tuple(t[0][:2]): t[1:] for t in parser.tables if t}
    timeline = page["timeline"]
    lanes = heads[("rank, lane", "runs")]
    expect("lanes", len(lanes), len(timeline["lanes"]))
    for cells, lane in zip(lanes, timeline["lanes"]):
        wanted = [lane["run"]] + [lane["waits"].get(c["name"], 0) for c in timeline["causes"]]
        for cell, value in zip(cells[1:], wanted):
            share = 100 * value / timeline["span_us"]
            expect(f"cell of lane {cells[0]}", float(cell or 0), share, 0.051)
    kinds = {row[0]: row for row in heads[("kind", "tasks")]}
    for row in timeline["by_kind"]:
        number, unit = kinds[row["kind"]][2].split()
        value = float(number.replace(",", "")) * (1000 if unit == "ms" else 1)
        expect(f"cell of {row['kind']}", value, row["measured_us"], 6e-4)
        expect(f"tasks of {row['kind']}", int(kinds[row["kind"]][1]), row["tasks"])


run = sys.argv[1]
text = open(f"{run}/report.html").read()
page = json.loads(text.split('type="application/json">\n')[1].split("\n</script>")[0])
check_metrics(page, run)
check_timeline(page, run)
if len(sys.argv) > 2:
    check_cells(page, sys.argv[2])
sys.exit(failures != 0)
