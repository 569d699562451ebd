-- autograd/check.lua: gradcheck and gradgradcheck, derivatives against finite differences.
--
-- fn gets the inputs as separate arguments and must compute with these only: the numerical side
-- calls it with changed copies. It must give the same for the same inputs (seed the generator
-- inside where it draws).

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local check = {}

local known = {eps = true, atol = true, rtol = true, raise_exception = true, nondet_tol = true}

local function read_options(who, options)
  options = options or {}
  for name in pairs(options) do
    if not known[name] then
      fail("%s: unknown keyword '%s' (known: eps, atol, rtol, raise_exception, nondet_tol)", who,
        tostring(name))
    end
  end
  return {
    eps = options.eps or 1e-6, atol = options.atol or 1e-5, rtol = options.rtol or 1e-3,
    raise_exception = options.raise_exception ~= false, nondet_tol = options.nondet_tol or 0,
  }
end

local function as_list(inputs)
  return core.is_tensor(inputs) and {inputs} or inputs
end

local function differentiable(x)
  return core.is_tensor(x) and x:is_floating_point() and x.requires_grad
end

-- fn's results that can have a derivative: {place, tensor}
local function outputs_of(fn, inputs, n)
  local results = {fn(unpack(inputs, 1, n))}
  if #results == 1 and type(results[1]) == "table" and not core.is_tensor(results[1]) then
    results = results[1]
  end
  local list = {}
  for i, y in ipairs(results) do
    if core.is_tensor(y) and y:is_floating_point() then list[#list + 1] = {i, y} end
  end
  return list
end

-- d output / d input by central differences: a list over outputs of (numel in, numel out).
local function numerical(fn, inputs, n, k, eps, count)
  local x = inputs[k]
  local rows = {}
  for o = 1, count do rows[o] = {} end
  local copies = {}
  for i = 1, n do copies[i] = inputs[i] end
  local function evaluate(e, delta)
    local moved = core.ops.empty(x:size(), {dtype = x.dtype}):copy_(x:detach())
    moved:view(-1):narrow(1, e, 1):add_(delta)
    copies[k] = moved:requires_grad_(true)
    local values = {}
    for o, output in ipairs(outputs_of(fn, copies, n)) do
      values[o] = output[2]:detach():reshape(-1):clone()
    end
    return values
  end
  for e = 1, x:numel() do
    local above, below = evaluate(e, eps), evaluate(e, -eps)
    for o = 1, count do rows[o][e] = (above[o] - below[o]) / (2 * eps) end
  end
  local result = {}
  for o = 1, count do result[o] = #rows[o] > 0 and core.ops.stack(rows[o]) or false end
  return result
end

-- The same by backward: (numel in, numel out), or false when either is empty.
local function analytical(y, x)
  local columns = {}
  for j = 1, y:numel() do
    local v = core.ops.zeros(y:size(), {dtype = y.dtype})
    v:view(-1):narrow(1, j, 1):fill_(1)
    local g = core.autograd_grad({y}, {x},
      {grad_outputs = {v}, retain_graph = true, allow_unused = true})[1]
    if g and g:size() ~= x:size() then
      fail("gradcheck: the gradient has shape %s, the input %s", tostring(g:size()),
        tostring(x:size()))
    end
    columns[j] = g and g:reshape(-1) or core.ops.zeros({x:numel()}, {dtype = x.dtype})
  end
  if #columns == 0 or x:numel() == 0 then return false end
  return core.ops.stack(columns):t()
end

local function describe(what, place, numeric, exact)
  local gap = (numeric - exact):abs()
  local worst = gap:masked_fill(gap:ne(gap), math.huge):argmax():item()
  local width = exact:size(2)
  local row, column = math.floor((worst - 1) / width) + 1, (worst - 1) % width + 1
  return ("%s: derivative of output %d with respect to input %d is wrong; worst at element %d of "
    .. "the output and %d of the input: numerical %.9g, analytical %.9g\nnumerical:\n%s\n"
    .. "analytical:\n%s"):format(what, place[1], place[2], column, row,
    numeric[{row, column}]:item(), exact[{row, column}]:item(), tostring(numeric),
    tostring(exact))
end

local function close(numeric, exact, options)
  local gap = (numeric - exact):abs()
  return gap:le(numeric:abs() * options.rtol + options.atol):all():item()
end

-- nil when all is right, else the text of what is wrong. An output without a graph has to be
-- constant.
local function compare(who, fn, inputs, n, options)
  local outputs = outputs_of(fn, inputs, n)
  if #outputs == 0 then return who .. ": fn returned no floating point tensor" end
  for k = 1, n do
    if differentiable(inputs[k]) then
      local numeric = numerical(fn, inputs, n, k, options.eps, #outputs)
      for o, output in ipairs(outputs) do
        local y = output[2]
        local exact = y.requires_grad and analytical(y, inputs[k])
        if not exact and numeric[o] and y:numel() > 0 then
          exact = core.ops.zeros_like(numeric[o])
        end
        if exact then
          if not close(numeric[o], exact, options) then
            return describe(who, {output[1], k}, numeric[o], exact)
          end
          if y.requires_grad then
            local again = analytical(y, inputs[k])
            if (again - exact):abs():max():item() > options.nondet_tol then
              return ("%s: backward is not deterministic: two runs gave different derivatives of "
                .. "output %d with respect to input %d"):format(who, output[1], k)
            end
          end
        end
      end
    end
  end
  return nil
end

local function run(who, fn, inputs, n, options)
  local any = false
  for k = 1, n do
    if differentiable(inputs[k]) then
      any = true
      if inputs[k].dtype ~= core.dtypes.float64 then
        fail("%s: input %d is %s; finite differences need float64", who, k,
          tostring(inputs[k].dtype))
      end
    end
  end
  if not any then
    fail("%s: at least one input has to be a floating point tensor that requires grad", who)
  end
  local problem = core.enable_grad(compare, who, fn, inputs, n, options)
  if problem and options.raise_exception then fail("%s", problem) end
  return problem == nil, problem
end

--- Compares fn's derivatives with central differences, for every input that requires grad.
--- options: eps = 1e-6, atol = 1e-5, rtol = 1e-3, nondet_tol = 0, raise_exception = true.
---@param fn fun(...): ...
---@param inputs torch.Tensor|any[] passed to fn as separate arguments
---@param options? table
---@return boolean ok
---@return string|nil what is wrong, with raise_exception = false
function check.gradcheck(fn, inputs, options)
  local list = as_list(inputs)
  return run("gradcheck", fn, list, table.maxn(list), read_options("gradcheck", options))
end

--- The same for the derivatives of fn's derivatives. grad_outputs: what is put in front of them,
--- drawn at random when left out.
---@param fn fun(...): ...
---@param inputs torch.Tensor|any[]
---@param grad_outputs? torch.Tensor|torch.Tensor[]
---@param options? table
---@return boolean ok
---@return string|nil what
function check.gradgradcheck(fn, inputs, grad_outputs, options)
  if type(grad_outputs) == "table" and not core.is_tensor(grad_outputs[1]) then
    grad_outputs, options = nil, grad_outputs
  end
  options = read_options("gradgradcheck", options)
  local list = as_list(inputs)
  local n = table.maxn(list)
  local places, given = {}, {}
  core.enable_grad(function()
    for _, output in ipairs(outputs_of(fn, list, n)) do
      if output[2].requires_grad then
        places[#places + 1] = output[1]
        given[#given + 1] = output[2]
      end
    end
  end)
  local all = {}
  for k = 1, n do all[k] = list[k] end
  for i, y in ipairs(given) do
    local v = grad_outputs and as_list(grad_outputs)[i]
      or core.ops.randn(y:size(), {dtype = y.dtype})
    all[n + i] = v:detach():clone():requires_grad_(true)
  end
  local function first_derivatives(...)
    local arguments = {...}
    local wanted, outputs, vectors = {}, {}, {}
    for k = 1, n do
      if differentiable(list[k]) then wanted[#wanted + 1] = arguments[k] end
    end
    local results = {}
    for _, output in ipairs(outputs_of(fn, arguments, n)) do results[output[1]] = output[2] end
    for i, place in ipairs(places) do
      outputs[i], vectors[i] = results[place], arguments[n + i]
    end
    local grads = core.autograd_grad(outputs, wanted,
      {grad_outputs = vectors, create_graph = true, allow_unused = true})
    local values = {}
    for i, x in ipairs(wanted) do values[i] = grads[i] or core.ops.zeros_like(x) end
    return unpack(values)
  end
  return run("gradgradcheck", first_derivatives, all, n + #given, options)
end

return check
