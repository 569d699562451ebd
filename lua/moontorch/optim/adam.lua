-- optim/adam.lua: Adam and AdamW; all parameters of a group are updated by one op.
--
-- Sources: Kingma and Ba 2015; Reddi et al. 2018 (amsgrad); Loshchilov and Hutter 2019 (AdamW).

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local Fused = require "moontorch.optim.fused"

local adam_step_, write = core.ops.adam_step_ or core.hidden.adam_step_, Fused.write
local none = {}

local function define(name, decay, decoupled)
  local Adam = class.class("optim." .. name, Fused)
  Adam.state_names = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
  Adam.hyper_size = 6

  local read = args.signature((name .. "(any params, number lr=0.001, pair betas={0.9, 0.999}, "
    .. "number eps=1e-8, number weight_decay=%g, bool amsgrad=false, *, bool maximize=false)")
    :format(decay))

  function Adam:__init(...)
    local params, lr, betas, eps, weight_decay, amsgrad, maximize = read(...)
    if lr < 0 then fail("%s: invalid learning rate: %g", name, lr) end
    if eps < 0 then fail("%s: invalid epsilon value: %g", name, eps) end
    for i = 1, 2 do
      if betas[i] < 0 or betas[i] >= 1 then
        fail("%s: invalid beta parameter %d: %g", name, i, betas[i])
      end
    end
    if weight_decay < 0 then fail("%s: invalid weight_decay value: %g", name, weight_decay) end
    Fused.__init(self, params, nil, {
      lr = lr, betas = betas, eps = eps, weight_decay = weight_decay, amsgrad = amsgrad,
      maximize = maximize,
    })
  end

  function Adam:start(cohort, group)
    local lists = cohort.lists
    lists.exp_avg, lists.exp_avg_sq = self.zeros(cohort), self.zeros(cohort)
    if group.amsgrad then lists.max_exp_avg_sq = self.zeros(cohort) end
  end

  function Adam:run(cohort, group)
    local lists, betas = cohort.lists, group.betas
    if group.amsgrad and not lists.max_exp_avg_sq then
      lists.max_exp_avg_sq = self.zeros(cohort)
    end
    write(cohort, 1, group.lr)
    write(cohort, 2, betas[1])
    write(cohort, 3, betas[2])
    write(cohort, 4, group.eps)
    write(cohort, 5, group.weight_decay)
    write(cohort, 6, group.maximize)
    adam_step_(cohort.params, cohort.grads, lists.exp_avg, lists.exp_avg_sq,
      group.amsgrad and lists.max_exp_avg_sq or none, cohort.step, cohort.hyper, group.amsgrad,
      decoupled)
  end

  return Adam
end

---@class torch.optim.Adam : torch.optim.Optimizer
local Adam = define("Adam", 0, false)

---@class torch.optim.AdamW : torch.optim.Optimizer
local AdamW = define("AdamW", 0.01, true)

return {Adam = Adam, AdamW = AdamW}
