-- nn/linear.lua: Linear and Identity.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local initial = require "moontorch.nn.initial"
local Module = require "moontorch.nn.base"
local Parameter = require("moontorch.nn.parameter").Parameter

local linear, empty = core.ops.linear, core.ops.empty

---@class nn.Linear : nn.Module
---@field weight torch.Tensor (out_features, in_features)
---@field bias torch.Tensor|nil (out_features)
local Linear = class.class("nn.Linear", Module)

local read = args.signature("nn.Linear(int in_features, int out_features, bool bias=true, "
  .. "device? device, dtype? dtype)")

--- y = x W^T + b over the last dimension.
---@param ... any in_features, out_features, bias = true, device, dtype
function Linear:__init(...)
  local n_in, n_out, bias, device, dtype = read(...)
  local options = {device = device, dtype = dtype}
  self.in_features, self.out_features = n_in, n_out
  self.weight = Parameter(empty({n_out, n_in}, options))
  if bias then self.bias = Parameter(empty({n_out}, options)) end
  self:reset_parameters()
end

--- Draws new weights: uniform within 1 / sqrt(in_features), as PyTorch does.
function Linear:reset_parameters()
  initial.kaiming_uniform_(self.weight, {a = math.sqrt(5)})
  if self.bias then
    local bound = self.in_features > 0 and 1 / math.sqrt(self.in_features) or 0
    initial.uniform_(self.bias, -bound, bound)
  end
end

--- (..., in_features) -> (..., out_features)
function Linear:forward(x)
  local slots = self._slots
  return linear(x, slots.weight, slots.bias)
end

function Linear:extra_repr()
  return ("in_features=%d, out_features=%d, bias=%s"):format(self.in_features, self.out_features,
    tostring(self.bias ~= nil))
end

function Linear:brief()
  return ("%d -> %d"):format(self.in_features, self.out_features)
end

---@class nn.Identity : nn.Module
local Identity = class.class("nn.Identity", Module)

--- Takes any arguments and ignores them.
function Identity:__init() end

function Identity:forward(x)
  return x
end

return {Linear = Linear, Identity = Identity}
