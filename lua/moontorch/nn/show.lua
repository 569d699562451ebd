-- nn/show.lua: what a module looks like: PyTorch's tree for print, and the path that stands in
-- front of errors raised in a module's forward ("in model.2 (nn.Linear(512 -> 10)): ").

local core = require "moontorch.core"
local Module = require "moontorch.nn.module"
local walk = require "moontorch.nn.walk"

--- The class name without its package: "Linear".
---@return string
function Module:short_name()
  return (getmetatable(self).__typename:match("[^.]*$"))
end

--- What stands in the parentheses of a layer's line when it is printed. To be overridden.
---@return string
function Module:extra_repr()
  return ""
end

--- What an error says about this module in one or two words ("512 -> 10"). To be overridden.
---@return string
function Module:brief()
  return ""
end

local function indent(text)
  return (text:gsub("\n", "\n  "))
end

--- The tree of modules as text.
---@return string
function Module:__tostring()
  local lines = {}
  local extra = self:extra_repr()
  if extra ~= "" then
    for line in (extra .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  end
  local own = #lines
  for _, entry in ipairs(self:shown_children()) do
    lines[#lines + 1] = ("(%s): %s"):format(entry[1], indent(entry[2]))
  end
  local name = self:short_name()
  if #lines == 0 then return name .. "()" end
  if own == 1 and #lines == 1 then return name .. "(" .. lines[1] .. ")" end
  return name .. "(\n  " .. table.concat(lines, "\n  ") .. "\n)"
end

--- The children as print lists them: a list of {label, text}.
---@return table
function Module:shown_children()
  local list = {}
  for i, child in ipairs(walk.children(self)) do list[i] = {child[1], tostring(child[2])} end
  return list
end

-- ---- module paths ----

-- What the sources of the library begin with.
local library = debug.getinfo(1, "S").source:match("^(.*)nn/show%.lua$") or "?"

-- The last of the names 1, 2, ... given by get(place) whose value is `value`.
local function name_of(value, get)
  local found
  for i = 1, 200 do
    local name, held = get(i)
    if not name then break end
    if rawequal(held, value) and name:match("^[%a_]") and name ~= "self" then found = name end
  end
  return found
end

-- The name of a local variable or upvalue of the user's that holds `value`, from the innermost
-- frame outwards; nil when there is none.
local function variable_name(value)
  local level = 2
  while true do
    local info = debug.getinfo(level, "fS")
    if not info then return nil end
    if info.what ~= "C" and info.source:sub(1, #library) ~= library then
      -- two levels further up: name_of and the function that it calls stand between
      local found = name_of(value, function(i)
        local name, held = debug.getlocal(level + 2, i)
        return name, held
      end)
      found = found or name_of(value, function(i) return debug.getupvalue(info.func, i) end)
      if found then return found end
    end
    level = level + 1
  end
end

local function name_within(parent, module)
  for _, entry in ipairs(walk.tree(parent)) do
    if entry[2] == module then return entry[1]:sub(1, -2) end
  end
  return nil
end

local function described(module)
  local name = getmetatable(module).__typename
  local brief = module:brief()
  return brief ~= "" and ("%s(%s)"):format(name, brief) or name
end

--- The text in front of an error raised inside the forward of the last of `modules`.
---@param modules nn.Module[] the modules being called, outermost first
---@param name string|nil what the first one was called by
---@return string
local function module_path(modules, name)
  local root, last = modules[1], modules[#modules]
  local path = name or variable_name(root)
  if path == nil then
    if root == last then return ("in %s: "):format(described(root)) end
    path = root:short_name()
  end
  local parent = root
  for i = 2, #modules do
    local module = modules[i]
    local below = name_within(parent, module)
    if below == nil then
      path = variable_name(module) or module:short_name() -- not registered below its caller
    elseif below ~= "" then
      path = path .. "." .. below
    end
    parent = module
  end
  return ("in %s (%s): "):format(path, described(last))
end

core.set_module_path(module_path)

return {module_path = module_path}
