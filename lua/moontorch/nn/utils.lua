-- nn/utils.lua: torch.nn.utils: clipping of gradients, parameters as one vector.

local args = require "moontorch.args"
local core = require "moontorch.core"
local fail = require "moontorch.fail"

local utils = {}

-- A list of the tensors given: one tensor, a list, or an iterator of name, parameter.
local function listed(what, parameters)
  if core.is_tensor(parameters) then return {parameters} end
  if type(parameters) == "function" then
    local list = {}
    for _, p in parameters do list[#list + 1] = p end
    return list
  end
  if type(parameters) ~= "table" then
    fail("%s: expected a tensor or a list of tensors, got %s", what, type(parameters))
  end
  return parameters
end

local function gradients(parameters)
  local grads = {}
  for _, p in ipairs(parameters) do
    local g = p.grad
    if g then grads[#grads + 1] = g end
  end
  return grads
end

local function norm_of(g, p)
  if p == math.huge then return g:abs():max() end
  if p == 2 then return (g * g):sum():sqrt() end
  if p == 1 then return g:abs():sum() end
  return g:abs():pow(p):sum():pow(1 / p)
end

local read_clip_norm = args.signature("clip_grad_norm_(any parameters, number max_norm, "
  .. "number norm_type=2, bool error_if_nonfinite=false)")

--- Scales all gradients so that the norm of them together is at most max_norm.
---@param ... any parameters, max_norm, norm_type = 2, error_if_nonfinite = false
---@return torch.Tensor total the norm before, 0-dim
function utils.clip_grad_norm_(...)
  local parameters, max_norm, p, strict = read_clip_norm(...)
  parameters = listed("clip_grad_norm_", parameters)
  return core.no_grad(function()
    local grads = gradients(parameters)
    if #grads == 0 then return core.tensor(0) end
    local norms = {}
    for i, g in ipairs(grads) do norms[i] = norm_of(g, p) end
    local total = norm_of(core.ops.stack(norms), p)
    if strict then
      local value = total:item()
      if value ~= value or value == math.huge then
        fail("clip_grad_norm_: the total norm of the gradients is %s, so they cannot be clipped",
          value ~= value and "nan" or "inf")
      end
    end
    local factor = (max_norm / (total + 1e-6)):clamp(nil, 1)
    for _, g in ipairs(grads) do g:mul_(factor) end
    return total
  end)
end

--- Limits every element of every gradient to [-limit, limit].
---@param parameters torch.Tensor|torch.Tensor[]
---@param limit number
function utils.clip_grad_value_(parameters, limit)
  if type(limit) ~= "number" then fail("clip_grad_value_: the limit must be a number") end
  core.no_grad(function()
    for _, g in ipairs(gradients(listed("clip_grad_value_", parameters))) do
      g:clamp_(-limit, limit)
    end
  end)
end

--- All parameters' values, one after the other, as one 1-D tensor.
---@param parameters torch.Tensor[]
---@return torch.Tensor
function utils.parameters_to_vector(parameters)
  local parts = {}
  for i, p in ipairs(listed("parameters_to_vector", parameters)) do parts[i] = p:reshape(-1) end
  return core.ops.cat(parts)
end

--- Copies slices of a 1-D tensor into the parameters, in order.
---@param vector torch.Tensor
---@param parameters torch.Tensor[]
function utils.vector_to_parameters(vector, parameters)
  parameters = listed("vector_to_parameters", parameters)
  local total = 0
  for _, p in ipairs(parameters) do total = total + p:numel() end
  if vector:dim() ~= 1 or vector:numel() ~= total then
    fail("vector_to_parameters: the parameters take a vector of %d elements, got shape %s", total,
      tostring(vector:size()))
  end
  core.no_grad(function()
    local at = 1
    for _, p in ipairs(parameters) do
      local n = p:numel()
      p:copy_(vector:narrow(1, at, n):view(p:size()))
      at = at + n
    end
  end)
end

return utils
