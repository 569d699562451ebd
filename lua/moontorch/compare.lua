-- compare.lua: questions about two tensors as a whole: equal, allclose, isclose.

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local ops = core.ops
local compare = {}

local function check_pair(who, a, b)
  if not core.is_tensor(a) then fail("%s: input must be a tensor, got %s", who, type(a)) end
  if not core.is_tensor(b) then fail("%s: other must be a tensor, got %s", who, type(b)) end
end

--- Whether two tensors have the same sizes and equal elements (NaN equals nothing).
---@param a torch.Tensor
---@param b torch.Tensor
---@return boolean
function compare.equal(a, b)
  check_pair("equal", a, b)
  if a.shape ~= b.shape then return false end
  return core.no_grad(function() return ops.all(ops.eq(a, b)):item() end)
end

local function tolerances(who, options)
  local found = {rtol = 1e-5, atol = 1e-8, equal_nan = false}
  for key, value in pairs(options or {}) do
    if found[key] == nil then
      fail("%s: unknown keyword '%s'; known are rtol, atol, equal_nan", who, tostring(key))
    end
    found[key] = value
  end
  return found
end

-- rtol and atol may be positional, as in PyTorch: isclose(a, b, 1e-4, 1e-6, {equal_nan = true}).
local function read(who, rtol, atol, equal_nan, options)
  for _, value in ipairs {equal_nan or false, atol or false, rtol or false} do
    if type(value) == "table" then options = value end
  end
  local t = tolerances(who, options)
  if type(rtol) == "number" then t.rtol = rtol end
  if type(atol) == "number" then t.atol = atol end
  if type(equal_nan) == "boolean" then t.equal_nan = equal_nan end
  return t
end

--- |a - b| <= atol + rtol * |b|, elementwise and broadcast; infinities are close to themselves.
---@param a torch.Tensor
---@param b torch.Tensor
---@param rtol? number 1e-5
---@param atol? number 1e-8
---@param equal_nan? boolean
---@return torch.Tensor bool
function compare.isclose(a, b, rtol, atol, equal_nan, options)
  check_pair("isclose", a, b)
  local t = read("isclose", rtol, atol, equal_nan, options)
  return core.no_grad(function()
    if not a:is_floating_point() then a = a:to(core.dtypes.float64) end
    if not b:is_floating_point() then b = b:to(core.dtypes.float64) end
    local bound = ops.add(ops.mul(ops.abs(b), t.rtol), t.atol)
    local near = ops.logical_and(ops.le(ops.abs(ops.sub(a, b)), bound), ops.isfinite(b))
    near = ops.logical_or(near, ops.eq(a, b))
    if t.equal_nan then
      near = ops.logical_or(near, ops.logical_and(ops.isnan(a), ops.isnan(b)))
    end
    return near
  end)
end

--- Whether all elements of two tensors are close; see isclose.
---@return boolean
function compare.allclose(a, b, ...)
  check_pair("allclose", a, b)
  return compare.isclose(a, b, ...):all():item()
end

return compare
