-- class.lua: torch.class(name, parent), Torch7's form of classes.
--
-- A class is a table that is the metatable of its instances. `Class(...)` makes an instance and
-- calls `__init`; a class without `__init` inherits its parent's. Metamethods (`__call`,
-- `__tostring`, `__add`, ...) are inherited too: Lua looks for them in the metatable itself, so
-- they are copied from the parent when the class is made.
--
-- A class may have `__alloc(class)`, which returns the raw table of a new instance before
-- `__init` runs; nn.Module makes its registries there.

local fail = require "moontorch.fail"

-- Entries of a class that start with "__" and are no metamethods to be copied.
local own = {__init = true, __typename = true, __parent = true, __index = true, __alloc = true}

local function is_class(value)
  return type(value) == "table" and rawget(value, "__typename") ~= nil
end

local function default_tostring(object)
  return ("%s: %p"):format(getmetatable(object).__typename, object)
end

local function construct(class, ...)
  local allocate, init = class.__alloc, class.__init
  local object = setmetatable(allocate and allocate(class) or {}, class)
  if init then init(object, ...) end
  return object
end

local function class_tostring(class)
  return ("class %s"):format(class.__typename)
end

--- Makes a class. No global is set.
---@param name string shown by print and in errors
---@param parent? table a class to inherit from
---@return table class call it to make an instance
---@return table|nil parent for `parent.__init(self, ...)`
local function class(name, parent)
  if type(name) ~= "string" then
    fail("class: the name must be a string, got %s", type(name))
  end
  if parent ~= nil and not is_class(parent) then
    fail("class: the parent of '%s' must be a class made by torch.class, got %s", name,
      type(parent))
  end
  local new = {__typename = name, __parent = parent, __tostring = default_tostring}
  if parent then
    for key, value in pairs(parent) do
      if type(key) == "string" and key:sub(1, 2) == "__" and not own[key] then new[key] = value end
    end
    local index = rawget(parent, "__index")
    new.__index = type(index) == "function" and index or new
  else
    new.__index = new
  end
  setmetatable(new, {__index = parent, __call = construct, __tostring = class_tostring})
  return new, parent
end

--- Whether `object` is an instance of `ancestor` or of a class that inherits from it.
---@param object any
---@param ancestor table
---@return boolean
local function is_instance(object, ancestor)
  local c = type(object) == "table" and getmetatable(object) or nil
  while type(c) == "table" do
    if c == ancestor then return true end
    c = rawget(c, "__parent")
  end
  return false
end

return {class = class, is_class = is_class, is_instance = is_instance}
