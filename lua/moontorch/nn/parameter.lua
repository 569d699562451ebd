-- nn/parameter.lua: nn.Parameter(x) and nn.Buffer(x), tensors that a module registers when they
-- are assigned to one of its fields.
--
-- A parameter carries a flag on the C tensor. A buffer is known by its handle only until it is
-- assigned, so a weak table suffices.

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local buffers = setmetatable({}, {__mode = "k"})

--- A parameter over x's values (shared, not copied): a leaf that requires grad.
---@param x torch.Tensor
---@param requires_grad? boolean default true
---@return torch.Tensor
local function Parameter(x, requires_grad)
  if not core.is_tensor(x) then fail("nn.Parameter: expected a tensor, got %s", type(x)) end
  if type(requires_grad) == "table" then requires_grad = requires_grad.requires_grad end
  local p = x:detach()
  if requires_grad ~= false then p:requires_grad_(true) end
  return core.mark_parameter(p)
end

--- Marks x as a buffer: assigned to a module's field, it is part of the module's state.
---@param x torch.Tensor
---@return torch.Tensor x
local function Buffer(x)
  if not core.is_tensor(x) then fail("nn.Buffer: expected a tensor, got %s", type(x)) end
  buffers[x] = true
  return x
end

local function is_buffer(x)
  return buffers[x] == true
end

return {Parameter = Parameter, Buffer = Buffer, is_buffer = is_buffer}
