# SPDX-License-Identifier: Apache-2.0
"""claims.py OUT [FOLDER...]: prints a line per claim of all.sh: what was asked, what was seen, ok
or MISSED. Reads results.tsv and layers.csv of every FOLDER, writes OUT/claims.csv and
OUT/results.csv. Exit status 1: a claim is missed."""
import csv
import os
import re
import sys

out, folders = sys.argv[1], sys.argv[2:]


def lines_of(name, **how):
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with open(path, newline="") as file:
                yield from csv.DictReader(file, **how)


results = {r["name"]: r for r in lines_of(
    "results.tsv", fieldnames=("name", "state", "seconds", "said"), delimiter="\t",
    quoting=csv.QUOTE_NONE)}
layers = list(lines_of("layers.csv"))


def passed(*names):
    """All of these runs succeeded; seen: the text of the last one."""
    none = {"state": "not run", "said": ""}
    bad = ["%s: %s %s" % (n, results.get(n, none)["state"], results.get(n, none)["said"] or "")
           for n in names if results.get(n, none)["state"] != "ok"]
    said = results[names[-1]]["said"] if names[-1] in results else ""
    return not bad, "; ".join(bad) if bad else said or "%d of %d" % (len(names), len(names))


def sanitized(tool):
    """How many sizes of the operations' tables all processes ran, and whether all were clean."""
    rows = [r for n, r in results.items() if n.startswith(tool + "-")]
    if not rows:
        return False, results.get("sanitize", {"said": "not run"})["said"]
    found = [re.search(r"(\d+) of (\d+) sizes", r["said"] or "") for r in rows]
    ran, all_ = (sum(int(f.group(i)) for f in found if f) for i in (1, 2))
    bad = ["%s: %s" % (r["name"], r["state"]) for r in rows if r["state"] != "ok"]
    return not bad and ran > 0, "%d of %d sizes in %d processes, %s" % (
        ran, all_ // max(1, len(rows) // 3), len(rows), "; ".join(bad) if bad else "clean")


def layer(fabric, ffn, bound):
    """Our best row over the peer's time."""
    rows = [r for r in layers if r["fabric"] == fabric and r["ffn"] == ffn]
    peer = [r for r in rows if r["row"] == "peer"]
    ours = sorted((r for r in rows if r["row"] != "peer"), key=lambda r: float(r["step"]))
    if not peer or not ours:
        return False, "no time of %s" % ("the peer" if ours else "fsmoe")
    best, than = ours[0], peer[0]
    seen = "%s: %s '%s' %.2f (%.2f %.2f), peer %.2f (%.2f %.2f) ms" % (
        best["ratio"], best["ffn"], best["row"].replace("fsmoe ", ""), float(best["step"]),
        float(best["p10"]), float(best["p90"]), float(than["step"]), float(than["p10"]),
        float(than["p90"]))
    return float(best["ratio"]) <= bound, seen


def agrees():
    ours = [r for r in layers if r["row"] != "peer"]
    bad = [r["fabric"] + " " + r["row"] for r in ours if r["as_peer"] != "yes"]
    return bool(ours) and not bad, "; ".join(bad) + " not" if bad else "%d rows" % len(ours)


def share(name, bound):
    r = results.get(name + " share", {"state": "not run", "said": ""})
    ratio = re.search(r"ratio ([0-9.]+) \(([^)]*)\)", r["said"] or "")
    if r["state"] != "ok" or not ratio:
        return False, r["state"]
    return float(ratio.group(1)) < bound, "%s (%s)" % ratio.groups()


ROWS = ("ds-moe", "tutel", "tutel-improved", "pipemoe-lina", "fsmoe-no-iio", "fsmoe")
CLAIMS = (
    ("check values of fp32, small layers", "the peer's",
     lambda: passed("agree-gpt-fp32-starpu", "agree-mixtral-fp32-starpu")),
    ("check values of bf16, small layers", "in tolerance",
     lambda: passed("agree-gpt-bf16-starpu", "agree-mixtral-bf16-starpu")),
    ("check values of bf16, large layers", "in tolerance", agrees),
    ("case table: operations", "as the CPU", lambda: passed("check-ops")),
    ("case table: Mixture-of-Experts layer", "as the CPU", lambda: passed("check-moe")),
    ("case table: gates, orders, experts", "as the CPU", lambda: passed("check-gates")),
    ("products of our own choice of kernel", "in tolerance", lambda: passed("check-large")),
    ("a kernel's fault is a sentence", "yes", lambda: passed("check-faults")),
    ("compute-sanitizer memcheck", "clean", lambda: sanitized("memcheck")),
    ("compute-sanitizer racecheck", "clean", lambda: sanitized("racecheck")),
    ("layer gpt, NVLink", "<= 0.90", lambda: layer("nvlink", "gpt", 0.9)),
    ("layer mixtral, NVLink", "<= 1.00", lambda: layer("nvlink", "mixtral", 1.0)),
    ("layer gpt, through host memory", "<= 0.90", lambda: layer("host", "gpt", 0.9)),
    ("StarPU over streams, gpt, 21 pairs", "< 1.05", lambda: share("nvlink gpt", 1.05)),
    ("StarPU over streams, mixtral, 21 pairs", "< 1.05", lambda: share("nvlink mixtral", 1.05)),
    ("losses of 20 steps, MP 2 ESP 2", "CPU's, 1e-4",
     lambda: passed("losses-one-node-stream", "losses-one-node-cuda")),
    ("losses of 20 steps, EP 2", "CPU's, 1e-4",
     lambda: passed("losses-two-nodes-stream", "losses-two-nodes-cuda")),
    ("AllGather with CTA policy zero: losses", "same bits", lambda: passed("same-one-node-zero")),
    ("AllGather with CTA policy zero: a layer", "same bits", lambda: passed("same-esp-zero")),
    ("nothing allocated in steps, two ranks", "0", lambda: passed("ranks-2")),
    ("planned anew and trained, one GPU", "CPU's",
     lambda: passed("check-replan", "check-training")),
    ("bf16, 200 steps, two GPUs: mean of 50", "within 1 %",
     lambda: passed("means-ep-2-starpu", "means-ep-2-stream")),
    ("bf16, StarPU as streams, 200 steps", "same bits", lambda: passed("losses-ep-2")),
    ("bf16, 20 and 200 steps, one GPU", "in the band", lambda: passed("check-bf16", "check-band")),
    ("memory of a GPU as predicted", "within 10 %", lambda: passed("check-room")),
    ("refused where it does not fit", "a sentence", lambda: passed("too-large", "refused")),
    ("500 steps of 6 schedules, a rank late", "no hang",
     lambda: passed(*("late-" + r for r in ROWS))),
    ("a lost GPU", "a sentence", lambda: passed("lost-stream", "lost-starpu")),
    ("a killed rank", "a clean end", lambda: passed("killed-stream", "killed-starpu")),
    ("2 x 2 ranks on two GPUs", "CPU's values",
     lambda: passed("four-stream", "four-starpu", "four-checks")),
)

missed = 0
with open(os.path.join(out, "results.csv"), "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(("name", "state", "seconds", "said"))
    writer.writerows((r["name"], r["state"], r["seconds"], r["said"]) for r in results.values())
with open(os.path.join(out, "claims.csv"), "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(("claim", "asked", "seen", "state"))
    for claim, asked, test in CLAIMS:
        ok, seen = test()
        missed += not ok
        writer.writerow((claim, asked, seen, "ok" if ok else "MISSED"))
        print("%-40s %-13s %-7s %s" % (claim, asked, "ok" if ok else "MISSED", seen[:130]))
print("%d of %d claims missed" % (missed, len(CLAIMS)))
sys.exit(missed > 0)
