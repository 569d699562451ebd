-- serialize/layout.lua: the numbers of the file format, and packing of little-endian numbers.
-- docs/format.md describes them.

local ffi = require "ffi"

local layout = {
  magic = "\137MTORCH\n",
  version = 1,
  header_size = 64,
  entry_size = 24,
  alignment = 64,
  max_depth = 200,
  tags = {
    TRUE = "t", FALSE = "f", NUMBER = "n", INT64 = "i", STRING = "s", TABLE = "T", REFERENCE = "R",
    TENSOR = "x", SIZE = "z", DTYPE = "d",
  },
  -- dtype numbers of the file
  dtypes = {
    [0] = "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
    "float64",
  },
  sizes = {
    bool = 1, uint8 = 1, int8 = 1, int16 = 2, int32 = 4, int64 = 8, float16 = 2, bfloat16 = 2,
    float32 = 4, float64 = 8,
  },
  REQUIRES_GRAD = 1,
  PARAMETER = 2,
}

local byte, char = string.byte, string.char

function layout.u32(n)
  return char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256,
    math.floor(n / 16777216) % 256)
end

-- n: a whole number, 0 <= n < 2^53
function layout.u64(n)
  return layout.u32(n % 4294967296) .. layout.u32(math.floor(n / 4294967296))
end

local cell = ffi.new("union { double d; int64_t i; uint8_t b[8]; }")
local little = ffi.abi("le")

local function cell_bytes()
  local s = ffi.string(cell.b, 8)
  return little and s or s:reverse()
end

function layout.f64(n)
  cell.d = n
  return cell_bytes()
end

function layout.i64(n)
  cell.i = n
  return cell_bytes()
end

function layout.read_u32(s, at)
  local a, b, c, d = byte(s, at, at + 3)
  return a + 256 * b + 65536 * c + 16777216 * d
end

-- nil beyond 2^53
function layout.read_u64(s, at)
  local n = layout.read_u32(s, at) + 4294967296 * layout.read_u32(s, at + 4)
  if n > 2 ^ 53 then return nil end
  return n
end

local function load_cell(s, at)
  local bytes = s:sub(at, at + 7)
  ffi.copy(cell.b, little and bytes or bytes:reverse(), 8)
end

function layout.read_f64(s, at)
  load_cell(s, at)
  return cell.d
end

-- an int64_t
function layout.read_i64(s, at)
  load_cell(s, at)
  return cell.i
end

return layout
