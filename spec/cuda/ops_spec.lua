-- Every op of the table on a CUDA device against the CPU: values in each dtype, and gradients.
-- Runs with `busted --run cuda` where there is a device, or with the emulated plugin (docs/cuda.md).
local H = require "spec.helper"
local S = require "spec.ops.samples"
local D = require "spec.ops.driver"
local core = require "moontorch.core"
local torch = H.torch

local available = torch.cuda.is_available()

-- Results that are not set; layout questions that hang on what `to` keeps.
local unset = { empty = true, empty_like = true, new_empty = true, empty_strided = true }

-- Ops without a kernel for CUDA: they say so.
local without = {}
for name in (os.getenv("MOONTORCH_CUDA_WITHOUT") or ""):gmatch("[^, ]+") do without[name] = true end

local tolerance = {
  float64 = { 1e-9, 1e-11 }, float32 = { 3e-5, 3e-6 }, float16 = { 1e-2, 1e-2 }, bfloat16 = { 6e-2, 6e-2 },
}
local dtypes = { "float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool" }
local is_float = { float16 = true, bfloat16 = true, float32 = true, float64 = true }

-- The same arguments on the device; tensors that require grad become leaves of their own.
local function on_device(args, n, leaves)
  local function move(v)
    if torch.is_tensor(v) then
      local x = v:detach():to("cuda")
      if v.requires_grad then
        x.requires_grad = true
        leaves[#leaves + 1] = x
      end
      return x
    elseif type(v) == "table" and getmetatable(v) == nil then
      local copy, keys = {}, {}
      for k in pairs(v) do keys[#keys + 1] = k end
      table.sort(keys, function(a, b)
        if type(a) == type(b) then return a < b end
        return type(a) == "number"
      end)
      for _, k in ipairs(keys) do copy[k] = move(v[k]) end
      return copy
    end
    return v
  end
  local out = {}
  for k = 1, n do out[k] = move(args[k]) end
  return out
end

-- Factories make their tensor where they are told to.
local function with_device(op, args, n)
  local takes, tensors = false, false
  for _, p in ipairs(op.params) do
    takes = takes or p.name == "device"
  end
  local function look(v)
    if torch.is_tensor(v) then
      tensors = true
    elseif type(v) == "table" and getmetatable(v) == nil then
      for _, x in pairs(v) do look(x) end
    end
  end
  for k = 1, n do look(args[k]) end
  if not takes or tensors then return n end
  local last = args[n]
  local keywords = false
  if type(last) == "table" and getmetatable(last) == nil then
    for k in pairs(last) do keywords = keywords or type(k) == "string" end
  end
  if keywords then
    last.device = "cuda"
    return n
  end
  args[n + 1] = { device = "cuda" }
  return n + 1
end

local function call(op, args, n)
  torch.manual_seed(7)
  local results = { op.fn(unpack(args, 1, n)) }
  if #results == 1 and type(results[1]) == "table" and not torch.is_tensor(results[1]) then return results[1] end
  return results
end

local function sizes_of(x)
  local sizes = {}
  for d = 1, x.ndim do sizes[d] = x.shape[d] end
  return sizes
end

local function compare(what, got, wanted)
  assert(#got == #wanted, ("%s: %d results, the CPU gives %d"):format(what, #got, #wanted))
  for k, w in ipairs(wanted) do
    local x = got[k]
    if torch.is_tensor(w) then
      local name = H.dtype(w)
      if H.dtype(x) ~= name then
        error(("%s: result %d is %s, the CPU gives %s"):format(what, k, H.dtype(x), name), 0)
      end
      if tostring(x.device):sub(1, 4) ~= "cuda" then
        error(("%s: result %d is on %s"):format(what, k, tostring(x.device)), 0)
      end
      local tol = tolerance[name] or { 0, 0 }
      local wrong = H.difference(x:to("cpu"), sizes_of(w), H.flat(w), tol[1], tol[2])
      if wrong then error(("%s: result %d: %s (the CPU's)"):format(what, k, wrong), 0) end
    elseif x ~= w and tostring(x) ~= tostring(w) then
      error(("%s: result %d is %s, the CPU gives %s"):format(what, k, tostring(x), tostring(w)), 0)
    end
  end
end

local function gradients(results, leaves)
  local roots, grads = {}, {}
  for k, y in ipairs(results) do
    if torch.is_tensor(y) and y.requires_grad then
      roots[#roots + 1] = y
      local g = torch.arange(1, y:numel() + 1, { dtype = torch.float64 }):reshape(y.shape)
      grads[#grads + 1] = torch.cos(g * (0.7 + k)):to(y.device)
    end
  end
  if #roots == 0 or #leaves == 0 then return {} end
  local got = torch.autograd.grad(roots, leaves, { grad_outputs = grads, allow_unused = true })
  local list = {}
  for k = 1, #leaves do list[k] = got[k] or torch.zeros_like(leaves[k]) end
  return list
end

local function check(op, dtype, with_grad)
  for _, sample in ipairs(op.samples) do
    local options = { dtype = torch[dtype], requires_grad = with_grad }
    if not is_float[dtype] and dtype ~= "bool" then options.int_dtype = torch[dtype] end
    local args, n, tensors = S.args(torch, sample, options)
    local leaves, there = {}, {}
    for _, x in ipairs(tensors) do
      if x.requires_grad then leaves[#leaves + 1] = x end
    end
    local moved = on_device(args, n, there)
    if op.returns_self and with_grad then -- what is written is no leaf
      if torch.is_tensor(args[1]) then args[1], moved[1] = args[1] * 1, moved[1] * 1 end
    end
    local ok, wanted = pcall(call, op, args, n)
    if ok then
      local m = with_device(op, moved, n)
      local fine, got = pcall(call, op, moved, m)
      if not fine then error(sample.text .. ": " .. tostring(got), 0) end
      compare(sample.text, got, wanted)
      if with_grad then
        compare(sample.text .. " gradient", gradients(got, there), gradients(wanted, leaves))
      end
    end
  end
end

describe("op table on CUDA #cuda", function()
  if not available then
    pending("there is no CUDA device here: nothing was compared")
    return
  end
  for _, name in ipairs(core.op_list()) do
    local info = core.op_info(name)
    if info.samples and not info.hidden and not unset[name] and not without[name] then
      local op = D.op(name)
      describe(name, function()
        for _, dtype in ipairs(dtypes) do
          if op.dtypes[dtype] or (dtype == "float64" and next(op.dtypes) == nil) then
            it("gives the CPU's values in " .. dtype, function() check(op, dtype, false) end)
          end
        end
        if D.is_differentiable(op) then
          it("gives the CPU's gradients", function() check(op, "float64", true) end)
        end
      end)
    end
  end
end)
