-- nn/activation.lua: activation layers. Each is one row: its arguments, its forward, and what is
-- printed.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local text = require "moontorch.nn.text"
local Module = require "moontorch.nn.base"

local ops = core.ops
local layers = {}

-- A layer without options: forward is the op itself.
local function plain(name, op_name)
  local op = ops[op_name]
  local Layer = class.class("nn." .. name, Module)
  function Layer:__init(...) args.signature("nn." .. name .. "(bool? inplace)")(...) end
  function Layer:forward(x) return op(x) end -- luacheck: ignore self
  layers[name] = Layer
end

-- A layer with options that are fields of the same names. shown: which of them print lists.
local function with_options(name, signature, names, shown, forward)
  local read = args.signature(("nn.%s(%s)"):format(name, signature))
  local Layer = class.class("nn." .. name, Module)
  function Layer:__init(...)
    local values = {read(...)}
    for i, option in ipairs(names) do self[option] = values[i] end
  end
  Layer.forward = forward
  function Layer:extra_repr()
    local parts = {}
    for i, option in ipairs(shown) do
      parts[i] = option .. "=" .. text.value(self[option])
    end
    return table.concat(parts, ", ")
  end
  layers[name] = Layer
end

plain("Tanh", "tanh")
plain("Sigmoid", "sigmoid")

local relu = ops.relu
with_options("ReLU", "bool inplace=false", {"inplace"}, {}, function(self, x)
  if self._slots.inplace then return x:relu_() end
  return relu(x)
end)
function layers.ReLU:extra_repr()
  return self.inplace and "inplace=true" or ""
end

local silu = ops.silu
with_options("SiLU", "bool inplace=false", {"inplace"}, {}, function(_, x) return silu(x) end)

local gelu = ops.gelu
with_options("GELU", "string approximate=none", {"approximate"}, {"approximate"},
  function(self, x) return gelu(x, {approximate = self._slots.approximate}) end)

local leaky_relu = ops.leaky_relu
with_options("LeakyReLU", "number negative_slope=0.01, bool inplace=false", {"negative_slope"},
  {"negative_slope"}, function(self, x) return leaky_relu(x, self._slots.negative_slope) end)

local elu = ops.elu
with_options("ELU", "number alpha=1, bool inplace=false", {"alpha"}, {"alpha"},
  function(self, x) return elu(x, self._slots.alpha) end)

local softplus = ops.softplus
with_options("Softplus", "number beta=1, number threshold=20", {"beta", "threshold"},
  {"beta", "threshold"}, function(self, x)
    return softplus(x, self._slots.beta, self._slots.threshold)
  end)

-- Without a dim PyTorch chooses one with a warning; here it has to be given.
local softmax = ops.softmax
with_options("Softmax", "int dim", {"dim"}, {"dim"}, function(self, x)
  return softmax(x, self._slots.dim)
end)

local log_softmax = ops.log_softmax
with_options("LogSoftmax", "int dim", {"dim"}, {"dim"}, function(self, x)
  return log_softmax(x, self._slots.dim)
end)

return layers
