-- nn/module.lua: nn.Module, the base class of everything with parameters.
--
-- All attributes of a module live in one table, `_slots` (name -> value), never in the object
-- itself, so that every assignment passes through `__newindex`: it registers parameters, buffers
-- and sub-modules in order of first assignment, and keeps tensors alive beyond a torch.scope.
-- Raw fields of the object:
--   _slots   name -> value            _kinds   name -> "parameter" | "buffer" | "module" |
--   _order   registered names                   "table" | "tensor" (registered names only)
--   _hooks   false, or {pre = {...}, post = {...}}
--   _hidden  buffers left out of state_dict (name -> true), or false
-- A plain table held by a module is looked into for modules at each walk, since it may be filled
-- after it was assigned. What walks the tree of modules is in nn/walk.lua, state_dict in
-- nn/state.lua; both add their methods to this class.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local parameter = require "moontorch.nn.parameter"

local is_tensor, is_parameter, keep = core.is_tensor, core.is_parameter, core.keep
local getmetatable, type = getmetatable, type

---@class nn.Module
---@field training boolean
---@field forward fun(self, ...): ...
local Module = class.class("nn.Module")
Module.__is_module = true

--- Whether `value` is a module.
---@param value any
---@return boolean
function Module.is_module(value)
  if type(value) ~= "table" then return false end
  local meta = getmetatable(value)
  return type(meta) == "table" and meta.__is_module == true
end

local is_module = Module.is_module

function Module.__alloc()
  return {_slots = {training = true}, _kinds = {}, _order = {}, _hooks = false, _hidden = false}
end

--- Nothing to do: the registries exist already.
function Module:__init() end

function Module.__index(self, key)
  local slots = self._slots
  local value = slots[key]
  if value ~= nil then return value end
  value = getmetatable(self)[key]
  if value == nil and type(key) == "number" then return slots[tostring(key)] end
  return value
end

-- What a value assigned to `key` is registered as; nil for a plain attribute.
local function kind_of(self, key, value)
  local t = type(value)
  if t == "userdata" and is_tensor(value) then
    keep(value)
    if is_parameter(value) then return "parameter" end
    local before = self._kinds[key]
    if before == "parameter" then
      fail("cannot assign a tensor as parameter '%s' (nn.Parameter or nil expected)", key)
    end
    return (before == "buffer" or parameter.is_buffer(value)) and "buffer" or "tensor"
  elseif t == "table" then
    if is_module(value) then return "module" end
    return getmetatable(value) == nil and "table" or nil
  end
  return nil
end

local function forget(self, key)
  if self._kinds[key] == nil then return end
  self._kinds[key] = nil
  for i, name in ipairs(self._order) do
    if name == key then
      table.remove(self._order, i)
      break
    end
  end
end

function Module.__newindex(self, key, value)
  if type(key) == "number" then key = tostring(key) end
  local kind = kind_of(self, key, value)
  if kind == nil then
    if self._kinds[key] ~= nil then forget(self, key) end
  else
    if self._kinds[key] == nil then
      local method = getmetatable(self)[key]
      if kind ~= "table" and kind ~= "tensor" and method ~= nil then
        fail("%s: attribute '%s' already exists; register it under another name",
          getmetatable(self).__typename, key)
      end
      self._order[#self._order + 1] = key
    end
    self._kinds[key] = kind
  end
  self._slots[key] = value
end

-- ---- calling ----

local function pass(...)
  return ...
end

-- The arguments as hooks see them.
local function pack(...)
  return {n = select("#", ...), ...}
end

-- A hook's answer as a list of values.
local function answer(value)
  if type(value) == "table" and getmetatable(value) == nil then
    return {n = #value, unpack(value)}
  end
  return {n = 1, value}
end

local function hooked(self, forward, ...)
  local hooks = self._hooks
  local inputs = pack(...)
  for _, hook in ipairs(hooks.pre) do
    local changed = hook.fn(self, inputs)
    if changed ~= nil then inputs = answer(changed) end
  end
  local outputs = pack(forward(self, unpack(inputs, 1, inputs.n)))
  for _, hook in ipairs(hooks.post) do
    local output = outputs
    if outputs.n == 1 then output = outputs[1] end
    local changed = hook.fn(self, inputs, output)
    if changed ~= nil then outputs = answer(changed) end
  end
  return unpack(outputs, 1, outputs.n)
end

-- Never a tail call of forward: the binding finds the module's path for an error by the frames
-- of this function, whose first local is the module.
local function call(self, ...)
  local forward = self._slots.forward or getmetatable(self).forward
  if self._hooks then return pass(hooked(self, forward, ...)) end
  return pass(forward(self, ...))
end

Module.__call = call
core.set_module_call(call)

function Module:forward()
  return fail('%s has no forward method', getmetatable(self).__typename)
end

local Handle = class.class("nn.HookHandle")

--- Takes the hook away; more than once is fine.
function Handle:remove()
  local list = self.list
  for i = #list, 1, -1 do
    if list[i] == self then table.remove(list, i) end
  end
end

local function add_hook(self, kind, fn)
  if not self._hooks then rawset(self, "_hooks", {pre = {}, post = {}}) end
  local handle = Handle()
  handle.fn, handle.list = fn, self._hooks[kind]
  table.insert(handle.list, handle)
  return handle
end

--- fn(module, inputs, output) runs after forward; inputs is a list, output the result or, when
--- there are several, their list. What it returns (a value, or a list of several) replaces them.
---@param fn function
---@return table handle with remove()
function Module:register_forward_hook(fn)
  return add_hook(self, "post", fn)
end

--- fn(module, inputs) runs before forward and may return other inputs (a value or a list).
---@param fn function
---@return table handle with remove()
function Module:register_forward_pre_hook(fn)
  return add_hook(self, "pre", fn)
end

-- ---- registering by name ----

local function check_name(self, what, name)
  if type(name) ~= "string" and type(name) ~= "number" then
    fail("%s: the name must be a string, got %s", what, type(name))
  end
  name = tostring(name)
  if name == "" then fail('%s: the name must not be empty', what) end
  if name:find(".", 1, true) then fail("%s: the name '%s' must not contain a dot", what, name) end
  if self._kinds[name] == nil and self[name] ~= nil then
    fail("%s: attribute '%s' already exists", what, name)
  end
  return name
end

--- Registers a parameter; nil leaves the name without one.
---@param name string
---@param value torch.Tensor|nil
function Module:register_parameter(name, value)
  name = check_name(self, "register_parameter", name)
  if value ~= nil and not is_parameter(value) then
    fail("register_parameter: '%s' must be an nn.Parameter or nil", name)
  end
  self[name] = value
end

local read_buffer = args.signature("register_buffer(any name, tensor? tensor, "
  .. "bool persistent=true)")

--- Registers a buffer: state that is no parameter. persistent = false keeps it out of state_dict.
---@param ... any name, tensor, persistent = true
function Module:register_buffer(...)
  local name, value, persistent = read_buffer(...)
  name = check_name(self, "register_buffer", name)
  if value ~= nil then self[name] = parameter.Buffer(value) end
  if not persistent then
    if not self._hidden then rawset(self, "_hidden", {}) end
    self._hidden[name] = true
  end
end

--- Registers a sub-module under a name that may be computed.
---@param name string
---@param module nn.Module
function Module:add_module(name, module)
  name = check_name(self, "add_module", name)
  if module ~= nil and not is_module(module) then
    fail("add_module: '%s' must be a module, got %s", name, type(module))
  end
  self[name] = module
end

Module.register_module = Module.add_module

return Module
