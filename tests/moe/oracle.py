# SPDX-License-Identifier: Apache-2.0
"""oracle.py FOLDER: what PyTorch says of Mixture-of-Experts layers, one file a case.

A layer is written here from the formulas of the papers, dense and without lists: every token is
sent through every expert, and matrices D (tokens x slots) and C say what counts. Autograd, in
double, gives the gradients of sum(dy * y) plus the auxiliary losses. Inputs are not stored: value()
makes them here and in tests/moe/oracle.c, in numbers that a float holds exactly.
"""
import math
import sys

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

T, M, H, E = 8, 4, 3, 3  # tokens, width, hidden width, experts
MARGIN = 1e-3  # no choice hangs on less


def value(name, i):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    h = (h + i * 2654435761) & 0xFFFFFFFF
    h ^= h >> 15
    h = (h * 2246822519) & 0xFFFFFFFF
    h ^= h >> 13
    return ((h >> 8) % 2049 - 1024) / 1024


def tensor(name, shape, seed):
    count = math.prod(shape)
    # A temperature of one is where it starts; far from it, the cosines would all look alike.
    data = [value(f"{name} {seed}", i) for i in range(count)]
    if name.endswith("temperature"):
        data = [1.5 + v / 4 for v in data]
    return torch.tensor(data).reshape(shape).requires_grad_()


# --- experts: (slots, M) -> (slots, M) of expert e --------------------------


def mlp_shapes():
    return {"w1": (E, H, M), "b1": (E, H), "w2": (E, M, H), "b2": (E, M)}


def mlp(w, e, x):
    z = torch.nn.functional.linear(x, w["w1"][e], w["b1"][e])
    z = torch.nn.functional.gelu(z, approximate="tanh")
    return torch.nn.functional.linear(z, w["w2"][e], w["b2"][e])


def swiglu_shapes():
    return {"w1": (E, H, M), "w2": (E, M, H), "w3": (E, H, M)}


def swiglu(w, e, x):
    return (torch.nn.functional.silu(x @ w["w1"][e].T) * (x @ w["w3"][e].T)) @ w["w2"][e].T


EXPERTS = {"mlp": (mlp_shapes, mlp), "swiglu": (swiglu_shapes, swiglu)}


# --- gates: x (S, M) of one group -> logits (S, E), or D and C --------------


def linear_shapes(case):
    return {"weight": (E, M)}


def linear(w, x, case):
    return x @ w["weight"].T


def noisy_shapes(case):
    return {"weight": (E, M), "noise": (E, M)}


def xmoe_shapes(case):
    rank = case["rank"]
    return {"projection": (rank, M), "weight": (E, rank), "temperature": (1,)}


def xmoe(w, x, case):
    u = torch.nn.functional.normalize(x @ w["projection"].T, dim=1)
    v = torch.nn.functional.normalize(w["weight"], dim=1)
    return u @ v.T / (0.07 * w["temperature"])


def cosine_shapes(_):
    return {"weight": (E, M), "temperature": (1,)}


def cosine(w, x, _):
    u = torch.nn.functional.normalize(x, dim=1)
    v = torch.nn.functional.normalize(w["weight"], dim=1)
    return u @ v.T / (0.07 * w["temperature"])


def soft_shapes(case):
    shapes = {"phi": (E, capacity(case), M)}
    if case["normalize"]:
        shapes["temperature"] = (1,)
    return shapes


def soft(w, x, case):
    phi = w["phi"].reshape(-1, M)
    if case["normalize"]:
        x = torch.nn.functional.normalize(x, dim=1)
        phi = torch.nn.functional.normalize(phi, dim=1) / w["temperature"]
    return x @ phi.T


GATES = {  # shapes of the weights, scores of the tokens of a group
    "topk": (linear_shapes, linear),
    "gshard": (noisy_shapes, linear),  # an evaluation: without the noise
    "sigmoid": (linear_shapes, linear),
    "xmoe": (xmoe_shapes, xmoe),
    "cosine": (cosine_shapes, cosine),
    "expert-choice": (linear_shapes, linear),
    "softmoe": (soft_shapes, soft),
}


# --- routing: combine weights (S, E), 0 where a token does not go -----------


def capacity(case):
    group, k, f = case["group"], case["k"], case["factor"]
    return group if f == 0 else min(group, k * int(f * math.ceil(group / E)))


def chosen_by(scores, k, dim):
    """1 where an entry is among the k greatest along dim; k may be all of them."""
    order = scores.detach().sort(dim=dim, descending=True).values
    if k < scores.shape[dim]:
        gap = order.narrow(dim, k - 1, 1) - order.narrow(dim, k, 1)
        assert gap.min() > MARGIN, "a near-tie: take another seed"
    return (scores.detach() >= order.narrow(dim, k - 1, 1)).to(scores)


def softmax_over(scores, mask, dim):
    return torch.softmax(scores.masked_fill(mask == 0, -math.inf), dim=dim)


