#!/usr/bin/env python3
"""Golden values from PyTorch: reads what dump.lua writes, calls the PyTorch op of the same name
in float64 and writes spec/golden/data/<op>.lua.

    ./bin/moontorch spec/golden/dump.lua [op ...] | python3 spec/golden/generate.py

Dims and positions, which count from 1 in a sample, are moved to PyTorch's 0 by their parameter's
type (dim, dims, index) or their leaf's kind (idx); positions in results are moved back. An op that
PyTorch spells in another way stands in SPELLED below.
"""
import json
import math
import os
import sys
import warnings

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))

# Results that are positions, beside outputs that the signature names "indices".
POSITIONS = {"argmax", "argmin", "argsort", "nonzero", "searchsorted", "bucketize", "tril_indices",
             "triu_indices", "where.condition"}

DTYPES = {n: getattr(torch, n) for n in
          ("bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64").split()}


class Keywords(dict):
    pass



def make(v):
    """A value of the dump as Python has it."""
    if not isinstance(v, dict):
        return v
    if "leaf" in v:
        kind = v["leaf"]
        dtype = {"float": torch.float64, "bool": torch.bool}.get(kind, torch.int64)
        t = torch.tensor(v["data"], dtype=dtype).reshape(v["sizes"])
        return t - 1 if kind == "index" else t
    if "dtype" in v:
        return DTYPES[v["dtype"]]
    if "list" in v:
        return [make(x) for x in v["list"]]
    return Keywords((k, make(x)) for k, x in v["keywords"].items())


def bind(params, args):
    """Positional and keyword arguments by the rules of the Lua side: name -> value."""
    args = list(args)
    keywords = {}
    if args and isinstance(args[-1], Keywords):
        keywords = dict(args.pop())
    bound, order = {}, [p for p in params if not p["keyword"]]
    while order and args:
        p = order.pop(0)
        if p["star"] and not isinstance(args[0], list):
            many = []
            wanted = torch.Tensor if p["type"] == "Tensor" else (int, float)
            while args and isinstance(args[0], wanted):
                many.append(args.pop(0))
            bound[p["name"]] = many
        elif p["list"] and p["star"]:
            bound[p["name"]] = args.pop(0)
        else:
            bound[p["name"]] = args.pop(0)
    if args:
        raise TypeError(f"{len(args)} arguments too many")
    bound.update(keywords)
    by_name = {p["name"]: p for p in params}
    return {k: convert(by_name[k], v) for k, v in bound.items() if v is not None}


def down(x):
    return x - 1 if x > 0 else x


def convert(p, v):
    if p["type"] in ("dim", "dims", "index") and not isinstance(v, torch.Tensor):
        return [down(x) for x in v] if isinstance(v, list) else down(v)
    if isinstance(v, float) and v.is_integer() and p["type"] in (
            "int", "size", "ints", "int2", "int3"):
        return int(v)
    return v


def number_tensor(x):
    if isinstance(x, bool):
        return torch.tensor(x)
    return torch.tensor(x, dtype=torch.float64 if isinstance(x, float) else torch.int64)


def find(name, functional, linalg):
    base = name.split(".")[0]
    places = [torch.linalg] if linalg else [F, torch] if functional else [
        torch, torch.Tensor, torch.special, F]
    for place in places:
        if hasattr(place, base):
            return getattr(place, base)
    raise AttributeError("PyTorch has no op of this name: give it a line in SPELLED")


def call(name, functional, linalg, params, given):
    base = name.split(".")[0]
    if name in SPELLED:
        fn = SPELLED[name]
        return fn(given, name) if fn.__code__.co_argcount == 2 else fn(given)
    fn = find(name, functional, linalg)
    problem = None
    for by_name in (True, False):  # what has a default by its name, if PyTorch has that name too
        try:
            return attempt(fn, params, given, by_name)
        except (TypeError, RuntimeError) as e:
            problem = problem or e
    raise problem


