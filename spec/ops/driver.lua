-- driver.lua: the checks that every op of the table goes through. table_spec.lua makes a test of
-- each; a failing check raises with the sample's text.
local H = require "spec.helper"
local S = require "spec.ops.samples"
local exempt = require "spec.golden.exempt"
local core = require "moontorch.core"
local torch = H.torch

local D = {}

-- Ops whose result hangs on the memory layout by definition, or that a layout makes raise.
local layout_bound = { view = true, view_as = true, as_strided = true, _embed_strided = true, unflatten = true,
  is_contiguous = true, stride = true }

-- Outputs that are not set, or random: nothing to compare between calls.
local unset = { empty = true, empty_like = true, new_empty = true, empty_strided = true, resize_ = true }

-- Ops that choose among orthonormal or sign conventions, or whose result is only defined up to
-- order, would be named here with what is compared instead.

local tolerance = {
  float64 = { 1e-9, 1e-11 }, float32 = { 2e-5, 2e-6 }, float16 = { 8e-3, 8e-3 }, bfloat16 = { 6e-2, 6e-2 },
}
local dtype_names = { "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16",
  "float32", "float64" }
local limits = { uint8 = { 0, 255 }, int8 = { -128, 127 }, int16 = { -32768, 32767 },
  int32 = { -2147483648, 2147483647 }, int64 = { -2 ^ 53, 2 ^ 53 }, bool = { 0, 1 },
  float16 = { -65504, 65504 }, bfloat16 = { -3e38, 3e38 }, float32 = { -3e38, 3e38 } }
local is_float = { float16 = true, bfloat16 = true, float32 = true, float64 = true }

--- Everything the checks want to know of an op.
function D.op(name)
  local info = core.op_info(name)
  local op = { name = name, base = name:match("^[^.]+"), info = info }
  op.params, op.results = S.signature(info.signature)
  op.samples = S.parse(name, info.samples)
  op.fn = core.ops[op.base]
  op.returns_self = op.results == "Tensor!"
  op.single = op.results == "Tensor"
  op.dtypes = {}
  for _, dtype in ipairs(info.dtypes) do op.dtypes[dtype] = true end
  op.random = (exempt[name] or ""):find("^random") ~= nil
  return op
end

local function fail(sample, fmt, ...)
  error(("%s: " .. fmt):format(sample.text, ...), 0)
end

-- Calls the op; the same random numbers every time. Results as a list.
local function call(op, args, n)
  torch.manual_seed(7)
  local results = { op.fn(unpack(args, 1, n)) }
  if #results == 1 and type(results[1]) == "table" and not torch.is_tensor(results[1]) then
    return results[1], true -- a list of tensors
  end
  return results
end

-- Arguments that the op writes are copied first, so that a sample can be used again and leaves
-- that require grad are not touched.
local function protect(op, args)
  for k, p in ipairs(op.params) do
    if p.written and args[k] ~= nil then
      if torch.is_tensor(args[k]) then
        args[k] = args[k]:clone()
      elseif type(args[k]) == "table" then
        local copies = {}
        for j, x in ipairs(args[k]) do copies[j] = x:clone() end
        args[k] = copies
      end
    end
  end
  return args
end

local function run(op, sample, options)
  local args, n, tensors = S.args(torch, sample, options or {})
  return call(op, protect(op, args), n), tensors
end

-- Both lists of results have the same elements within the tolerance.
local function compare(sample, what, got, wanted, rtol, atol)
  if #got ~= #wanted then fail(sample, "%s: %d results, wanted %d", what, #got, #wanted) end
  for k = 1, #wanted do
    if torch.is_tensor(wanted[k]) then
      local sizes = {}
      for d = 1, wanted[k].ndim do sizes[d] = wanted[k].shape[d] end
      local wrong = H.difference(got[k], sizes, H.flat(wanted[k]), rtol, atol)
      if wrong then fail(sample, "%s: result %d: %s", what, k, wrong) end
    elseif got[k] ~= wanted[k] then
      fail(sample, "%s: result %d is %s, wanted %s", what, k, tostring(got[k]), tostring(wanted[k]))
    end
  end