def route(scores, case):
    C, k = capacity(case), case["k"]
    if case["gate"] == "expert-choice":
        mask = chosen_by(scores, C, 0)
        p = softmax_over(scores, mask, 0)
        return p if case["weights"] != "all" else torch.softmax(scores, 1) * mask
    mask = chosen_by(scores, k, 1)
    # GShard's positions: first choices of all tokens come before second choices.
    place = scores.detach().argsort(dim=1, descending=True)
    kept, used = torch.zeros_like(mask), [0] * E
    for j in range(k):
        for t in range(scores.shape[0]):
            e = int(place[t, j])
            kept[t, e] = float(used[e] < C)
            used[e] += 1
    if case["gate"] == "sigmoid":
        p = torch.sigmoid(scores)
    elif k == 1:
        p = torch.softmax(scores, 1)
    else:
        p = softmax_over(scores, mask, 1)
    return torch.where(kept > 0, p, torch.zeros_like(p))


def losses(scores, case):
    """Of one group, as the share of the batch that it is."""
    share = scores.shape[0] / T
    first = torch.nn.functional.one_hot(scores.detach().argmax(1), E).to(scores).mean(0)
    balance = E * (torch.softmax(scores, 1).mean(0) * first).sum()
    z = (torch.logsumexp(scores, 1) ** 2).mean()
    return share * (case["balance"] * balance + case["z"] * z)


def layer(case, gate_weights, expert_weights, x):
    """y (T, M) and the auxiliary loss."""
    score, expert = GATES[case["gate"]][1], EXPERTS[case["expert"]][1]
    out, loss = [], x.new_zeros(())
    for first in range(0, T, case["group"]):
        rows = x[first : first + case["group"]]
        scores = score(gate_weights, rows, case)
        if case["gate"] == "softmoe":
            dispatch, combine = torch.softmax(scores, 0), torch.softmax(scores, 1)
            slots = (dispatch.T @ rows).reshape(E, -1, M)
            done = torch.cat([expert(expert_weights, e, slots[e]) for e in range(E)])
            out.append(combine @ done)
            continue
        p = route(scores, case)
        done = torch.stack([expert(expert_weights, e, rows) for e in range(E)], 1)
        out.append((p.unsqueeze(2) * done).sum(1))
        loss = loss + losses(scores, case)
    return torch.cat(out), loss


# --- cases ------------------------------------------------------------------

DEFAULTS = {"expert": "mlp", "k": 2, "group": T, "factor": 0.0, "weights": "-", "rank": 0,
            "normalize": 0, "balance": 0.0, "z": 0.0, "seed": 1}
CASES = {
    "topk": {"gate": "topk"},
    "topk-one": {"gate": "topk", "k": 1},
    "topk-full": {"gate": "topk", "group": 4, "factor": 1.0, "balance": 0.5, "z": 0.25},
    "gshard": {"gate": "gshard"},
    "sigmoid": {"gate": "sigmoid", "balance": 0.75, "z": 0.125},
    "xmoe": {"gate": "xmoe", "rank": 3, "z": 0.0625},
    "cosine": {"gate": "cosine", "balance": 0.25},
    "expert-choice": {"gate": "expert-choice", "group": 4, "k": 1, "factor": 1.5},
    "expert-choice-all": {"gate": "expert-choice", "group": 4, "k": 1, "factor": 1.5,
                          "weights": "all"},
    "softmoe": {"gate": "softmoe", "group": 4, "k": 1, "factor": 1.0},
    "softmoe-normalized": {"gate": "softmoe", "group": 4, "k": 1, "factor": 1.0, "normalize": 1},
    "swiglu": {"gate": "topk", "expert": "swiglu"},
}
KEYS = ["gate", "expert", "k", "group", "factor", "weights", "rank", "normalize", "balance", "z",
        "seed"]


def write(file, name, data):
    data = data.reshape(-1).tolist()
    print(name, len(data), *("%.13g" % v for v in data), file=file)


def run(path, case):
    case = {**DEFAULTS, **case}
    seed = case["seed"]
    made = {}

    def make(prefix, shapes):
        """Tensors of those names and shapes."""
        full = {n: f"moe.{prefix}.{n}" for n in shapes}
        made.update({full[n]: tensor(full[n], shape, seed) for n, shape in shapes.items()})
        return {n: made[full[n]] for n in shapes}

    gate_weights = make("gate", GATES[case["gate"]][0](case))
    expert_weights = make("experts", EXPERTS[case["expert"]][0]())
    x, dy = tensor("x", (T, M), seed), tensor("dy", (T, M), seed).detach()
    y, loss = layer(case, gate_weights, expert_weights, x)
    ((dy * y).sum() + loss).backward()
    with open(path, "w") as file:
        print("# made by tests/moe/oracle.py with PyTorch", file=file)
        print(" ".join(f"{key}={case[key]}" for key in KEYS), f"T={T} M={M} H={H} E={E}", file=file)
        write(file, "y", y)
        for name, tensor_ in [("x", x), *made.items()]:
            zero = torch.zeros_like(tensor_)
            write(file, name, tensor_.grad if tensor_.grad is not None else zero)


for name, case in CASES.items():
    run(f"{sys.argv[1]}/{name}.txt", case)
