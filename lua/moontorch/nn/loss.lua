-- nn/loss.lua: losses as modules. Each is one row: the constructor's signature, and the op, which
-- is called with input, target and the options, in the order of the op.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local Module = require "moontorch.nn.base"

local ops = core.ops
local losses = {}

-- forward for a number of options: their names, in the order of the op
local forwards = {
  function(op, a)
    return function(self, input, target) return op(input, target, self._slots[a]) end
  end,
  function(op, a, b)
    return function(self, input, target)
      local s = self._slots
      return op(input, target, s[a], s[b])
    end
  end,
  function(op, a, b, c)
    return function(self, input, target)
      local s = self._slots
      return op(input, target, s[a], s[b], s[c])
    end
  end,
  function(op, a, b, c, d)
    return function(self, input, target)
      local s = self._slots
      return op(input, target, s[a], s[b], s[c], s[d])
    end
  end,
}

--- Defines nn.<name>. Weights become buffers, so that they move with the module.
---@param name string
---@param op function
---@param signature string of the constructor
---@param options string[] names in the order of the signature
---@param order? string[] names in the order of the op, where it differs
local function loss(name, op, signature, options, order)
  local Loss = class.class("nn." .. name, Module)
  local read = args.signature(("nn.%s(%s)"):format(name, signature))

  function Loss:__init(...)
    local values = {read(...)}
    for i, option in ipairs(options) do
      if option == "weight" or option == "pos_weight" then
        self:register_buffer(option, values[i])
      else
        self[option] = values[i]
      end
    end
    local reduction = self.reduction
    if reduction ~= "mean" and reduction ~= "sum" and reduction ~= "none" then
      fail("nn.%s: '%s' is not a valid value for reduction (mean, sum, none)", name, reduction)
    end
  end

  order = order or options
  Loss.forward = forwards[#order](op, unpack(order))
  losses[name] = Loss
end

loss("CrossEntropyLoss", ops.cross_entropy,
  "tensor? weight, int ignore_index=-100, string reduction=mean, number label_smoothing=0",
  {"weight", "ignore_index", "reduction", "label_smoothing"})
loss("NLLLoss", ops.nll_loss, "tensor? weight, int ignore_index=-100, string reduction=mean",
  {"weight", "ignore_index", "reduction"})
loss("MSELoss", ops.mse_loss, "string reduction=mean", {"reduction"})
loss("L1Loss", ops.l1_loss, "string reduction=mean", {"reduction"})
loss("SmoothL1Loss", ops.smooth_l1_loss, "string reduction=mean, number beta=1",
  {"reduction", "beta"})
loss("HuberLoss", ops.huber_loss, "string reduction=mean, number delta=1", {"reduction", "delta"})
loss("BCELoss", ops.binary_cross_entropy, "tensor? weight, string reduction=mean",
  {"weight", "reduction"})
loss("BCEWithLogitsLoss", ops.binary_cross_entropy_with_logits,
  "tensor? weight, string reduction=mean, tensor? pos_weight",
  {"weight", "reduction", "pos_weight"}, {"weight", "pos_weight", "reduction"})

return losses