end

-- ---- value ------------------------------------------------------------------

function D.value(op)
  local golden
  if not exempt[op.name] and not op.info.hidden then
    local chunk = loadfile("spec/golden/data/" .. op.name .. ".lua")
    if not chunk then error("no golden values: see spec/ops/README.md", 0) end
    golden = chunk()
  end
  for _, sample in ipairs(op.samples) do
    local got = run(op, sample)
    if golden then
      local wanted = golden[sample.text]
      if not wanted then fail(sample, "no golden values for this sample: see spec/ops/README.md") end
      if #got ~= #wanted then fail(sample, "%d results, PyTorch gives %d", #got, #wanted) end
      for k, w in ipairs(wanted) do
        local x = got[k]
        if not torch.is_tensor(x) then x = torch.tensor(x, { dtype = torch[w.dtype] }) end
        if H.dtype(x) ~= w.dtype then
          fail(sample, "result %d is %s, PyTorch gives %s", k, H.dtype(x), w.dtype)
        end
        local tol = tolerance[w.dtype] or { 0, 0 }
        local wrong = H.difference(x, w.sizes, w[1], tol[1], tol[2])
        if wrong then fail(sample, "result %d (PyTorch): %s", k, wrong) end
      end
    end
  end
end

-- ---- derivatives --------------------------------------------------------------

