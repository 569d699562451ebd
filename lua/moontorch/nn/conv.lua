-- nn/conv.lua: Conv2d.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local initial = require "moontorch.nn.initial"
local text = require "moontorch.nn.text"
local Module = require "moontorch.nn.base"
local Parameter = require("moontorch.nn.parameter").Parameter

local conv2d, empty = core.ops.conv2d, core.ops.empty

---@class nn.Conv2d : nn.Module
---@field weight torch.Tensor (out_channels, in_channels / groups, height, width)
---@field bias torch.Tensor|nil (out_channels)
local Conv2d = class.class("nn.Conv2d", Module)

local read = args.signature("nn.Conv2d(int in_channels, int out_channels, int2 kernel_size, "
  .. "int2 stride=1, any padding=0, int2 dilation=1, int groups=1, bool bias=true, "
  .. "string padding_mode=zeros, device? device, dtype? dtype)")

local is_int2 = function(v)
  return type(v) == "number" or type(v) == "table" and type(v[1]) == "number"
    and type(v[2]) == "number"
end

-- "valid" is no padding; "same" keeps the size, for stride 1 and odd reach.
local function resolve_padding(padding, kernel, stride, dilation)
  if is_int2(padding) then return text.pair(padding) end
  if padding == "valid" then return {0, 0} end
  if padding ~= "same" then
    fail('nn.Conv2d: padding must be a whole number, two of them, "same" or "valid"')
  end
  if stride[1] ~= 1 or stride[2] ~= 1 then
    fail("nn.Conv2d: padding='same' is not supported for strided convolutions")
  end
  local result = {}
  for i = 1, 2 do
    local reach = dilation[i] * (kernel[i] - 1)
    if reach % 2 ~= 0 then
      fail("nn.Conv2d: padding='same' takes a kernel of odd reach, got size %d and dilation %d",
        kernel[i], dilation[i])
    end
    result[i] = reach / 2
  end
  return result
end

--- A 2-D cross-correlation over (batch, in_channels, height, width).
---@param ... any in_channels, out_channels, kernel_size, stride = 1, padding = 0, dilation = 1,
---  groups = 1, bias = true, padding_mode = "zeros", device, dtype
function Conv2d:__init(...)
  local n_in, n_out, kernel, stride, padding, dilation, groups, bias, mode, device, dtype =
    read(...)
  if mode ~= "zeros" then
    fail("nn.Conv2d: padding_mode must be 'zeros', got '%s'", mode)
  end
  if groups < 1 then fail("nn.Conv2d: groups must be a positive integer") end
  if n_in % groups ~= 0 then fail("nn.Conv2d: in_channels must be divisible by groups") end
  if n_out % groups ~= 0 then fail("nn.Conv2d: out_channels must be divisible by groups") end
  self.in_channels, self.out_channels, self.groups = n_in, n_out, groups
  self.kernel_size, self.stride = text.pair(kernel), text.pair(stride)
  self.dilation = text.pair(dilation)
  self.padding = resolve_padding(padding, self.kernel_size, self.stride, self.dilation)
  local options = {device = device, dtype = dtype}
  local sizes = {n_out, n_in / groups, self.kernel_size[1], self.kernel_size[2]}
  self.weight = Parameter(empty(sizes, options))
  if bias then self.bias = Parameter(empty({n_out}, options)) end
  self:reset_parameters()
end

--- Draws new weights: uniform within 1 / sqrt(fan in), as PyTorch does.
function Conv2d:reset_parameters()
  initial.kaiming_uniform_(self.weight, {a = math.sqrt(5)})
  if self.bias then
    local fan_in = self.weight:numel() / math.max(self.out_channels, 1)
    local bound = fan_in > 0 and 1 / math.sqrt(fan_in) or 0
    initial.uniform_(self.bias, -bound, bound)
  end
end

--- (batch, in_channels, h, w) or without batch -> the same with out_channels and new h, w
function Conv2d:forward(x)
  local s = self._slots
  return conv2d(x, s.weight, s.bias, s.stride, s.padding, s.dilation, s.groups)
end

function Conv2d:extra_repr()
  local parts = {
    ("%d, %d"):format(self.in_channels, self.out_channels),
    "kernel_size=" .. text.value(self.kernel_size),
    "stride=" .. text.value(self.stride),
  }
  local function add(name, value, default)
    if value ~= default then parts[#parts + 1] = name .. "=" .. value end
  end
  add("padding", text.value(self.padding), "{0, 0}")
  add("dilation", text.value(self.dilation), "{1, 1}")
  add("groups", text.value(self.groups), "1")
  add("bias", tostring(self.bias ~= nil), "true")
  return table.concat(parts, ", ")
end

function Conv2d:brief()
  return ("%d -> %d"):format(self.in_channels, self.out_channels)
end

return {Conv2d = Conv2d}
