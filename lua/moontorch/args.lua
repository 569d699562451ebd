-- args.lua: arguments of Lua-side functions (layers, losses, optimizers, loaders), read by a
-- signature text, so that they take positional arguments and a trailing keyword table exactly
-- as the ops do.
--
--     local read = args.signature "nn.Linear(int in_features, int out_features, bool bias=true)"
--     local in_features, out_features, bias = read(...)
--
-- A parameter is `TYPE name`, `TYPE? name` (may be nil) or `TYPE name=DEFAULT`; after `*` only
-- by name. TYPE is one of the keys of `types` below. DEFAULT is true, false, a number, a list of
-- numbers in braces, or a word.

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

local function is_whole(value)
  return type(value) == "number" and value % 1 == 0
end

-- Each entry: test(value) -> ok, and the words for an error.
local types = {
  any = {function() return true end, "a value"},
  int = {is_whole, "a whole number"},
  number = {function(v) return type(v) == "number" end, "a number"},
  bool = {function(v) return type(v) == "boolean" end, "a boolean"},
  string = {function(v) return type(v) == "string" end, "a string"},
  table = {function(v) return type(v) == "table" end, "a table"},
  list = {function(v) return type(v) == "table" end, "a list"},
  callable = {
    function(v)
      if type(v) == "function" then return true end
      local meta = getmetatable(v)
      return type(meta) == "table" and meta.__call ~= nil
    end,
    "a function",
  },
  tensor = {core.is_tensor, "a tensor"},
  generator = {core.is_generator, "a generator"},
  dtype = {function(v) return core.is_dtype(v) or type(v) == "string" end, "a dtype"},
  device = {function(v) return v ~= nil and type(v) ~= "number" end, "a device"},
  -- a whole number, or a list of two of them
  int2 = {
    function(v)
      if is_whole(v) then return true end
      return type(v) == "table" and #v == 2 and is_whole(v[1]) and is_whole(v[2])
    end,
    "a whole number or two of them",
  },
  -- a whole number, or a list of them
  ints = {
    function(v)
      if is_whole(v) then return true end
      if type(v) ~= "table" then return false end
      for i = 1, #v do
        if not is_whole(v[i]) then return false end
      end
      return true
    end,
    "a whole number or a list of them",
  },
  -- a list of two numbers
  pair = {
    function(v)
      return type(v) == "table" and #v == 2 and type(v[1]) == "number" and type(v[2]) == "number"
    end,
    "a list of two numbers",
  },
}

-- For these an empty table is a value, otherwise it stands for no keywords.
local takes_table = {any = true, table = true, list = true, ints = true}

local function kind_of(value)
  if core.is_tensor(value) then return "a tensor" end
  if type(value) == "number" then return ("%.14g"):format(value) end
  if type(value) == "string" then return ("'%s'"):format(value) end
  local t = type(value)
  return t == "nil" and "nil" or "a " .. t
end

local function parse_default(text)
  if text == "true" then return true end
  if text == "false" then return false end
  if text:sub(1, 1) == "{" then
    local list = {}
    for item in text:sub(2, -2):gmatch("[^,%s]+") do list[#list + 1] = tonumber(item) end
    return list
  end
  return tonumber(text) or text
end

-- "a, {b, c}, d" split at the commas outside braces
local function split(text)
  local parts, depth, start = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c == "{" then depth = depth + 1 elseif c == "}" then depth = depth - 1 end
    if c == "," and depth == 0 then
      parts[#parts + 1] = text:sub(start, i - 1)
      start = i + 1
    end
  end
  if text:sub(start):match("%S") then parts[#parts + 1] = text:sub(start) end
  return parts
end

local function parse(text)
  local name, inside = text:match("^([%w_.]+)%((.*)%)$")
  local params, positional = {}, nil
  for _, part in ipairs(split(inside)) do
    part = part:match("^%s*(.-)%s*$")
    if part == "*" then
      positional = #params
    else
      local kind, optional, param, default = part:match("^(%w+)(%??)%s+([%w_]+)=?(.*)$")
      local p = {
        name = param,
        type = assert(types[kind], kind),
        required = optional == "" and default == "",
        takes_table = takes_table[kind],
      }
      if default ~= "" then p.default = parse_default(default) end
      params[#params + 1] = p
    end
  end
  return name, params, positional or #params
end

--- A trailing plain table is keywords when it has a string key.
---@param value any
---@return boolean
local function is_keywords(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil then return false end
  for key in pairs(value) do
    if type(key) == "string" then return true end
  end
  return false
end

local function is_empty(value)
  return type(value) == "table" and getmetatable(value) == nil and next(value) == nil
end

local function names_of(params)
  local names = {}
  for i, p in ipairs(params) do names[i] = p.name end
  return names
end

local function check(name, p, value)
  if p.type[1](value) then return value end
  return fail("%s: %s must be %s, got %s", name, p.name, p.type[2], kind_of(value))
end

local function copy_list(list)
  local copy = {}
  for i, v in ipairs(list) do copy[i] = v end
  return copy
end

--- Compiles a signature into a reader: `reader(...)` returns one value a parameter, in order,
--- defaults filled in. Errors: unknown or doubled keyword, missing or surplus argument, wrong
--- kind of value; each names the function and the parameter.
---@param text string
---@return fun(...): ...
local function signature(text)
  local name, params, positional = parse(text)
  local index = {}
  for i, p in ipairs(params) do index[p.name] = i end
  local count = #params
  return function(...)
    local n = select("#", ...)
    local given = {...}
    local values = {}
    local keywords
    if n > 0 and is_keywords(given[n]) then
      keywords = given[n]
      n = n - 1
    elseif n > 0 and is_empty(given[n]) and not (n <= positional and params[n].takes_table) then
      n = n - 1 -- no keywords
    end
    if n > positional then
      fail("%s: takes at most %d positional arguments, got %d", name, positional, n)
    end
    for i = 1, n do
      if given[i] ~= nil then values[i] = check(name, params[i], given[i]) end
    end
    if keywords then
      for key, value in pairs(keywords) do
        local i = index[key]
        if i == nil then
          if type(key) ~= "string" then
            fail("%s: a table of keywords mixes names and positions", name)
          end
          local known = names_of(params)
          fail("%s: unknown keyword '%s'%s (known: %s)", name, key,
            suggest.suggestion(key, known), table.concat(known, ", "))
        end
        if values[i] ~= nil then fail("%s: '%s' is given twice", name, key) end
        values[i] = check(name, params[i], value)
      end
    end
    for i = 1, count do
      if values[i] == nil then
        local p = params[i]
        if p.required then fail("%s: missing argument '%s'", name, p.name) end
        local default = p.default
        values[i] = type(default) == "table" and copy_list(default) or default
      end
    end
    return unpack(values, 1, count)
  end
end

return {signature = signature, is_keywords = is_keywords, kind_of = kind_of}
