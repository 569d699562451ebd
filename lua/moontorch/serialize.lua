-- serialize.lua: torch.save and torch.load. The format is described byte by byte in
-- docs/format.md; writing it is in serialize/writer.lua, reading it in serialize/reader.lua.

local args = require "moontorch.args"
local fail = require "moontorch.fail"

local serialize = {}

-- Endings that stand for other formats. (".pth" is what PyTorch's texts call a file of their
-- own; load goes by content.)
local foreign = {npy = true, npz = true, pt = true, safetensors = true, t7 = true}

--- Writes a value to a file: tensors, and plain tables of them, of strings, numbers, booleans,
--- Sizes and dtypes, to any depth. Tensors that share memory still do when they are loaded. The
--- file is written beside and renamed: after a crash there is the old file or the new one.
---@param value any
---@param path string
function serialize.save(value, path)
  if type(path) ~= "string" then fail("save: the path must be a string, got %s", type(path)) end
  local ending = path:match("%.(%w+)$")
  if ending and foreign[ending] then
    fail("save: '.%s' files cannot be written in this version; use another ending", ending)
  end
  require("moontorch.serialize.writer").write(value, path)
end

local read_load = args.signature "load(string path, device? map_location)"

--- Reads what save wrote. map_location = "cuda" puts the tensors there; by default they are on
--- the CPU. A file that is damaged raises and says where; nothing in it is ever executed.
---@param ... any path, map_location
---@return any
function serialize.load(...)
  local path, device = read_load(...)
  return require("moontorch.serialize.reader").read(path, device)
end

return serialize