-- The op as a function of its float tensors, and those tensors.
local function as_function(op, sample)
  local args, n, tensors = S.args(torch, sample, { requires_grad = true, no_ties = true })
  local inputs, place = {}, {}
  for _, x in ipairs(tensors) do
    if x.requires_grad then
      inputs[#inputs + 1] = x
      place[x:id()] = #inputs
    end
  end
  local function fn(...)
    local given = { ... }
    local function put(v)
      if torch.is_tensor(v) then
        local k = place[v:id()]
        return k and given[k] or v
      elseif type(v) == "table" and getmetatable(v) == nil then
        local copy = {}
        for key, x in pairs(v) do copy[key] = put(x) end
        return copy
      end
      return v
    end
    local filled = {}
    for k = 1, n do filled[k] = put(args[k]) end
    local out = call(op, protect(op, filled), n)
    local float = {}
    for _, y in ipairs(out) do
      if torch.is_tensor(y) and is_float[H.dtype(y)] and y.requires_grad then float[#float + 1] = y end
    end
    return unpack(float)
  end
  return fn, inputs
end

function D.is_differentiable(op)
  return op.info.differentiable and not op.info.no_autograd
end

-- A first derivative that is no function of the inputs has no second one to check; then it must
-- be the same bits elsewhere.
local function constant_gradient(fn, inputs)
  local function gradient(xs)
    local roots, grads = { fn(unpack(xs)) }, {}
    for k, y in ipairs(roots) do grads[k] = torch.ones_like(y) end
    return torch.autograd.grad(roots, xs, { grad_outputs = grads, allow_unused = true })
  end
  local moved = {}
  for k, x in ipairs(inputs) do moved[k] = (x:detach() * 1.01):requires_grad_(true) end
  local here, there = gradient(inputs), gradient(moved)
  for k = 1, #inputs do
    if (here[k] == nil) ~= (there[k] == nil) then return false end
    if here[k] and not here[k]:eq(there[k]):all():item() then return false end
  end
  return true
end

function D.gradient(op, second)
  local check = second and torch.autograd.gradgradcheck or torch.autograd.gradcheck
  local tried = 0
  for _, sample in ipairs(op.samples) do
    local fn, inputs = as_function(op, sample)
    if #inputs > 0 and select("#", fn(unpack(inputs))) > 0 then
      local total = 0
      for _, x in ipairs(inputs) do total = total + x:numel() end
      if total > 0 then
        tried = tried + 1
        local ok, message = pcall(check, fn, inputs)
        if not ok and not (second and tostring(message):find("no output requires grad", 1, true)
          and constant_gradient(fn, inputs)) then
          fail(sample, "%s", tostring(message))
        end
        if message == false then fail(sample, "the check says no") end
      end
    end
  end
  if tried == 0 then error("differentiable, but no sample gives a result that requires grad", 0) end
end

-- ---- layouts -------------------------------------------------------------------

local function gradients(op, sample, layout)
  local args, n, tensors = S.args(torch, sample, { dtype = torch.float64, layout = layout, requires_grad = true })
  local results = call(op, protect(op, args), n)
  local roots, grads = {}, {}
  for k, y in ipairs(results) do
    if torch.is_tensor(y) and y.requires_grad then
      roots[#roots + 1] = y
      -- a gradient that tells the elements apart
      local g = torch.arange(1, y:numel() + 1, { dtype = torch.float64 }):reshape(y.shape)
      grads[#grads + 1] = torch.cos(g * (0.7 + k))
    end
  end
  local leaves = {}
  for _, x in ipairs(tensors) do
    if x.requires_grad then leaves[#leaves + 1] = x end
  end
  if #roots == 0 or #leaves == 0 then return results, {} end
  local got = torch.autograd.grad(roots, leaves, { grad_outputs = grads, allow_unused = true })
  local list = {}
  for k = 1, #leaves do list[k] = got[k] or torch.zeros_like(leaves[k]) end
  return results, list
end

function D.layouts(op)
  if unset[op.name] or layout_bound[op.name] then return end
  for _, sample in ipairs(op.samples) do
    local plain, plain_grads = gradients(op, sample, "plain")
    for _, layout in ipairs { "transposed", "offset" } do
      local ok, got, grads = pcall(gradients, op, sample, layout)
      if ok then
        compare(sample, layout, got, plain, 1e-11, 1e-12)
        compare(sample, layout .. " gradient", grads, plain_grads, 1e-11, 1e-12)
      else
        fail(sample, "%s: %s", layout, tostring(got))
      end
    end
  end
end

-- Every tensor is its first row, expanded: what is expanded gives the same as its copy.
function D.expanded(op)
  if unset[op.name] or layout_bound[op.name] then return end
  local function squash(args, n, copy)
    local function each(v, written)
      if torch.is_tensor(v) then
        if written or v.ndim == 0 or v.shape[1] < 2 then return v end
        local x = v:narrow(1, 1, 1):expand(v.shape)
        return copy and x:contiguous() or x
      elseif type(v) == "table" and getmetatable(v) == nil then
        local out = {}
        for k, x in pairs(v) do out[k] = each(x, written) end
        return out
      end
      return v
    end
    local out = {}
    for k = 1, n do
      out[k] = each(args[k], op.params[k] and op.params[k].written)
    end
    return out
  end
  for _, sample in ipairs(op.samples) do
    local args, n = S.args(torch, sample, {})
    local want_ok, wanted = pcall(call, op, protect(op, squash(args, n, true)), n)
    if want_ok then
      local ok, got = pcall(call, op, protect(op, squash(args, n, false)), n)
      if ok then
        compare(sample, "expanded", got, wanted, 1e-11, 1e-12)
      else
        fail(sample, "expanded: %s", tostring(got))
      end
    end
  end
end

-- ---- dtypes ----------------------------------------------------------------------

local function in_limits(name, x)
  local l = limits[name]
  return not l or (x >= l[1] and x <= l[2])
end

function D.dtype(op, name)
  local dtype = torch[name]
  local float = is_float[name]
  local tried, message = 0, nil
  for _, sample in ipairs(op.samples) do
    local options = { dtype = dtype }
    if not float and name ~= "bool" then options.int_dtype = dtype end
    local args, n = S.args(torch, sample, options)
    local first -- the tensor that the mask speaks of
    local function look(v)
      if first then return end
      if torch.is_tensor(v) then
        first = v
      elseif type(v) == "table" and getmetatable(v) == nil then
        for _, x in ipairs(v) do look(x) end
      end
    end
    for k = 1, n do look(args[k]) end
    if not first or H.dtype(first) == name then
      local function widen(v)
        if torch.is_tensor(v) then return H.dtype(v) == name and v:to(torch.float64) or v end
        if type(v) == "table" and getmetatable(v) == nil then
          local out = {}
          for k, x in pairs(v) do out[k] = widen(x) end
          return out
        end
        return v
      end
      local wide = {}
      for k = 1, n do wide[k] = widen(args[k]) end
      local ok, got = pcall(call, op, protect(op, args), n)
      if ok then
        tried = tried + 1
        local reference_ok, wanted = pcall(call, op, protect(op, wide), n)
        if reference_ok and not unset[op.name] and not op.random then
          for k, y in ipairs(got) do
            local w = wanted[k]
            if torch.is_tensor(y) and torch.is_tensor(w) then
              local rname = H.dtype(y)
              -- an op that computes in another dtype is as good as its inputs were
              local tol = tolerance[float and tolerance[name][1] > (tolerance[rname] or { 0 })[1] and name or rname]
                or { 0, 0 }
              local a, b = H.flat(y), H.flat(w)
              if #a ~= #b then fail(sample, "%s: %d elements, float64 gives %d", name, #a, #b) end
              for e = 1, #a do
                local want = b[e]
                if rname == "bool" then want = (want ~= 0) and 1 or 0 end
                if not is_float[rname] and is_float[H.dtype(w)] and want == want
                  and math.abs(want) ~= math.huge then
                  -- integer results of what float64 gives as a fraction: towards either side
                  if math.abs(a[e] - want) < 1 then want = a[e] end
                end
                if want == want and in_limits(rname, want) and not H.near(a[e], want, tol[1], tol[2]) then
                  fail(sample, "%s: result %d element %d is %.9g, float64 gives %.9g", name, k, e, a[e], want)
                end
              end
            end
          end
        end
      else
        message = got
      end
    end
  end
  if tried == 0 then
    error(("claims %s, but no sample runs with it%s"):format(name, message and ": " .. tostring(message) or ""), 0)
  end
end

-- ---- wrong inputs --------------------------------------------------------------------

local function must_raise(op, sample, what, args, n, ...)
  local ok, message = pcall(function() return op.fn(unpack(args, 1, n)) end)
  if ok then fail(sample, "%s raised nothing", what) end
  message = tostring(message)
  for _, text in ipairs { op.base, ... } do
    if not message:find(text, 1, true) then
      fail(sample, "%s: the message has no '%s': %s", what, text, message)
    end
  end
end

local function keyword_table(args, n)
  local last = args[n]
  if type(last) == "table" and getmetatable(last) == nil and not torch.is_tensor(last) then
    for k in pairs(last) do
      if type(k) == "string" then return last end
    end
  end
end

function D.wrong(op)
  local sample = op.samples[1]
  local function fresh()
    local args, n = S.args(torch, sample, {})
    return protect(op, args), n
  end

  local args, n = fresh()
  local kw = keyword_table(args, n)
  if kw then kw.no_such_keyword = 1 else
    n = n + 1
    args[n] = { no_such_keyword = 1 }
  end
  must_raise(op, sample, "an unknown keyword", args, n, "no_such_keyword")

  if op.params[1] and sample.n > 0 then
    args, n = fresh()
    args[1] = print
    must_raise(op, sample, "a function as first argument", args, n)
  end

  -- a dimension out of range, in the first sample that gives one as a number
  for _, s in ipairs(op.samples) do
    local done
    local a, m = S.args(torch, s, {})
    protect(op, a)
    for k, p in ipairs(op.params) do
      if (p.type == "dim" or p.type == "dims") and type(a[k]) == "number" and not p.keyword then
        a[k] = 20
        must_raise(op, s, "dimension 20", a, m, "20")
        done = true
        break
      end
    end
    if done then break end
  end

  -- a dtype that the row does not claim
  local first = op.params[1]
  if first and (first.type == "Tensor" or first.type == "Operand") and not first.list and next(op.dtypes) then
    for _, name in pairs(dtype_names) do
      if not op.dtypes[name] then
        args, n = fresh()
        if torch.is_tensor(args[1]) then
          args[1] = args[1]:to(torch[name])
          must_raise(op, sample, "dtype " .. name, args, n, name)
        end
      end
    end
  end
end

-- ---- forms -------------------------------------------------------------------------------

function D.method(op)
  local sample = op.samples[1]
  local args, n = S.args(torch, sample, {})
  protect(op, args)
  if not torch.is_tensor(args[1]) then return end
  local wanted = call(op, args, n)
  args, n = S.args(torch, sample, {})
  protect(op, args)
  torch.manual_seed(7)
  local got = { args[1][op.base](unpack(args, 1, n)) }
  if #got == 1 and type(got[1]) == "table" and not torch.is_tensor(got[1]) then got = got[1] end
  if not unset[op.name] then compare(sample, "method", got, wanted, 0, 0) end
end

function D.inplace(op)
  local tried = 0
  for _, sample in ipairs(op.samples) do
    local args, n = S.args(torch, sample, {})
    local x = args[1]
    if torch.is_tensor(x) then
      local ok, wanted = pcall(call, op, args, n)
      if ok and torch.is_tensor(wanted[1]) and wanted[1].shape == x.shape and wanted[1].dtype == x.dtype then
        tried = tried + 1
        for _, layout in ipairs { "plain", "transposed", "offset" } do
          local a, m = S.args(torch, sample, { layout = layout })
          local self = layout == "plain" and a[1]:clone() or a[1]
          a[1] = self
          local id = self:id()
          torch.manual_seed(7)
          local result = self[op.base .. "_"](unpack(a, 1, m))
          if result:id() ~= id then fail(sample, "the in-place form returns another tensor") end
          compare(sample, layout .. " in place", { self }, { wanted[1] }, 1e-12, 1e-13)
        end
      end
    end
  end
  if tried == 0 then error("in place, but no sample keeps its input's shape and dtype", 0) end
end

function D.out(op)
  for _, sample in ipairs(op.samples) do
    local args, n = S.args(torch, sample, {})
    local wanted = call(op, args, n)[1]
    if not torch.is_tensor(wanted) then return end
    for _, start in ipairs { "empty", "right", "strided" } do
      args, n = S.args(torch, sample, {})
      local z
      if start == "empty" then
        z = torch.empty(0, { dtype = wanted.dtype })
      elseif start == "right" then
        z = torch.zeros(wanted.shape, { dtype = wanted.dtype })
      elseif wanted.ndim >= 2 then
        z = torch.zeros(wanted:transpose(1, 2).shape, { dtype = wanted.dtype }):transpose(1, 2)
      end
      if z then
        local kw = keyword_table(args, n)
        if kw then kw.out = z else
          n = n + 1
          args[n] = { out = z }
        end
        torch.manual_seed(7)
        local result = op.fn(unpack(args, 1, n))
        if result:id() ~= z:id() then fail(sample, "out: another tensor is returned") end
        if not unset[op.name] then compare(sample, "out " .. start, { z }, { wanted }, 1e-12, 1e-13) end
      end
    end
  end
end

-- ---- threads, leaks ----------------------------------------------------------------------------

function D.threads(op)
  if unset[op.name] then return end
  local before = torch.get_num_threads()
  local ok, message = pcall(function()
    for _, sample in ipairs(op.samples) do
      torch.set_num_threads(1)
      local wanted, grads = gradients(op, sample)
      for _, threads in ipairs { 2, 7 } do
        torch.set_num_threads(threads)
        local got, got_grads = gradients(op, sample)
        compare(sample, threads .. " threads", got, wanted, 0, 0)
        compare(sample, threads .. " threads, gradient", got_grads, grads, 0, 0)
      end
    end
  end)
  torch.set_num_threads(before)
  if not ok then error(message, 0) end
end

-- Forwards in grad mode without backward, and with it, leave nothing alive.
function D.leaks(op)
  H.leaves_nothing(function()
    for _, sample in ipairs(op.samples) do
      for _ = 1, 3 do
        local args, n = S.args(torch, sample, { requires_grad = true })
        call(op, protect(op, args), n)
      end
      gradients(op, sample)
    end
  end)
end

return D
