-- nn/text.lua: how option values are written when a layer is printed.

local text = {}

--- A number, boolean, or list as "{5, 5}".
---@param value any
---@return string
function text.value(value)
  if type(value) == "table" then
    local parts = {}
    for i, v in ipairs(value) do parts[i] = text.value(v) end
    return "{" .. table.concat(parts, ", ") .. "}"
  elseif type(value) == "number" then
    return ("%.14g"):format(value)
  elseif type(value) == "string" then
    return '"' .. value .. '"'
  end
  return tostring(value)
end

--- A whole number or pair as a pair.
---@param value integer|integer[]
---@return integer[]
function text.pair(value)
  if type(value) == "number" then return {value, value} end
  return {value[1], value[2]}
end

return text
