-- serialize.lua: torch.save and torch.load. The format is described byte by byte in
-- docs/format.md; writing it is in serialize/writer.lua, reading it in serialize/reader.lua.

local fail = require "moontorch.fail"

local serialize = {}

local foreign = {
  npy = true, npz = true, pt = true, pth = true, safetensors = true, t7 = true,
}

local function check_path(who, path)
  if type(path) ~= "string" then fail("%s: the path must be a string, got %s", who, type(path)) end
end

--- Writes a value to a file: tensors, and plain tables of them, of strings, numbers, booleans,
--- Sizes and dtypes, to any depth. Tensors that share memory still do when they are loaded. The
--- file is written beside and renamed: after a crash there is the old file or the new one.
---@param value any
---@param path string
function serialize.save(value, path)
  check_path("save", path)
  local ending = path:match("%.(%w+)$")
  if ending and ending ~= "pt" and ending ~= "pth" and foreign[ending] then
    fail("save: '.%s' files cannot be written in this version; use another ending", ending)
  end
  require("moontorch.serialize.writer").write(value, path)
end

--- Reads what save wrote. {device = "cuda"} puts the tensors there; by default they are on the
--- CPU. A file that is damaged raises and says where; nothing in it is ever executed.
---@param path string
---@param options? {device: string}
---@return any
function serialize.load(path, options)
  check_path("load", path)
  return require("moontorch.serialize.reader").read(path, options and options.device)
end

return serialize
