-- limits.lua: torch.finfo(dtype) and torch.iinfo(dtype), the bounds of the number types.

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local floats = {
  float16 = {bits = 16, eps = 2 ^ -10, max = 65504, tiny = 2 ^ -14, smallest = 2 ^ -24},
  bfloat16 = {
    bits = 16, eps = 2 ^ -7, max = (2 - 2 ^ -7) * 2 ^ 127, tiny = 2 ^ -126, smallest = 2 ^ -133,
  },
  float32 = {
    bits = 32, eps = 2 ^ -23, max = (2 - 2 ^ -23) * 2 ^ 127, tiny = 2 ^ -126, smallest = 2 ^ -149,
  },
  float64 = {
    bits = 64, eps = 2 ^ -52, max = (2 - 2 ^ -52) * 2 ^ 1023, tiny = 2 ^ -1022,
    smallest = 2 ^ -1074,
  },
}

local ints = {uint8 = {8, 0, 255}, int8 = {8, -128, 127}, int16 = {16, -32768, 32767},
  int32 = {32, -2 ^ 31, 2 ^ 31 - 1}}

local function dtype_name(dtype)
  return (tostring(dtype):gsub("^torch%.", ""))
end

--- Limits of a float dtype: bits, eps, max, min, tiny (smallest normal), smallest_subnormal.
---@param dtype? torch.dtype the default dtype when left out
---@return table
local function finfo(dtype)
  local name = dtype_name(dtype or core.get_default_dtype())
  local f = floats[name]
  if not f then fail("finfo: %s is not a float dtype; see torch.iinfo", name) end
  return {
    dtype = name, bits = f.bits, eps = f.eps, resolution = f.eps, max = f.max, min = -f.max,
    tiny = f.tiny, smallest_normal = f.tiny, smallest_subnormal = f.smallest,
  }
end

--- Limits of an integer dtype: bits, min, max (int64's as int64_t, which a number cannot hold).
---@param dtype torch.dtype
---@return table
local function iinfo(dtype)
  local name = dtype_name(dtype)
  if name == "int64" then
    return {dtype = name, bits = 64, min = -0x7fffffffffffffffLL - 1, max = 0x7fffffffffffffffLL}
  end
  local i = ints[name]
  if not i then fail("iinfo: %s is not an integer dtype; see torch.finfo", name) end
  return {dtype = name, bits = i[1], min = i[2], max = i[3]}
end

return {finfo = finfo, iinfo = iinfo}
