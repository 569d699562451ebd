-- compare.lua: questions about two tensors as a whole: equal, allclose, isclose, is_same_size.
-- All are functions of torch and methods.

local args = require "moontorch.args"
local core = require "moontorch.core"

local ops = core.ops
local compare = {}

local read_equal = args.signature "equal(tensor input, tensor other)"

local function equal_elements(a, b)
  return ops.all(ops.eq(a, b)):item()
end

--- Whether two tensors have the same sizes and equal elements (NaN equals nothing).
---@param ... torch.Tensor input, other
---@return boolean
function compare.equal(...)
  local a, b = read_equal(...)
  return a.shape == b.shape and core.no_grad(equal_elements, a, b)
end

local read_same = args.signature "is_same_size(tensor input, tensor other)"

--- Whether two tensors have the same sizes.
---@param ... torch.Tensor input, other
---@return boolean
function compare.is_same_size(...)
  local a, b = read_same(...)
  return a.shape == b.shape
end

local tolerances = "(tensor input, tensor other, number rtol=1e-5, number atol=1e-8, "
  .. "bool equal_nan=false)"
local read_isclose = args.signature("isclose" .. tolerances)
local read_allclose = args.signature("allclose" .. tolerances)

local function close(a, b, rtol, atol, equal_nan)
  if not a:is_floating_point() then a = a:to(core.dtypes.float64) end
  if not b:is_floating_point() then b = b:to(core.dtypes.float64) end
  local bound = ops.add(ops.mul(ops.abs(b), rtol), atol)
  local near = ops.logical_and(ops.le(ops.abs(ops.sub(a, b)), bound), ops.isfinite(b))
  near = ops.logical_or(near, ops.eq(a, b))
  if equal_nan then near = ops.logical_or(near, ops.logical_and(ops.isnan(a), ops.isnan(b))) end
  return near
end

--- |input - other| <= atol + rtol * |other|, elementwise and broadcast; infinities are close to
--- themselves, NaN to NaN with equal_nan.
---@param ... any input, other, rtol = 1e-5, atol = 1e-8, equal_nan = false
---@return torch.Tensor bool
function compare.isclose(...)
  return core.no_grad(close, read_isclose(...))
end

--- Whether all elements of two tensors are close; see isclose.
---@param ... any input, other, rtol = 1e-5, atol = 1e-8, equal_nan = false
---@return boolean
function compare.allclose(...)
  return core.no_grad(close, read_allclose(...)):all():item()
end

return compare
