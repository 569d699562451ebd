-- nn/initial.lua: torch.nn.init, initial values of parameters. Every function fills its tensor in
-- place, records nothing, and returns the tensor.
--
-- Sources: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2013
-- (orthogonal).

local args = require "moontorch.args"
local core = require "moontorch.core"
local fail = require "moontorch.fail"

local initial = {}

local function filled(x, fill)
  core.no_grad(fill)
  return x
end

local read_uniform = args.signature("uniform_(tensor tensor, number a=0, number b=1, "
  .. "generator? generator)")

--- Uniform in [a, b).
---@param ... any tensor, a = 0, b = 1, generator
function initial.uniform_(...)
  local x, a, b, generator = read_uniform(...)
  return filled(x, function() x:uniform_(a, b, {generator = generator}) end)
end

local read_normal = args.signature("normal_(tensor tensor, number mean=0, number std=1, "
  .. "generator? generator)")

--- Normal with the given mean and standard deviation.
---@param ... any tensor, mean = 0, std = 1, generator
function initial.normal_(...)
  local x, mean, std, generator = read_normal(...)
  return filled(x, function() x:normal_(mean, std, {generator = generator}) end)
end

local read_truncated = args.signature("trunc_normal_(tensor tensor, number mean=0, number std=1, "
  .. "number a=-2, number b=2, generator? generator)")

--- Normal, with values outside [a, b] drawn again.
---@param ... any tensor, mean = 0, std = 1, a = -2, b = 2, generator
function initial.trunc_normal_(...)
  local x, mean, std, a, b, generator = read_truncated(...)
  if a >= b then fail("trunc_normal_: a must be less than b, got %g and %g", a, b) end
  if mean < a - 4 * std or mean > b + 4 * std then
    fail("trunc_normal_: mean is more than 4 std from [a, b]; nothing would be drawn there")
  end
  return filled(x, function()
    x:normal_(mean, std, {generator = generator})
    while true do
      local outside = x:lt(a):logical_or(x:gt(b))
      if not outside:any():item() then return end
      local again = core.ops.empty_like(x):normal_(mean, std, {generator = generator})
      x:copy_(core.ops.where(outside, again, x))
    end
  end)
end

--- Fills with one number.
---@param x torch.Tensor
---@param value number
function initial.constant_(x, value)
  return filled(x, function() x:fill_(value) end)
end

--- Fills with ones.
function initial.ones_(x)
  return initial.constant_(x, 1)
end

--- Fills with zeros.
function initial.zeros_(x)
  return initial.constant_(x, 0)
end

local function check_dims(name, x, dims)
  if x:dim() ~= dims then fail("%s: only tensors with %d dimensions are supported", name, dims) end
end

--- The identity matrix in a 2-D tensor.
function initial.eye_(x)
  check_dims("eye_", x, 2)
  return filled(x, function()
    x:copy_(core.ops.eye(x:size(1), x:size(2), {dtype = x.dtype, device = x.device}))
  end)
end

-- Fan in and fan out of a weight: (out, in, kernel...).
local function fans(name, x)
  if x:dim() < 2 then
    fail("%s: fan in and fan out can not be computed for a tensor with fewer than 2 dimensions",
      name)
  end
  local field = 1
  for d = 3, x:dim() do field = field * x:size(d) end
  return x:size(2) * field, x:size(1) * field
end

local gains = {
  linear = 1, conv1d = 1, conv2d = 1, conv3d = 1, conv_transpose1d = 1, conv_transpose2d = 1,
  conv_transpose3d = 1, sigmoid = 1, tanh = 5 / 3, relu = math.sqrt(2), selu = 3 / 4,
}

--- The factor by which a nonlinearity asks for larger weights. `param` is leaky_relu's slope.
---@param nonlinearity string
---@param param? number
---@return number
function initial.calculate_gain(nonlinearity, param)
  if nonlinearity == "leaky_relu" then
    local slope = param or 0.01
    return math.sqrt(2 / (1 + slope * slope))
  end
  local gain = gains[nonlinearity]
  if not gain then fail("calculate_gain: unsupported nonlinearity '%s'", tostring(nonlinearity)) end
  return gain
end

local read_xavier = args.signature("xavier(tensor tensor, number gain=1, generator? generator)")

--- Uniform with variance 2 gain^2 / (fan in + fan out).
---@param ... any tensor, gain = 1, generator
function initial.xavier_uniform_(...)
  local x, gain, generator = read_xavier(...)
  local fan_in, fan_out = fans("xavier_uniform_", x)
  local a = math.sqrt(3) * gain * math.sqrt(2 / (fan_in + fan_out))
  return initial.uniform_(x, -a, a, generator)
end

--- Normal with variance 2 gain^2 / (fan in + fan out).
---@param ... any tensor, gain = 1, generator
function initial.xavier_normal_(...)
  local x, gain, generator = read_xavier(...)
  local fan_in, fan_out = fans("xavier_normal_", x)
  return initial.normal_(x, 0, gain * math.sqrt(2 / (fan_in + fan_out)), generator)
end

local read_kaiming = args.signature("kaiming(tensor tensor, number a=0, string mode=fan_in, "
  .. "string nonlinearity=leaky_relu, generator? generator)")

local function kaiming_std(name, x, a, mode, nonlinearity)
  local fan_in, fan_out = fans(name, x)
  if mode ~= "fan_in" and mode ~= "fan_out" then
    fail("%s: mode must be 'fan_in' or 'fan_out', got '%s'", name, mode)
  end
  local fan = mode == "fan_in" and fan_in or fan_out
  return initial.calculate_gain(nonlinearity, a) / math.sqrt(math.max(fan, 1))
end

--- Uniform with variance gain^2 / fan.
---@param ... any tensor, a = 0, mode = "fan_in", nonlinearity = "leaky_relu", generator
function initial.kaiming_uniform_(...)
  local x, a, mode, nonlinearity, generator = read_kaiming(...)
  local bound = math.sqrt(3) * kaiming_std("kaiming_uniform_", x, a, mode, nonlinearity)
  return initial.uniform_(x, -bound, bound, generator)
end

--- Normal with variance gain^2 / fan.
---@param ... any tensor, a = 0, mode = "fan_in", nonlinearity = "leaky_relu", generator
function initial.kaiming_normal_(...)
  local x, a, mode, nonlinearity, generator = read_kaiming(...)
  return initial.normal_(x, 0, kaiming_std("kaiming_normal_", x, a, mode, nonlinearity), generator)
end

return initial
