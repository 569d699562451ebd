-- predicates.lua: questions about tensors that are answered by a Lua boolean.

local args = require "moontorch.args"
local core = require "moontorch.core"

local predicates = {}

local read_equal = args.signature "equal(tensor input, tensor other)"

--- Whether two tensors have the same sizes and elements. NaN is equal to nothing.
---@param ... torch.Tensor input, other
---@return boolean
function predicates.equal(...)
  local a, b = read_equal(...)
  if a:size() ~= b:size() then return false end
  return core.no_grad(function() return a:eq(b):all():item() end)
end

local read_allclose = args.signature("allclose(tensor input, tensor other, number rtol=1e-5, "
  .. "number atol=1e-8, bool equal_nan=false)")

--- Whether all elements are near: |input - other| <= atol + rtol |other|. Infinities are near to
--- themselves, NaN to NaN with equal_nan.
---@param ... any input, other, rtol = 1e-5, atol = 1e-8, equal_nan = false
---@return boolean
function predicates.allclose(...)
  local a, b, rtol, atol, equal_nan = read_allclose(...)
  return core.no_grad(function()
    local near = (a - b):abs():le(b:abs() * rtol + atol):logical_and(b:isfinite())
    near = near:logical_or(a:eq(b))
    if equal_nan then near = near:logical_or(a:ne(a):logical_and(b:ne(b))) end
    return near:all():item()
  end)
end

local read_same = args.signature "is_same_size(tensor input, tensor other)"

--- Whether two tensors have the same sizes.
---@param ... torch.Tensor input, other
---@return boolean
function predicates.is_same_size(...)
  local a, b = read_same(...)
  return a:size() == b:size()
end

return predicates
