-- serialize/reader.lua: reads the file format of docs/format.md.
--
-- A file is not trusted: every length is checked against what is left before anything of that
-- length is made, every number against its range, checksums are verified, and depth is limited.
-- Nothing of a file is executed.

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local layout = require "moontorch.serialize.layout"

local tags = layout.tags
local read_u32, read_u64 = layout.read_u32, layout.read_u64

---@class moontorch.Decoder
---@field path string
---@field tree string
---@field at integer position of the next byte in tree, from 1
---@field storages table[] {offset, bytes, crc, tensors = dtype name -> 1-D tensor}
---@field tables table[] tables in order of appearance
local Decoder = {}
Decoder.__index = Decoder

function Decoder:bad(format, ...)
  return fail("load: '%s' is damaged: " .. format, self.path, ...)
end

-- Makes sure that n more bytes are there; returns where they begin.
function Decoder:take(n)
  local at = self.at
  if n > #self.tree - at + 1 then self:bad("the tree ends early") end
  self.at = at + n
  return at
end

function Decoder:byte()
  return self.tree:byte(self:take(1))
end

function Decoder:u32()
  return read_u32(self.tree, self:take(4))
end

function Decoder:u64()
  local n = read_u64(self.tree, self:take(8))
  if not n then self:bad("a number is too large") end
  return n
end

