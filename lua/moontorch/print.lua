-- print.lua: the text of a tensor, in PyTorch's layout with Lua's braces.
--
--     tensor({{ 0.3277,  0.7579},
--             {-0.1860,  0.8509}}, requires_grad=true)
--
-- All elements share one width. Floats show `precision` decimals, or none but the dot when all
-- are whole, or scientific notation when the largest is over 1000 times the smallest, over 1e8,
-- or the smallest is under 1e-4 (by absolute value, zeros and non-finite ones left out). Above
-- `threshold` elements only the `edgeitems` first and last of each dimension are read, so that
-- the cost does not depend on the tensor's size.

local ffi = require "ffi"
local core = require "moontorch.core"
local args = require "moontorch.args"
local fail = require "moontorch.fail"

local profiles = {
  default = {precision = 4, threshold = 1000, edgeitems = 3, linewidth = 80},
  short = {precision = 2, threshold = 1000, edgeitems = 2, linewidth = 80},
  full = {precision = 4, threshold = math.huge, edgeitems = 3, linewidth = 80},
}

-- sci_mode: true, false, or nil for "as the range asks"
local options = {precision = 4, threshold = 1000, edgeitems = 3, linewidth = 80}

local read_options = args.signature("set_printoptions(int? precision, number? threshold, "
  .. "int? edgeitems, int? linewidth, string? profile, bool? sci_mode)")

--- Sets how tensors are printed. `profile` is "default", "short" or "full"; `sci_mode` true or
--- false forces scientific notation on or off, and left out goes back to choosing by range.
---@param ... any precision, threshold, edgeitems, linewidth, profile, sci_mode; or by name
local function set_options(...)
  local precision, threshold, edgeitems, linewidth, profile, sci_mode = read_options(...)
  if profile then
    local p = profiles[profile]
    if not p then fail("set_printoptions: unknown profile '%s' (default, short, full)", profile) end
    for key, value in pairs(p) do options[key] = value end
  end
  options.precision = precision or options.precision
  options.threshold = threshold or options.threshold
  options.edgeitems = edgeitems or options.edgeitems
  options.linewidth = linewidth or options.linewidth
  options.sci_mode = sci_mode
end

--- The options in force, as a table that set_printoptions takes.
---@return table
local function get_options()
  local copy = {}
  for key, value in pairs(options) do copy[key] = value end
  return copy
end

-- A place in a nested list where elements were left out.
local GAP = {}

