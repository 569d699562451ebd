-- nn/container.lua: Sequential and ModuleList, whose children are named "1", "2", ...

local class = require "moontorch.class"
local fail = require "moontorch.fail"
local Module = require "moontorch.nn.base"
local walk = require "moontorch.nn.walk"

-- The modules in `...`, given as separate arguments or as one table.
local function listed(what, ...)
  local list = {...}
  if #list == 1 and type(list[1]) == "table" and getmetatable(list[1]) == nil then
    list = list[1]
  end
  for i = 1, math.max(#list, select("#", ...) > 1 and select("#", ...) or 0) do
    if not Module.is_module(list[i]) then
      fail("%s: item %d must be a module, got %s", what, i, type(list[i]))
    end
  end
  return list
end

-- What the two have in common: children counted from 1.
local Counted = class.class("nn.Counted", Module)
Counted.__counted = true -- PyTorch counts these names from 0

function Counted.__alloc()
  local object = Module.__alloc()
  object._list = false -- the children in order, or false when it has to be made again
  return object
end

function Counted.__newindex(self, key, value)
  self._list = false
  return Module.__newindex(self, key, value)
end

function Counted.__index(self, key)
  if type(key) == "number" and key < 0 then key = self:len() + 1 + key end
  return Module.__index(self, key)
end

-- The children as a list, in the order of being added.
local function members(self)
  local list = self._list
  if not list then
    list = self:children()
    self._list = list
  end
  return list
end

--- How many modules it holds.
---@return integer
function Counted:len()
  return #members(self)
end

--- Adds a module at the end. add is Torch7's name, append PyTorch's.
---@param module nn.Module
---@return nn.Module self
function Counted:add(module)
  if not Module.is_module(module) then
    fail("%s:add: expected a module, got %s", self:short_name(), type(module))
  end
  self[tostring(self:len() + 1)] = module
  return self
end

Counted.append = Counted.add

--- Adds all modules of a list.
---@param list nn.Module[]|nn.ModuleList
---@return nn.Module self
function Counted:extend(list)
  local modules = Module.is_module(list) and list:children() or list
  for _, module in ipairs(modules) do self:add(module) end
  return self
end

--- The i-th module; negative from the end.
---@param i integer
---@return nn.Module
function Counted:get(i)
  local n = self:len()
  local module = type(i) == "number" and self[i]
  if not Module.is_module(module) then
    fail("%s:get: index %s is out of range 1..%d", self:short_name(), tostring(i), n)
  end
  return module
end

--- Iterates position, module: `for i, layer in list:iter() do`.
function Counted:iter()
  return ipairs(members(self))
end

---@class nn.Sequential : nn.Module
local Sequential = class.class("nn.Sequential", Counted)

--- Modules called one after the other, each on the result of the one before.
---@param ... nn.Module separately or as one table
function Sequential:__init(...)
  for _, module in ipairs(listed("nn.Sequential", ...)) do self:add(module) end
end

function Sequential:forward(x)
  local list = self._list or members(self)
  for i = 1, #list do x = list[i](x) end
  return x
end

---@class nn.ModuleList : nn.Module
local ModuleList = class.class("nn.ModuleList", Counted)

--- A list of modules without a forward of its own.
---@param ... nn.Module separately or as one table
function ModuleList:__init(...)
  for _, module in ipairs(listed("nn.ModuleList", ...)) do self:add(module) end
end

-- Equal neighbours share a line: "(1-6): 6 x Block(...)".
function ModuleList:shown_children()
  local list = {}
  for i, child in ipairs(walk.children(self)) do
    local text, last = tostring(child[2]), list[#list]
    if last and last.text == text then
      last.to, last.count = i, last.count + 1
    else
      list[#list + 1] = {from = i, to = i, count = 1, text = text}
    end
  end
  for i, entry in ipairs(list) do
    if entry.count == 1 then
      list[i] = {tostring(entry.from), entry.text}
    else
      list[i] = {("%d-%d"):format(entry.from, entry.to),
        ("%d x %s"):format(entry.count, entry.text)}
    end
  end
  return list
end

return {Sequential = Sequential, ModuleList = ModuleList}