def attempt(fn, params, given, by_name):
    positional, named, gap = [], {}, False
    for p in params:
        if p["name"] not in given:
            gap = True
        elif gap or p["keyword"] or (by_name and p["default"] is not None):
            named[p["name"]] = given[p["name"]]
        else:
            positional.append(given[p["name"]])
    first = positional[0] if positional else None
    if isinstance(first, (int, float)) and params[0]["type"] == "Operand":
        positional[0] = number_tensor(first)
    try:
        return fn(*positional, **named)
    except (TypeError, RuntimeError):
        wrapped = [number_tensor(x) if isinstance(x, (int, float)) and params[k]["type"] == "Operand"
                   else x for k, x in enumerate(positional)]
        return fn(*wrapped, **named)


# name -> function of the bound arguments (positions and dims already count from 0)
SPELLED = {}


def spelled(*names):
    def add(fn):
        for n in names:
            SPELLED[n] = fn
        return fn
    return add


@spelled("index")
def _(a):
    places = tuple(slice(None) if x is None else x for x in a["indices"])
    return a["self"][places]


@spelled("full")  # numbers give the default float dtype here, PyTorch looks at them
def _(a):
    guess = torch.bool if isinstance(a["fill_value"], bool) else torch.float32
    return torch.full(a["size"], a["fill_value"], dtype=a.get("dtype", guess))


@spelled("range")  # like arange, whole numbers give int64 here
def _(a):
    numbers = [a["start"], a["stop"], a.get("step", 1)]
    whole = all(isinstance(x, int) for x in numbers)
    return torch.range(*numbers, dtype=a.get("dtype", torch.int64 if whole else torch.float32))


@spelled("cross_entropy", "nll_loss")  # ignore_index is compared with what the target says, from 1
def _(a, name):
    a = dict(a)
    if a.get("ignore_index", 0) > 0:
        a["ignore_index"] -= 1
    return getattr(F, name)(a.pop(next(iter(a))), a.pop(next(iter(a))), **a)


@spelled("broadcast_tensors")
def _(a):
    return torch.broadcast_tensors(*a["tensors"])


def lua_number(x):
    if isinstance(x, bool):
        return "1" if x else "0"
    if isinstance(x, int):
        return str(x)
    if math.isnan(x):
        return "nan"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return str(int(x)) if x == int(x) and abs(x) < 1e15 and str(x) != "-0.0" else repr(x)


def describe(t, position):
    if position:
        t = t + 1
    dtype = str(t.dtype).replace("torch.", "")
    flat = t.detach().reshape(-1)
    values = flat.to(torch.float64).tolist() if t.is_floating_point() else \
        [int(x) for x in flat.tolist()]
    return '{dtype="%s", sizes={%s}, %s}' % (
        dtype, ",".join(map(str, t.shape)),
        "{" + ",".join(lua_number(x) for x in values) + "}")


def outputs_of(result):
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, (list, tuple)):
        return [x for x in result]
    return [number_tensor(result)]


def main():
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float32)
    os.makedirs(os.path.join(HERE, "data"), exist_ok=True)
    failed = []
    for line in sys.stdin:
        op = json.loads(line)
        name = op["op"]
        results = op["signature"].split("->")[1].strip()
        names = [w.split()[-1] for w in results.strip("()").split(",")] \
            if results.startswith("(") else []
        rows = []
        for sample in op["samples"]:
            try:
                given = bind(op["params"], [make(a) for a in sample["args"]])
                result = call(name, op["functional"], op["linalg"], op["params"], given)
            except Exception as problem:  # pylint: disable=broad-except
                failed.append(f"{name} {sample['text']}: {type(problem).__name__}: "
                              f"{str(problem).splitlines()[0]}")
                continue
            outs = []
            for k, t in enumerate(outputs_of(result)):
                position = name in POSITIONS or (k < len(names) and names[k] == "indices")
                outs.append(describe(t, position))
            rows.append("  [%s] = {%s}," % (json.dumps(sample["text"]), ", ".join(outs)))
        path = os.path.join(HERE, "data", name + ".lua")
        with open(path, "w", encoding="utf-8") as f:
            f.write("local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore\nreturn {\n"
                    + "\n".join(rows) + "\n}\n")
    for line in failed:
        print(line, file=sys.stderr)
    print(f"{len(failed)} samples failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