-- Nested lists of x's values; with `summarize`, GAP stands for what was left out.
local function values_of(x, summarize)
  local dims = x:dim()
  if dims == 0 then return x:item() end
  if not summarize then return x:tolist() end
  local edge, n = options.edgeitems, x:size(1)
  if n <= 2 * edge then
    if dims == 1 then return x:tolist() end
    local list = {}
    for i = 1, n do list[i] = values_of(x[i], true) end
    return list
  end
  local list = {}
  if edge > 0 and dims == 1 then
    for _, v in ipairs(x:narrow(1, 1, edge):tolist()) do list[#list + 1] = v end
    list[#list + 1] = GAP
    for _, v in ipairs(x:narrow(1, n - edge + 1, edge):tolist()) do list[#list + 1] = v end
  else
    for i = 1, edge do list[i] = values_of(x[i], true) end
    list[#list + 1] = GAP
    for i = n - edge + 1, n do list[#list + 1] = values_of(x[i], true) end
  end
  return list
end

local function each(values, visit)
  if type(values) ~= "table" then
    visit(values)
  else
    for _, v in ipairs(values) do
      if v ~= GAP then each(v, visit) end
    end
  end
end

-- int64 beyond 2^53 come as cdata, whose text ends in "LL".
local function whole_text(value)
  if type(value) == "number" then return ("%.0f"):format(value) end
  return (tostring(value):gsub("U?LL$", ""))
end

-- Lua's % formats may print "-nan"; PyTorch has "nan".
local function special(value)
  if value ~= value then return "nan" end
  if value == math.huge then return "inf" end
  if value == -math.huge then return "-inf" end
  return nil
end

pcall(ffi.cdef, "int snprintf(char *, size_t, const char *, ...);")
local buffer = ffi.new("char[400]")

-- By C's printf, which rounds an exact tie to even; LuaJIT's string.format rounds it up.
local function decimal(format, value)
  local n = ffi.C.snprintf(buffer, 400, format, ffi.cast("double", value))
  return ffi.string(buffer, n)
end

-- A function from a value to its text, unpadded.
local function float_format(values)
  local smallest, largest, whole = math.huge, 0, true
  each(values, function(v)
    if v ~= 0 and not special(v) then
      local a = math.abs(v)
      if a < smallest then smallest = a end
      if a > largest then largest = a end
      if v % 1 ~= 0 then whole = false end
    end
  end)
  local any = largest > 0
  local scientific = options.sci_mode
  if scientific == nil then
    scientific = any and (largest / smallest > 1000 or largest > 1e8 or smallest < 1e-4)
  end
  local plain = "%." .. options.precision .. (scientific and any and "e" or "f")
  if any and scientific or not whole then
    return function(v) return special(v) or decimal(plain, v) end
  end
  return function(v) return special(v) or ("%.0f."):format(v) end
end

-- format(value) -> padded text, and its width
local function formatter(values, is_float)
  local width, text = 1
  if is_float then
    text = float_format(values)
    each(values, function(v)
      if v ~= 0 and not special(v) then width = math.max(width, #text(v)) end
    end)
  else
    text = function(v) return type(v) == "boolean" and tostring(v) or whole_text(v) end
    each(values, function(v) width = math.max(width, #text(v)) end)
  end
  return function(v)
    local s = text(v)
    return (" "):rep(width - #s) .. s
  end, width
end

local function row_text(list, indent, format, width)
  local per_line = math.max(1, math.floor((options.linewidth - indent) / (width + 2)))
  local lines, line = {}, {}
  for i, v in ipairs(list) do
    line[#line + 1] = v == GAP and (#list > 1 and " ..." or "...") or format(v)
    if #line == per_line or i == #list then
      lines[#lines + 1] = table.concat(line, ", ")
      line = {}
    end
  end
  return "{" .. table.concat(lines, ",\n" .. (" "):rep(indent + 1)) .. "}"
end

local function nested_text(values, dims, indent, format, width)
  if dims == 0 then return format(values) end
  if dims == 1 then return row_text(values, indent, format, width) end
  local parts = {}
  for i, v in ipairs(values) do
    parts[i] = v == GAP and "..." or nested_text(v, dims - 1, indent + 1, format, width)
  end
  local separator = "," .. ("\n"):rep(dims - 1) .. (" "):rep(indent + 1)
  return "{" .. table.concat(parts, separator) .. "}"
end

local function sizes_text(x)
  return "{" .. table.concat(x:size(), ", ") .. "}"
end

local function contents(x, indent)
  local values = values_of(x, x:numel() > options.threshold)
  local format, width = formatter(values, x:is_floating_point())
  return nested_text(values, x:dim(), indent, format, width)
end

-- Appends ", suffix" each, on a new line where the line would get too long.
local function with_suffixes(text, suffixes, indent)
  local newline = text:match(".*()\n")
  local length = newline and #text - newline + 2 or #text + 2
  local parts = {text}
  for _, suffix in ipairs(suffixes) do
    if length + #suffix + 2 > options.linewidth then
      parts[#parts + 1] = ",\n" .. (" "):rep(indent) .. suffix
      length = indent + #suffix
    else
      parts[#parts + 1] = ", " .. suffix
      length = length + #suffix + 2
    end
  end
  parts[#parts + 1] = ")"
  return table.concat(parts)
end

--- The text that print shows for a tensor.
---@param x torch.Tensor
---@return string
local function to_string(x)
  local prefix = "tensor("
  local suffixes, text = {}
  local dtype, device = x.dtype, tostring(x.device)
  local default = core.get_default_dtype()
  local meta, empty = device == "meta", x:numel() == 0
  if device ~= "cpu" then suffixes[1] = ('device="%s"'):format(device) end
  if meta or empty then
    text = meta and "..." or "{}"
    if meta or x:dim() ~= 1 then suffixes[#suffixes + 1] = "size=" .. sizes_text(x) end
    if dtype ~= default then suffixes[#suffixes + 1] = "dtype=" .. tostring(dtype) end
  else
    text = contents(x:detach(), #prefix)
    if options.edgeitems == 0 then suffixes[#suffixes + 1] = "size=" .. sizes_text(x) end
    if dtype ~= default and dtype ~= core.dtypes.int64 and dtype ~= core.dtypes.bool then
      suffixes[#suffixes + 1] = "dtype=" .. tostring(dtype)
    end
  end
  local grad_fn = x.grad_fn
  if grad_fn then
    suffixes[#suffixes + 1] = ("grad_fn=<%s>"):format(grad_fn.name)
  elseif x.requires_grad then
    suffixes[#suffixes + 1] = "requires_grad=true"
  end
  text = with_suffixes(prefix .. text, suffixes, #prefix)
  return core.is_parameter(x) and "Parameter containing:\n" .. text or text
end

return {tostring = to_string, set_options = set_options, get_options = get_options}
