-- nn/walk.lua: the tree of modules, and what is done to all of it: parameters, buffers, train,
-- to, apply, zero_grad.
--
-- Order: a module before its children, children in order of first assignment; in a plain table
-- held by a module, 1..n and then names sorted. A module or tensor reached twice counts once.

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local Module = require "moontorch.nn.module"

local is_module = Module.is_module

local walk = {}

-- Appends the modules in a plain table, under names with `prefix`; `guard` holds the tables
-- being looked into.
local function from_table(list, prefix, published, t, guard)
  if guard[t] then return end
  guard[t] = true
  local function visit(key, published_key, value)
    if is_module(value) then
      list[#list + 1] = {prefix .. key, value, published .. published_key}
    elseif type(value) == "table" and getmetatable(value) == nil then
      from_table(list, prefix .. key .. ".", published .. published_key .. ".", value, guard)
    end
  end
  local n = #t
  for i = 1, n do visit(tostring(i), tostring(i - 1), t[i]) end
  local names = {}
  for key in pairs(t) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, name in ipairs(names) do visit(name, name, t[name]) end
  guard[t] = nil
end

--- The direct children of a module: a list of {name, module, PyTorch's name}. The last differs
--- where children are counted: PyTorch counts from 0.
---@param module nn.Module
---@return table
function walk.children(module)
  local list = {}
  local slots, kinds = module._slots, module._kinds
  local counted = getmetatable(module).__counted
  for _, name in ipairs(module._order) do
    local kind = kinds[name]
    if kind == "module" then
      local published = counted and tonumber(name) and tostring(tonumber(name) - 1) or name
      list[#list + 1] = {name, slots[name], published}
    elseif kind == "table" then
      from_table(list, name .. ".", name .. ".", slots[name], {})
    end
  end
  return list
end

--- All modules of the tree: a list of {prefix, module, PyTorch's prefix}; a prefix ends in a dot
--- or is empty.
---@param root nn.Module
---@return table
function walk.tree(root)
  local list, seen = {}, {}
  local function visit(module, prefix, published)
    if seen[module] then return end
    seen[module] = true
    list[#list + 1] = {prefix, module, published}
    for _, child in ipairs(walk.children(module)) do
      visit(child[2], prefix .. child[1] .. ".", published .. child[3] .. ".")
    end
  end
  visit(root, "", "")
  return list
end

--- All tensors of one kind ("parameter" or "buffer"): a list of {name, tensor, PyTorch's name,
--- module, key}. With `all`, one that is reached twice is listed twice.
---@param root nn.Module
---@param kind string
---@param all? boolean
---@return table
function walk.tensors(root, kind, all)
  local list, seen = {}, {}
  for _, entry in ipairs(walk.tree(root)) do
    local module = entry[2]
    for _, name in ipairs(module._order) do
      if module._kinds[name] == kind then
        local tensor = module._slots[name]
        local id = tensor:id()
        if all or not seen[id] then
          seen[id] = true
          list[#list + 1] = {entry[1] .. name, tensor, entry[3] .. name, module, name}
        end
      end
    end
  end
  return list
end

-- A list of the second items, and an iterator over the first two.
local function seconds(list)
  local values = {}
  for i, entry in ipairs(list) do values[i] = entry[2] end
  return values
end

local function iterate(list)
  local i = 0
  return function()
    i = i + 1
    local entry = list[i]
    if entry then return entry[1], entry[2] end
    return nil
  end
end

local function named_tree(self)
  local list = walk.tree(self)
  for _, entry in ipairs(list) do entry[1] = entry[1]:sub(1, -2) end
  return list
end

--- All parameters, as a list.
---@return torch.Tensor[]
function Module:parameters()
  return seconds(walk.tensors(self, "parameter"))
end

--- Iterates name, parameter.
---@return fun(): string, torch.Tensor
function Module:named_parameters()
  return iterate(walk.tensors(self, "parameter"))
end

--- All buffers, as a list.
---@return torch.Tensor[]
function Module:buffers()
  return seconds(walk.tensors(self, "buffer"))
end

--- Iterates name, buffer.
function Module:named_buffers()
  return iterate(walk.tensors(self, "buffer"))
end

--- The direct sub-modules, as a list.
---@return nn.Module[]
function Module:children()
  return seconds(walk.children(self))
end

--- Iterates name, direct sub-module.
function Module:named_children()
  return iterate(walk.children(self))
end

--- This module and all below it, as a list.
---@return nn.Module[]
function Module:modules()
  return seconds(walk.tree(self))
end

--- Iterates name, module; this module's own name is "".
function Module:named_modules()
  return iterate(named_tree(self))
end

--- The module at a dotted path; "" is this one.
---@param path string
---@return nn.Module
function Module:get_submodule(path)
  if path == "" then return self end
  for _, entry in ipairs(named_tree(self)) do
    if entry[1] == path then return entry[2] end
  end
  return fail("%s has no sub-module '%s'", getmetatable(self).__typename, tostring(path))
end

--- The parameter at a dotted path.
---@param path string
---@return torch.Tensor
function Module:get_parameter(path)
  for _, entry in ipairs(walk.tensors(self, "parameter", true)) do
    if entry[1] == path then return entry[2] end
  end
  return fail("%s has no parameter '%s'", getmetatable(self).__typename, tostring(path))
end

--- Calls fn(module) for every module, children before their parent.
---@param fn fun(module: nn.Module)
---@return nn.Module self
function Module:apply(fn)
  for _, child in ipairs(self:children()) do child:apply(fn) end
  fn(self)
  return self
end

--- Training mode on or off (dropout and the like look at it), for all modules below too.
---@param on? boolean default true
---@return nn.Module self
function Module:train(on)
  if on == nil then on = true end
  if type(on) ~= "boolean" then fail("train: expected a boolean, got %s", type(on)) end
  for _, entry in ipairs(walk.tree(self)) do entry[2].training = on end
  return self
end

--- The same as train(false).
---@return nn.Module self
function Module:eval()
  return self:train(false)
end

--- Whether autograd records what is done with the parameters.
---@param on? boolean default true
---@return nn.Module self
function Module:requires_grad_(on)
  for _, p in ipairs(self:parameters()) do p:requires_grad_(on ~= false) end
  return self
end

--- Clears all gradients; {set_to_none = false} fills them with zeros instead.
---@param options? {set_to_none: boolean}
function Module:zero_grad(options)
  local set_to_none = options
  if type(options) == "table" then set_to_none = options.set_to_none end
  for _, p in ipairs(self:parameters()) do
    if set_to_none ~= false then
      p.grad = nil
    elseif p.grad then
      p.grad = core.ops.zeros_like(p.grad)
    end
  end
end

-- ---- moving and casting ----

-- Gives every parameter and buffer other values, made by convert(tensor). Parameters stay the
-- same tensors, so that optimizers and other owners keep them.
local function convert_all(self, convert)
  for _, entry in ipairs(walk.tensors(self, "parameter")) do
    local p = entry[2]
    local grad = p.grad
    core.no_grad(function()
      local new = convert(p)
      if new ~= p then
        p.grad = nil
        p.data = new
        if grad then p.grad = convert(grad) end
      end
    end)
  end
  for _, entry in ipairs(walk.tensors(self, "buffer")) do
    entry[4][entry[5]] = core.no_grad(convert, entry[2])
  end
  return self
end

local function is_float_dtype(dtype)
  return tostring(dtype):find("float", 1, true) ~= nil
end

--- Moves parameters and buffers to a device and / or casts the floating ones to a dtype:
--- to("cuda"), to(torch.float64), to("cuda", torch.float16), to{device = ..., dtype = ...}, or
--- to(x) for a tensor's device and dtype. In place.
---@return nn.Module self
function Module:to(...)
  local options = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if core.is_tensor(value) then
      options.device, options.dtype = value.device, value.dtype
    elseif core.is_dtype(value) then
      options.dtype = value
    elseif type(value) == "table" and getmetatable(value) == nil then
      for key, v in pairs(value) do
        if key ~= "device" and key ~= "dtype" then
          fail("Module:to: unknown keyword '%s' (known: device, dtype)", tostring(key))
        end
        options[key] = v
      end
    elseif value ~= nil then
      options.device = value
    end
  end
  if options.dtype and not is_float_dtype(options.dtype) then
    fail("Module:to: modules take only floating point dtypes, got %s", tostring(options.dtype))
  end
  local moved = {device = options.device}
  return convert_all(self, function(x)
    return x:to(x:is_floating_point() and options or moved)
  end)
end

for name, dtype in pairs {float = "float32", double = "float64", half = "float16",
  bfloat16 = "bfloat16"} do
  Module[name] = function(self)
    return self:to(core.dtypes[dtype])
  end
end

function Module:cpu()
  return self:to("cpu")
end

--- Moves the module to a CUDA device.
---@param index? integer the driver's ordinal
function Module:cuda(index)
  return self:to(index and "cuda:" .. index or "cuda")
end

return walk
