-- types.lua: Torch7's typed constructors (torch.FloatTensor & co) and torch.typename.
--
-- Numbers or a Size make sizes, a table makes data, a tensor is converted:
-- FloatTensor(2, 3) is 2 x 3, not initialised; FloatTensor{{1, 2}, {3, 4}} holds these values.

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local types = {}

--- A constructor of tensors of one dtype and device.
---@param name string for errors
---@param dtype string|nil nil: the default dtype of the moment
---@param device string|nil
---@return fun(...): torch.Tensor
local function constructor(name, dtype, device)
  return function(...)
    local n, first = select("#", ...), (...)
    local options = {
      dtype = dtype and core.dtypes[dtype] or core.get_default_dtype(),
      device = device,
    }
    if n == 0 then return core.ops.empty({0}, options) end
    if n == 1 and core.is_size(first) then return core.ops.empty(first, options) end
    if n == 1 and type(first) == "table" then return core.tensor(first, options) end
    if n == 1 and core.is_tensor(first) then return first:to(options) end
    for i = 1, n do
      if type((select(i, ...))) ~= "number" then
        fail("%s: takes sizes as numbers, or one table of data, got %s", name,
          type((select(i, ...))))
      end
    end
    return core.ops.empty({...}, options)
  end
end

local names = {
  BFloat16Tensor = "bfloat16", BoolTensor = "bool", ByteTensor = "uint8", CharTensor = "int8",
  DoubleTensor = "float64", FloatTensor = "float32", HalfTensor = "float16", IntTensor = "int32",
  LongTensor = "int64", ShortTensor = "int16",
}
for name, dtype in pairs(names) do types[name] = constructor(name, dtype) end
types.Tensor = constructor("Tensor")

--- The constructor `name` on a device, for torch.cuda.FloatTensor & co; nil for other names.
---@param name string
---@param device string
function types.on_device(name, device)
  return names[name] and constructor(name, names[name], device)
end

--- The name of what `value` is: "torch.FloatTensor", "nn.Linear", the name given to
--- torch.class; nil for what has none.
---@param value any
---@return string|nil
function types.typename(value)
  if core.is_tensor(value) then return value:type() end
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and meta.__typename or nil
end

return types
