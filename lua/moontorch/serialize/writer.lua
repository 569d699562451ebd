-- serialize/writer.lua: writes the file format of docs/format.md.
--
-- The tree of values is encoded first, in memory; on the way the storages of its tensors are
-- collected, so that every offset is known before the first byte is written. Then header,
-- storages, tree and directory go out in this order.

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local layout = require "moontorch.serialize.layout"

local tags, u32, u64 = layout.tags, layout.u32, layout.u64

local dtype_numbers = {}
for number = 0, #layout.dtypes do dtype_numbers[layout.dtypes[number]] = number end

local function dtype_name(dtype)
  return (tostring(dtype):gsub("^torch%.", ""))
end

-- The value's place in words: state.layers[2].weight
local function path_text(path)
  local parts = {}
  for i, key in ipairs(path) do
    if type(key) == "string" and key:match("^[%a_][%w_]*$") then
      parts[i] = (i > 1 and "." or "") .. key
    else
      parts[i] = type(key) == "string" and ("[%q]"):format(key) or ("[%s]"):format(tostring(key))
    end
  end
  return #parts == 0 and "the value" or "value at '" .. table.concat(parts) .. "'"
end

---@class moontorch.Encoder
---@field out string[] the tree's bytes
---@field path any[] keys from the root to the value at hand
---@field seen table table -> its number
---@field tables integer how many tables were written
---@field storages table[] {tensor = 1-D over all of it, bytes = n}
---@field storage_of table storage id -> its number
local Encoder = {}
Encoder.__index = Encoder

function Encoder:emit(...)
  for i = 1, select("#", ...) do self.out[#self.out + 1] = (select(i, ...)) end
end

-- The number of a tensor's storage, from 0.
function Encoder:storage(x)
  local id = tostring(x:storage_id())
  local number = self.storage_of[id]
  if not number then
    local size = layout.sizes[dtype_name(x.dtype)]
    local count = math.floor(x:storage_bytes() / size)
    number = #self.storages
    self.storages[number + 1] = {
      tensor = x:as_strided({count}, {1}, 0), bytes = count * size,
    }
    self.storage_of[id] = number
  end
  return number
end

function Encoder:tensor(x)
  local flags = 0
  if x.requires_grad then flags = layout.REQUIRES_GRAD end
  if core.is_parameter(x) then flags = flags + layout.PARAMETER end
  if tostring(x.device) == "meta" then
    fail("save: %s is a tensor of the meta device, which has no values", path_text(self.path))
  end
  x = x:detach()
  if tostring(x.device) ~= "cpu" then x = x:cpu() end
  self:emit(tags.TENSOR, string.char(dtype_numbers[dtype_name(x.dtype)], x:dim(), flags),
    u32(self:storage(x)), u64(x:storage_offset()))
  for _, n in ipairs(x:size()) do self:emit(u64(n)) end
  for _, n in ipairs(x:stride()) do self:emit(u64(n)) end
end

local order = {number = 1, string = 2, boolean = 3}

local function before(a, b)
  local ka, kb = order[type(a)], order[type(b)]
  if ka ~= kb then return ka < kb end
  if ka == 3 then return a and not b end
  return a < b
end

function Encoder:table(t)
  local meta = getmetatable(t)
  if meta ~= nil then
    local name = type(meta) == "table" and meta.__typename or "a table with a metatable"
    local hint = type(t.state_dict) == "function"
      and "; save its state_dict() and load it with load_state_dict" or "; save a plain table of it"
    fail("save: %s is an object (%s)%s", path_text(self.path), tostring(name), hint)
  end
  if self.seen[t] then
    self:emit(tags.REFERENCE, u32(self.seen[t]))
    return
  end
  if #self.path >= layout.max_depth then
    fail("save: tables are nested deeper than %d levels", layout.max_depth)
  end
  self.seen[t] = self.tables
  self.tables = self.tables + 1
  local keys = {}
  for key in pairs(t) do
    if not order[type(key)] then
      fail("save: %s has a key that is a %s; keys are strings, numbers and booleans",
        path_text(self.path), core.is_tensor(key) and "tensor" or type(key))
    end
    keys[#keys + 1] = key
  end
  table.sort(keys, before)
  self:emit(tags.TABLE, u32(#keys))
  for _, key in ipairs(keys) do
    self.path[#self.path + 1] = key
    self:value(key)
    self:value(t[key])
    self.path[#self.path] = nil
  end
end

function Encoder:value(v)
  local t = type(v)
  if t == "number" then
    self:emit(tags.NUMBER, layout.f64(v))
  elseif t == "string" then
    self:emit(tags.STRING, u32(#v), v)
  elseif t == "boolean" then
    self:emit(v and tags.TRUE or tags.FALSE)
  elseif core.is_tensor(v) then
    self:tensor(v)
  elseif core.is_size(v) then
    self:emit(tags.SIZE, string.char(#v))
    for _, n in ipairs(v) do self:emit(u64(n)) end
  elseif core.is_dtype(v) then
    self:emit(tags.DTYPE, string.char(dtype_numbers[dtype_name(v)]))
  elseif t == "table" then
    self:table(v)
  elseif t == "cdata" and tostring(v):match("^%-?%d+LL$") then
    self:emit(tags.INT64, layout.i64(v))
  else
    fail("save: %s is a %s, which cannot be saved", path_text(self.path), t)
  end
end

local function aligned(n)
  return math.ceil(n / layout.alignment) * layout.alignment
end

local function write_all(file, encoder)
  local tree = table.concat(encoder.out)
  local at = layout.header_size
  for _, storage in ipairs(encoder.storages) do
    storage.offset = aligned(at)
    at = storage.offset + storage.bytes
  end
  local tree_at = at
  local directory_at = tree_at + #tree
  local length = directory_at + layout.entry_size * #encoder.storages + 4

  local header = layout.magic .. u32(layout.version) .. u32(#encoder.storages) .. u64(length)
    .. u64(directory_at) .. u64(tree_at) .. u64(#tree) .. u32(core.crc32(tree)) .. u32(0) .. u32(0)
  header = header .. u32(core.crc32(header))
  file:write(header)
  local position = #header
  local directory = {}
  for i, storage in ipairs(encoder.storages) do
    file:write(("\0"):rep(storage.offset - position))
    file:write(storage.tensor)
    position = storage.offset + storage.bytes
    directory[i] = u64(storage.offset) .. u64(storage.bytes) .. u32(core.crc32(storage.tensor))
      .. u32(0)
  end
  directory = table.concat(directory)
  file:write(tree)
  file:write(directory)
  file:write(u32(core.crc32(directory)))
end

local writer = {}

--- Writes a value to a file, which appears whole or not at all.
---@param value any
---@param path string
function writer.write(value, path)
  local encoder = setmetatable({
    out = {}, path = {}, seen = {}, tables = 0, storages = {}, storage_of = {},
  }, Encoder)
  core.no_grad(encoder.value, encoder, value)
  local file = core.writer(path)
  local ok, message = pcall(write_all, file, encoder)
  if not ok then
    file:abort()
    error(message, 0)
  end
  file:commit()
end

return writer
