-- repr.lua: torch.repr(value), text that makes the same value again when it is run with `torch`
-- in sight. Tensors, Sizes, dtypes, plain tables (no cycles), strings, numbers and booleans.

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local function number_text(value, digits)
  if value ~= value then return "0/0" end
  if value == math.huge then return "math.huge" end
  if value == -math.huge then return "-math.huge" end
  if value == 0 then return 1 / value < 0 and "-0.0" or "0" end
  local short = ("%.6g"):format(value)
  if tonumber(short) == value then return short end
  return ("%." .. digits .. "g"):format(value)
end

local function scalar_text(value, digits)
  if type(value) == "number" then return number_text(value, digits) end
  return tostring(value) -- a boolean, or int64_t with its "LL"
end

local function nested(values, digits)
  if type(values) ~= "table" then return scalar_text(values, digits) end
  local parts = {}
  for i, v in ipairs(values) do parts[i] = nested(v, digits) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function tensor_text(x)
  local dtype, device = x.dtype, tostring(x.device)
  local inferred = dtype == core.dtypes.bool or dtype == core.get_default_dtype()
  local keywords = {}
  if not inferred or x:numel() == 0 and dtype ~= core.get_default_dtype() then
    keywords[1] = "dtype = " .. tostring(dtype)
  end
  if device ~= "cpu" then keywords[#keywords + 1] = ("device = %q"):format(device) end
  if x.requires_grad then keywords[#keywords + 1] = "requires_grad = true" end
  local tail = #keywords > 0 and ", {" .. table.concat(keywords, ", ") .. "}" or ""
  if x:numel() == 0 or device == "meta" then
    return ("torch.empty({%s}%s)"):format(table.concat(x:size(), ", "), tail)
  end
  local digits = dtype == core.dtypes.float64 and 17 or 9
  local y = x:detach()
  local values = y:dim() == 0 and y:item() or y:tolist()
  return ("torch.tensor(%s%s)"):format(nested(values, digits), tail)
end

local keyword = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do
  keyword[word] = true
end

local text_of

local function table_text(t, open)
  if open[t] then fail("repr: the table contains itself") end
  open[t] = true
  local parts, n = {}, #t
  for i = 1, n do parts[i] = text_of(t[i], open) end
  local keys = {}
  for key in pairs(t) do
    if not (type(key) == "number" and key % 1 == 0 and key >= 1 and key <= n) then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and type(a) ~= "boolean" then return a < b end
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(keys) do
    local name
    if type(key) == "string" and key:match("^[%a_][%w_]*$") and not keyword[key] then
      name = key
    else
      name = "[" .. text_of(key, open) .. "]"
    end
    parts[#parts + 1] = name .. " = " .. text_of(t[key], open)
  end
  open[t] = nil
  return "{" .. table.concat(parts, ", ") .. "}"
end

function text_of(value, open)
  local t = type(value)
  if core.is_tensor(value) then return tensor_text(value) end
  if core.is_size(value) then return "torch.Size({" .. table.concat(value, ", ") .. "})" end
  if core.is_dtype(value) then return tostring(value) end
  if t == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if t == "number" then return number_text(value, 17) end
  if t == "boolean" or t == "nil" or t == "cdata" then return tostring(value) end
  if t == "table" and getmetatable(value) == nil then return table_text(value, open) end
  return fail("repr: no text can make a %s again", t)
end

--- Text that makes the same value again.
---@param value any
---@return string
local function repr(value)
  return text_of(value, {})
end

return {repr = repr}
