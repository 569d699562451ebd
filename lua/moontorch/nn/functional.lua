-- nn/functional.lua: torch.nn.functional. Ops that live here only come from the op table; those
-- that PyTorch has both in torch and here are listed; both are looked up on first use.

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

local shared = {}
for name in ([[dropout embedding gelu layer_norm log_softmax logsigmoid one_hot pad relu relu_ selu
  sigmoid silu softmax softplus softsign tanh tanhshrink threshold celu elu hardtanh hardshrink
  hardsigmoid hardswish leaky_relu mish prelu relu6 rrelu softmin softshrink cosine_similarity
  pairwise_distance normalize pixel_shuffle pixel_unshuffle group_norm batch_norm instance_norm
  bilinear glu gumbel_softmax]]):gmatch("[%w_]+") do
  shared[name] = true
end

return setmetatable({}, {
  __index = function(self, name)
    local op = core.ops[name] or core.inplace[name]
    if op and (shared[name] or core.op_info(name).functional) then
      rawset(self, name, op)
      return op
    end
    local names = {}
    for candidate in pairs(core.ops) do
      if shared[candidate] or core.op_info(candidate).functional then
        names[#names + 1] = candidate
      end
    end
    return fail("torch.nn.functional has no '%s'%s", tostring(name),
      suggest.suggestion(tostring(name), names))
  end,
})
