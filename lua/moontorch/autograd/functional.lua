-- autograd/functional.lua: jacobian, hessian, vjp and jvp of a function of tensors.
--
-- `inputs` is a tensor or a list of them, and fn gets them as separate arguments. Results follow
-- the inputs: a tensor for a tensor, a list for a list.

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local functional = {}

-- The inputs as a list of leaves that require grad, sharing memory with those given. With
-- create_graph they stay in their graph.
local function prepare(who, inputs, create_graph)
  local single = core.is_tensor(inputs)
  local list = single and {inputs} or inputs
  if type(list) ~= "table" or not core.is_tensor(list[1]) then
    fail("%s: inputs must be a tensor or a list of tensors", who)
  end
  local leaves = {}
  for i, x in ipairs(list) do
    if create_graph then
      leaves[i] = x.requires_grad and x:view_as(x) or x:detach():requires_grad_(true)
    else
      leaves[i] = x:detach():requires_grad_(true)
    end
  end
  return leaves, single
end

local function one_output(who, fn, inputs)
  local y = fn(unpack(inputs))
  if not core.is_tensor(y) then fail("%s: fn must return one tensor", who) end
  return y
end

local function gradients(output, inputs, options)
  options.allow_unused = true
  local grads = output.requires_grad and core.autograd_grad({output}, inputs, options) or {}
  local result = {}
  for i, x in ipairs(inputs) do result[i] = grads[i] or core.ops.zeros_like(x) end
  return result
end

local function sizes_joined(a, b)
  local sizes = {}
  for _, n in ipairs(a:size()) do sizes[#sizes + 1] = n end
  for _, n in ipairs(b:size()) do sizes[#sizes + 1] = n end
  return sizes
end

-- Jacobians of y with respect to each input: y's sizes, then the input's.
local function jacobian_of(y, inputs, create_graph)
  local n = y:numel()
  local rows = {}
  for k = 1, #inputs do rows[k] = {} end
  local flat = y:reshape(-1)
  for j = 1, n do
    local grads = gradients(flat[j], inputs, {retain_graph = true, create_graph = create_graph})
    for k, g in ipairs(grads) do rows[k][j] = g:reshape(-1) end
  end
  local result = {}
  for k, x in ipairs(inputs) do
    local sizes = sizes_joined(y, x)
    result[k] = n > 0 and core.ops.stack(rows[k]):reshape(sizes)
      or core.ops.zeros(sizes, {dtype = x.dtype, device = x.device})
  end
  return result
end

--- The Jacobian of fn's result: its sizes, then the input's.
---@param fn fun(...): torch.Tensor
---@param inputs torch.Tensor|torch.Tensor[]
---@param options? {create_graph: boolean}
function functional.jacobian(fn, inputs, options)
  local create_graph = options and options.create_graph or false
  return core.enable_grad(function()
    local leaves, single = prepare("jacobian", inputs, create_graph)
    local result = jacobian_of(one_output("jacobian", fn, leaves), leaves, create_graph)
    return single and result[1] or result
  end)
end

--- The Hessian of a function with one number as result: for a tensor its sizes twice, for a list
--- a list of lists.
---@param fn fun(...): torch.Tensor
---@param inputs torch.Tensor|torch.Tensor[]
---@param options? {create_graph: boolean}
function functional.hessian(fn, inputs, options)
  local create_graph = options and options.create_graph or false
  return core.enable_grad(function()
    local leaves, single = prepare("hessian", inputs, create_graph)
    local y = one_output("hessian", fn, leaves)
    if y:numel() ~= 1 then
      fail("hessian: fn must return one number, got shape %s", tostring(y:size()))
    end
    local rows = {}
    for i, g in ipairs(gradients(y, leaves, {create_graph = true})) do
      rows[i] = jacobian_of(g, leaves, create_graph)
    end
    return single and rows[1][1] or rows
  end)
end

--- fn's result and the product of v with its Jacobian. v is left out for a single number.
---@param fn fun(...): torch.Tensor
---@param inputs torch.Tensor|torch.Tensor[]
---@param v? torch.Tensor of the result's sizes
---@param options? {create_graph: boolean}
---@return torch.Tensor result
---@return torch.Tensor|torch.Tensor[] product
function functional.vjp(fn, inputs, v, options)
  local create_graph = options and options.create_graph or false
  return core.enable_grad(function()
    local leaves, single = prepare("vjp", inputs, create_graph)
    local y = one_output("vjp", fn, leaves)
    local grads = gradients(y, leaves, {grad_outputs = v and {v}, create_graph = create_graph})
    return create_graph and y or y:detach(), single and grads[1] or grads
  end)
end

--- fn's result and the product of its Jacobian with v, by two backward passes.
---@param fn fun(...): torch.Tensor
---@param inputs torch.Tensor|torch.Tensor[]
---@param v torch.Tensor|torch.Tensor[] like the inputs
---@param options? {create_graph: boolean}
---@return torch.Tensor result
---@return torch.Tensor product of the result's sizes
function functional.jvp(fn, inputs, v, options)
  local create_graph = options and options.create_graph or false
  return core.enable_grad(function()
    local leaves, single = prepare("jvp", inputs, create_graph)
    local tangents = single and {v} or v
    if type(tangents) ~= "table" or #tangents ~= #leaves then
      fail("jvp: v must be like the inputs: %d tensors", #leaves)
    end
    local y = one_output("jvp", fn, leaves)
    -- g(u) = u^T J is linear in u, and its derivative times v is J v
    local u = core.ops.zeros_like(y):requires_grad_(true)
    local rows = gradients(y, leaves, {grad_outputs = {u}, create_graph = true})
    local total
    for i, row in ipairs(rows) do
      local term = (row * tangents[i]):sum()
      total = total and total + term or term
    end
    local product = gradients(total, {u}, {create_graph = create_graph})[1]
    return create_graph and y or y:detach(), product
  end)
end

return functional
