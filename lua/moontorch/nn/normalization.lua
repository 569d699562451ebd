-- nn/normalization.lua: LayerNorm.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local text = require "moontorch.nn.text"
local Module = require "moontorch.nn.base"
local Parameter = require("moontorch.nn.parameter").Parameter

local layer_norm, ones, zeros = core.ops.layer_norm, core.ops.ones, core.ops.zeros

---@class nn.LayerNorm : nn.Module
---@field weight torch.Tensor|nil normalized_shape
---@field bias torch.Tensor|nil normalized_shape
local LayerNorm = class.class("nn.LayerNorm", Module)

local read = args.signature("nn.LayerNorm(ints normalized_shape, number eps=1e-5, "
  .. "bool elementwise_affine=true, bool bias=true, device? device, dtype? dtype)")

--- Normalises over the last dimensions, whose sizes are normalized_shape (a number or a list).
---@param ... any normalized_shape, eps = 1e-5, elementwise_affine = true, bias = true
function LayerNorm:__init(...)
  local shape, eps, affine, bias, device, dtype = read(...)
  if type(shape) == "number" then shape = {shape} end
  local options = {device = device, dtype = dtype}
  self.normalized_shape, self.eps, self.elementwise_affine = {unpack(shape)}, eps, affine
  if affine then
    self.weight = Parameter(ones(shape, options))
    if bias then self.bias = Parameter(zeros(shape, options)) end
  end
end

function LayerNorm:reset_parameters()
  core.no_grad(function()
    if self.weight then self.weight:fill_(1) end
    if self.bias then self.bias:zero_() end
  end)
end

function LayerNorm:forward(x)
  local s = self._slots
  return layer_norm(x, s.normalized_shape, s.weight, s.bias, s.eps)
end

function LayerNorm:extra_repr()
  return ("%s, eps=%s, elementwise_affine=%s, bias=%s"):format(text.value(self.normalized_shape),
    text.value(self.eps), tostring(self.elementwise_affine), tostring(self.bias ~= nil))
end

return {LayerNorm = LayerNorm}
