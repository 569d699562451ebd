-- nn/pooling.lua: MaxPool2d and AvgPool2d.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local text = require "moontorch.nn.text"
local Module = require "moontorch.nn.base"

local max_pool2d, avg_pool2d = core.ops.max_pool2d, core.ops.avg_pool2d
local max_pool2d_with_indices = core.ops.max_pool2d_with_indices

---@class nn.MaxPool2d : nn.Module
local MaxPool2d = class.class("nn.MaxPool2d", Module)

local read_max = args.signature("nn.MaxPool2d(int2 kernel_size, int2? stride, int2 padding=0, "
  .. "int2 dilation=1, bool return_indices=false, bool ceil_mode=false)")

--- The largest value of each window. stride defaults to kernel_size.
---@param ... any kernel_size, stride, padding = 0, dilation = 1, return_indices = false,
---  ceil_mode = false
function MaxPool2d:__init(...)
  local kernel, stride, padding, dilation, indices, ceil = read_max(...)
  self.kernel_size, self.stride, self.padding = kernel, stride or kernel, padding
  self.dilation, self.return_indices, self.ceil_mode = dilation, indices, ceil
end

--- (batch, channels, h, w) or without batch; with return_indices the positions come second.
function MaxPool2d:forward(x)
  local s = self._slots
  local op = s.return_indices and max_pool2d_with_indices or max_pool2d
  return op(x, s.kernel_size, s.stride, s.padding, s.dilation, s.ceil_mode)
end

function MaxPool2d:extra_repr()
  return ("kernel_size=%s, stride=%s, padding=%s, dilation=%s, ceil_mode=%s"):format(
    text.value(self.kernel_size), text.value(self.stride), text.value(self.padding),
    text.value(self.dilation), tostring(self.ceil_mode))
end

---@class nn.AvgPool2d : nn.Module
local AvgPool2d = class.class("nn.AvgPool2d", Module)

local read_avg = args.signature("nn.AvgPool2d(int2 kernel_size, int2? stride, int2 padding=0, "
  .. "bool ceil_mode=false, bool count_include_pad=true, int? divisor_override)")

--- The mean of each window. stride defaults to kernel_size.
---@param ... any kernel_size, stride, padding = 0, ceil_mode = false, count_include_pad = true,
---  divisor_override
function AvgPool2d:__init(...)
  local kernel, stride, padding, ceil, include, divisor = read_avg(...)
  self.kernel_size, self.stride, self.padding = kernel, stride or kernel, padding
  self.ceil_mode, self.count_include_pad, self.divisor_override = ceil, include, divisor
end

function AvgPool2d:forward(x)
  local s = self._slots
  return avg_pool2d(x, s.kernel_size, s.stride, s.padding, s.ceil_mode, s.count_include_pad,
    s.divisor_override)
end

function AvgPool2d:extra_repr()
  return ("kernel_size=%s, stride=%s, padding=%s"):format(text.value(self.kernel_size),
    text.value(self.stride), text.value(self.padding))
end

return {MaxPool2d = MaxPool2d, AvgPool2d = AvgPool2d}
