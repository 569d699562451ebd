-- optim/sgd.lua: SGD with momentum, Nesterov momentum and weight decay; all parameters of a
-- group are updated by one op.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local Fused = require "moontorch.optim.fused"

local sgd_step_, write = core.ops.sgd_step_ or core.hidden.sgd_step_, Fused.write
local none = {}

---@class torch.optim.SGD : torch.optim.Optimizer
local SGD = class.class("optim.SGD", Fused)

SGD.state_names = {"momentum_buffer"}
SGD.hyper_size = 7

local read = args.signature("SGD(any params, number lr=0.001, number momentum=0, "
  .. "number dampening=0, number weight_decay=0, bool nesterov=false, *, bool maximize=false)")

--- p = p - lr * g, with g the gradient plus weight_decay * p, or its running sum with momentum.
---@param ... any params, lr = 0.001, momentum = 0, dampening = 0, weight_decay = 0,
---  nesterov = false, {maximize = false}
function SGD:__init(...)
  local params, lr, momentum, dampening, weight_decay, nesterov, maximize = read(...)
  if lr < 0 then fail("SGD: invalid learning rate: %g", lr) end
  if momentum < 0 then fail("SGD: invalid momentum value: %g", momentum) end
  if weight_decay < 0 then fail("SGD: invalid weight_decay value: %g", weight_decay) end
  if nesterov and (momentum <= 0 or dampening ~= 0) then
    fail("SGD: Nesterov momentum requires a momentum and zero dampening")
  end
  Fused.__init(self, params, nil, {
    lr = lr, momentum = momentum, dampening = dampening, weight_decay = weight_decay,
    nesterov = nesterov, maximize = maximize,
  })
end

function SGD:start(cohort, group)
  cohort.first = true
  if group.momentum ~= 0 then cohort.lists.momentum_buffer = self.zeros(cohort) end
end

function SGD:run(cohort, group)
  if group.momentum ~= 0 and not cohort.lists.momentum_buffer then self:start(cohort, group) end
  write(cohort, 1, group.lr)
  write(cohort, 2, group.momentum)
  write(cohort, 3, group.dampening)
  write(cohort, 4, group.weight_decay)
  write(cohort, 5, group.nesterov)
  write(cohort, 6, group.maximize)
  write(cohort, 7, cohort.first or false)
  sgd_step_(cohort.params, cohort.grads, cohort.lists.momentum_buffer or none, cohort.hyper)
  cohort.first = false
end

return SGD
