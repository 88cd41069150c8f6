# SPDX-License-Identifier: Apache-2.0
"""oracle.py FOLDER PARAMS OUT: what Python's safetensors says of a checkpoint.

PARAMS is what `ranks dump` wrote: the parameters as they are in memory. Writes OUT with Python and
prints what a reader must list of it.
"""
import json
import struct
import sys

import numpy
from safetensors.numpy import load_file, save_file

folder, params, out = sys.argv[1:]
model = load_file(folder + "/model.safetensors")
optimizer = load_file(folder + "/optimizer.safetensors")
manifest = json.load(open(folder + "/manifest.json"))


def stored(name, value):
    """The names and values that a parameter is stored under."""
    layer = ".".join(name.split(".")[:2])
    rest = name[len(layer) + 1 :]
    if rest.startswith("attn.qkv"):
        kind = rest.split(".")[-1]
        for i, letter in enumerate("qkv"):
            shape = (-1, value.shape[-1]) if kind == "weight" else (-1,)
            yield f"{layer}.self_attn.{letter}_proj.{kind}", value[i].reshape(shape)
    elif rest.startswith("attn.out"):
        yield f"{layer}.self_attn.o_proj.{rest.split('.')[-1]}", value
    elif rest.startswith("moe.experts"):
        short = rest.split(".")[-1]
        for e in range(value.shape[0]):
            kind = "weight" if short[0] == "w" else "bias"
            yield f"{layer}.block_sparse_moe.experts.{e}.w{short[1]}.{kind}", value[e]
    elif rest.startswith("moe."):
        yield f"{layer}.block_sparse_moe.{rest[4:]}", value
    else:
        yield name, value


expected = {}
with open(params, "rb") as f:
    for line in iter(f.readline, b""):
        name, *dims = line.decode().split()
        dims = [int(d) for d in dims]
        data = numpy.frombuffer(f.read(4 * int(numpy.prod(dims))), dtype="<f4").reshape(dims)
        expected.update(stored(name, data))

assert set(expected) == set(model), set(expected) ^ set(model)
for name, value in expected.items():
    assert model[name].dtype == numpy.float32 and model[name].shape == value.shape, name
    assert (model[name].view(numpy.uint32) == value.view(numpy.uint32)).all(), name
moments = {n + s for n in expected for s in (".exp_avg", ".exp_avg_sq")}
assert set(optimizer) == moments, set(optimizer) ^ moments
for name, value in optimizer.items():
    assert value.shape == expected[name.rsplit(".", 1)[0]].shape, name
    assert numpy.isfinite(value).all(), name
    assert not name.endswith("_sq") or (value >= 0).all(), name
assert all(numpy.abs(v).max() > 0 for n, v in optimizer.items() if n.startswith("wte"))
assert set(manifest["tensors"]) == set(model) | set(optimizer)
assert manifest["step"] == 3 and manifest["samples"] == 24 and manifest["model"]["experts"] == 4


def crc32c(data):
    """Bit by bit, as its definition has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


for name in ("ln_f.weight", "h.1.self_attn.k_proj.weight",
             "h.0.block_sparse_moe.experts.3.w2.weight"):
    assert f"{crc32c(model[name].tobytes()):08x}" == manifest["tensors"][name]["crc32c"], name

model["0"] = numpy.zeros((2, 0, 3), dtype=numpy.float32)
save_file(model, out, metadata={"by": "python"})
with open(out, "rb") as f:
    (length,) = struct.unpack("<Q", f.read(8))
    header = json.loads(f.read(length))
for name in sorted(n for n in header if n != "__metadata__"):
    begin, end = header[name]["data_offsets"]
    shape = ", ".join(map(str, header[name]["shape"]))
    print(name, f"({shape})", begin + 8 + length, end + 8 + length)