-- A 1-D tensor over a whole storage, read and verified at first use.
function Decoder:storage(number, name)
  local storage = self.storages[number + 1]
  if not storage then self:bad("a tensor refers to storage %d of %d", number, #self.storages) end
  if not storage.tensor then
    local size = layout.sizes[name]
    if storage.bytes % size ~= 0 then
      self:bad("storage %d has %d bytes, no multiple of %s's size", number, storage.bytes, name)
    end
    if self.file:crc32(storage.offset, storage.bytes) ~= storage.crc then
      self:bad("the checksum of storage %d is wrong", number)
    end
    -- copied: a tensor over the file would change, or fault, when somebody changes the file
    local mapped = self.file:tensor(storage.offset, core.dtypes[name], {storage.bytes / size})
    storage.dtype = name
    storage.tensor = self.device and mapped:to(self.device, {copy = true}) or mapped:clone()
  elseif storage.dtype ~= name then
    self:bad("storage %d is used as %s and as %s", number, storage.dtype, name)
  end
  return storage.tensor
end

function Decoder:tensor()
  local name, dims, flags = layout.dtypes[self:byte()], self:byte(), self:byte()
  if not name then self:bad("unknown dtype") end
  if dims > 16 then self:bad("a tensor has %d dimensions", dims) end
  if flags > layout.REQUIRES_GRAD + layout.PARAMETER then self:bad("unknown flags of a tensor") end
  local number, offset = self:u32(), self:u64()
  local sizes, strides, count, last = {}, {}, 1, offset
  for d = 1, dims do sizes[d] = self:u64() end
  for d = 1, dims do strides[d] = self:u64() end
  local dense = true
  for d = dims, 1, -1 do
    if sizes[d] ~= 1 and strides[d] ~= count then dense = false end
    count = count * sizes[d]
    if count > 2 ^ 53 then self:bad("a tensor is too large") end
  end
  local storage = self:storage(number, name)
  local x
  if count == 0 then
    x = core.ops.empty(sizes, {dtype = core.dtypes[name], device = self.device})
  else
    for d = 1, dims do last = last + (sizes[d] - 1) * strides[d] end
    if last >= storage:numel() then self:bad("a tensor reaches beyond its storage") end
    if dense and count == storage:numel() then
      x = storage:view(sizes)
    else
      x = storage:as_strided(sizes, strides, offset)
    end
    x = x:detach()
  end
  if flags >= layout.PARAMETER then core.mark_parameter(x) end
  if flags % 2 == 1 then
    if not name:find("float", 1, true) then self:bad("a tensor of %s requires grad", name) end
    x:requires_grad_(true)
  end
  return x
end

function Decoder:table(depth)
  if depth >= layout.max_depth then self:bad("tables are nested too deeply") end
  local count = self:u32()
  if count * 2 > #self.tree - self.at + 1 then self:bad("the tree ends early") end
  local t = {}
  self.tables[#self.tables + 1] = t
  for _ = 1, count do
    local key = self:value(depth + 1)
    local kind = type(key)
    if kind ~= "string" and kind ~= "boolean" and (kind ~= "number" or key ~= key) then
      self:bad("a table has a key of type %s", kind)
    end
    if t[key] ~= nil then self:bad("a table has a key twice") end
    t[key] = self:value(depth + 1)
  end
  return t
end

local read = {
  [tags.TRUE] = function() return true end,
  [tags.FALSE] = function() return false end,
  [tags.NUMBER] = function(self) return layout.read_f64(self.tree, self:take(8)) end,
  [tags.INT64] = function(self) return layout.read_i64(self.tree, self:take(8)) end,
  [tags.STRING] = function(self)
    local n = self:u32()
    local at = self:take(n)
    return self.tree:sub(at, at + n - 1)
  end,
  [tags.TABLE] = function(self, depth) return self:table(depth) end,
  [tags.REFERENCE] = function(self)
    local t = self.tables[self:u32() + 1]
    if not t then self:bad("a reference leads nowhere") end
    return t
  end,
  [tags.TENSOR] = function(self) return self:tensor() end,
  [tags.SIZE] = function(self)
    local n, sizes = self:byte(), {}
    for i = 1, n do sizes[i] = self:u64() end
    return core.Size(sizes)
  end,
  [tags.DTYPE] = function(self)
    local name = layout.dtypes[self:byte()]
    if not name then self:bad("unknown dtype") end
    return core.dtypes[name]
  end,
}

function Decoder:value(depth)
  local tag = self.tree:sub(self.at, self.at)
  self:take(1)
  local reader = read[tag]
  if not reader then self:bad("unknown tag %q in the tree", tag) end
  return reader(self, depth)
end

-- Reads header and directory.
local function open(path)
  local file = core.mapped(path)
  local self = setmetatable({path = path, file = file, at = 1, storages = {}, tables = {}}, Decoder)
  local size = file:size()
  local start = file:read(0, math.min(size, layout.header_size))
  if start:sub(1, #layout.magic) ~= layout.magic then
    fail("load: '%s' was not written by torch.save", path)
  end
  if size < layout.header_size then self:bad("it ends within the header") end
  if core.crc32(start:sub(1, 60)) ~= read_u32(start, 61) then
    self:bad("the checksum of the header is wrong")
  end
  local version = read_u32(start, 9)
  if version ~= layout.version then
    fail("load: '%s' has version %d of the format, this moontorch reads version %d", path, version,
      layout.version)
  end
  local count, length = read_u32(start, 13), read_u64(start, 17)
  local directory_at, tree_at = read_u64(start, 25), read_u64(start, 33)
  local tree_size = read_u64(start, 41)
  if length ~= size then self:bad("it has %d bytes instead of %s", size, tostring(length)) end
  local directory_size = count * layout.entry_size
  if not (directory_at and tree_at and tree_size) or directory_at + directory_size + 4 ~= size
    or tree_at + tree_size ~= directory_at then
    self:bad("its parts do not fit its size")
  end
  local directory = file:read(directory_at, directory_size + 4)
  if core.crc32(directory:sub(1, directory_size)) ~= read_u32(directory, directory_size + 1) then
    self:bad("the checksum of the directory is wrong")
  end
  for i = 1, count do
    local at = (i - 1) * layout.entry_size + 1
    local offset, bytes = read_u64(directory, at), read_u64(directory, at + 8)
    if not (offset and bytes) or offset % layout.alignment ~= 0 or offset < layout.header_size
      or offset + bytes > tree_at then
      self:bad("storage %d lies outside the file", i - 1)
    end
    self.storages[i] = {offset = offset, bytes = bytes, crc = read_u32(directory, at + 16)}
  end
  self.tree = file:read(tree_at, tree_size)
  if core.crc32(self.tree) ~= read_u32(start, 49) then
    self:bad("the checksum of the tree is wrong")
  end
  return self
end

local reader = {}

--- Reads the value in a file.
---@param path string
---@param device string|nil where tensors go
---@return any
function reader.read(path, device)
  local decoder = open(path)
  decoder.device = device
  local value = core.no_grad(decoder.value, decoder, 0)
  if decoder.at ~= #decoder.tree + 1 then decoder:bad("bytes are left over in the tree") end
  return value
end

return reader
