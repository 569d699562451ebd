-- optim/lr_scheduler.lua: torch.optim.lr_scheduler, learning rates that change by epoch or step.
--
-- As in PyTorch, making a scheduler sets the rates of epoch 0, and step() goes on by one. A rate
-- follows from the one before, so that several schedulers may act on one optimizer.
-- One's own is a class with `rate(group, base)`, which returns the group's next rate;
-- self.last_epoch is the epoch it is for.

local args = require "moontorch.args"
local class = require "moontorch.class"
local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

local schedulers = {}

---@class torch.optim.LRScheduler
---@field last_epoch integer
local LRScheduler = class.class("optim.LRScheduler")

--- last_epoch = -1 starts anew; otherwise the groups need their initial_lr from before.
---@param optimizer torch.optim.Optimizer
---@param last_epoch? integer
function LRScheduler:__init(optimizer, last_epoch)
  if type(optimizer) ~= "table" or type(optimizer.param_groups) ~= "table" then
    fail("%s: expected an optimizer, got %s", getmetatable(self).__typename,
      args.kind_of(optimizer))
  end
  self.optimizer, self.last_epoch, self.base_lrs = optimizer, last_epoch or -1, {}
  for i, group in ipairs(optimizer.param_groups) do
    if self.last_epoch == -1 then
      group.initial_lr = group.initial_lr or group.lr
    elseif not group.initial_lr then
      fail("%s: param_groups[%d] has no initial_lr to resume from", getmetatable(self).__typename,
        i)
    end
    self.base_lrs[i] = group.initial_lr
  end
  self:step()
end

--- Sets the rates of the next epoch.
function LRScheduler:step()
  self.last_epoch = self.last_epoch + 1
  for i, group in ipairs(self.optimizer.param_groups) do
    group.lr = self:rate(group, self.base_lrs[i], i)
  end
end

--- The rate of a group at self.last_epoch. To be overridden.
---@param group table its lr is the rate of the epoch before
---@param base number its rate at the start
---@param i integer the group's number
---@return number
function LRScheduler:rate(group, base, i) -- luacheck: ignore
  return fail("%s has no rate method", getmetatable(self).__typename)
end

--- The rates in force, one a group.
---@return number[]
function LRScheduler:get_last_lr()
  local rates = {}
  for i, group in ipairs(self.optimizer.param_groups) do rates[i] = group.lr end
  return rates
end

--- Everything but the optimizer and functions.
---@return table
function LRScheduler:state_dict()
  local state = {}
  for name, value in pairs(self) do
    if name ~= "optimizer" and name ~= "functions" then state[name] = value end
  end
  return state
end

---@param state table
function LRScheduler:load_state_dict(state)
  for name, value in pairs(state) do self[name] = value end
end

schedulers.LRScheduler = LRScheduler

-- A scheduler with options as fields.
local function define(name, signature, options, rate)
  local Scheduler = class.class("optim." .. name, LRScheduler)
  local read = args.signature(("%s(any optimizer, %s, int last_epoch=-1)"):format(name, signature))
  function Scheduler:__init(...)
    local values = {read(...)}
    for i, option in ipairs(options) do self[option] = values[i + 1] end
    LRScheduler.__init(self, values[1], values[#options + 2])
  end
  Scheduler.rate = rate
  schedulers[name] = Scheduler
end

-- lr times gamma every step_size epochs
define("StepLR", "int step_size, number gamma=0.1", {"step_size", "gamma"}, function(self, group)
  local epoch = self.last_epoch
  if epoch == 0 or epoch % self.step_size ~= 0 then return group.lr end
  return group.lr * self.gamma
end)

-- lr times gamma every epoch
define("ExponentialLR", "number gamma", {"gamma"}, function(self, group)
  return self.last_epoch == 0 and group.lr or group.lr * self.gamma
end)

-- Half a cosine from the base rate to eta_min over T_max epochs (Loshchilov and Hutter 2017)
define("CosineAnnealingLR", "int T_max, number eta_min=0", {"T_max", "eta_min"},
  function(self, group, base)
    local epoch, half, low = self.last_epoch, self.T_max, self.eta_min
    if epoch == 0 then return group.lr end
    if (epoch - 1 - half) % (2 * half) == 0 then
      return group.lr + (base - low) * (1 - math.cos(math.pi / half)) / 2
    end
    return (1 + math.cos(math.pi * epoch / half)) / (1 + math.cos(math.pi * (epoch - 1) / half))
      * (group.lr - low) + low
  end)

-- From start_factor to end_factor times the base rate, in a line over total_iters epochs
define("LinearLR", "number start_factor=0.3333333333333333, number end_factor=1, int total_iters=5",
  {"start_factor", "end_factor", "total_iters"}, function(self, group)
    local epoch, first, last, n = self.last_epoch, self.start_factor, self.end_factor,
      self.total_iters
    if epoch == 0 then return group.lr * first end
    if epoch > n then return group.lr end
    return group.lr * (1 + (last - first) / (n * first + (epoch - 1) * (last - first)))
  end)

-- The base rate times a function of the epoch (from 0), one for all groups or a list
define("LambdaLR", "any lr_lambda", {"functions"}, function(self, _, base, i)
  local fn = self.functions
  if type(fn) == "table" and fn[i] then fn = fn[i] end
  return base * fn(self.last_epoch)
end)

return setmetatable(schedulers, {
  __index = function(_, name)
    local names = {}
    for known in pairs(schedulers) do names[#names + 1] = known end
    fail("torch.optim.lr_scheduler has no '%s'%s", tostring(name),
      suggest.suggestion(tostring(name), names))
  end,
})
