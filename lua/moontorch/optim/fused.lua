-- optim/fused.lua: what SGD and Adam share: all parameters of a group updated by one op.
--
-- A cohort is a list of parameters of one group that have made the same number of steps, with
-- lists of their gradients and state beside it. Usually a group is one cohort. When some of its
-- parameters have no gradient at a step, the cohort splits for good: those wait with their state,
-- the others go on. A cohort has
--   params, grads   lists given to the op           n      how many
--   lists           state name -> list              step   float64 cell counted by the op
--   hyper           float64 cell of options          seen   what was last written into it
--   started         whether it has state
-- A class built on this has
--   state_names     names of the state tensors that it may keep
--   start(cohort, group)      makes lists of the state that is needed
--   run(cohort, group)        calls the op

local class = require "moontorch.class"
local core = require "moontorch.core"
local Optimizer = require "moontorch.optim.optimizer"

local gather, release = core.list_grads, core.list_clear

---@class torch.optim.Fused : torch.optim.Optimizer
local Fused = class.class("optim.Fused", Optimizer)

function Fused:__init(params, options, defaults)
  self.plans = {} -- group -> list of cohorts
  self.pending = {} -- parameter -> state, while a state is loaded
  Optimizer.__init(self, params, options, defaults)
end

-- A cohort of `members`, with the state given for each of them or none.
local function new_cohort(self, members, states, steps)
  local cohort = {
    params = core.list(members), grads = core.list(members), members = members, n = #members,
    lists = {}, hyper = core.keep(core.ops.zeros({self.hyper_size}, {dtype = core.dtypes.float64})),
    step = core.keep(core.ops.full({}, steps or 0, {dtype = core.dtypes.float64})),
    seen = {}, started = states ~= nil,
  }
  release(cohort.grads)
  if states then
    for _, name in ipairs(self.state_names) do
      if states[1][name] then
        local list = {}
        for i, state in ipairs(states) do list[i] = state[name] end
        cohort.lists[name] = core.list(list)
      end
    end
  end
  return cohort
end

-- The state of a cohort's i-th parameter: name -> tensor.
local function state_at(self, cohort, i)
  local state = {}
  for _, name in ipairs(self.state_names) do
    local list = cohort.lists[name]
    if list then state[name] = list[i] end
  end
  return state
end

-- The members of a cohort for which wanted(p) holds, as a cohort; nil when there are none.
local function part_of(self, cohort, wanted)
  local members, states = {}, cohort.started and {} or nil
  for i, p in ipairs(cohort.members) do
    if wanted(p) then
      members[#members + 1] = p
      if states then states[#states + 1] = state_at(self, cohort, i) end
    end
  end
  if #members == 0 then return nil end
  return new_cohort(self, members, states, cohort.step:item())
end

local function split(self, plan, at)
  local cohort = plan[at]
  local with = part_of(self, cohort, function(p) return p.grad ~= nil end)
  local without = part_of(self, cohort, function(p) return p.grad == nil end)
  plan[at] = with
  table.insert(plan, at + 1, without)
  gather(with.grads, with.params)
  return with
end

local function step_group(self, group)
  local plan = self.plans[group]
  if not plan then
    plan = #group.params > 0 and {new_cohort(self, group.params)} or {}
    self.plans[group] = plan
  end
  local i = 1
  while i <= #plan do
    local cohort = plan[i]
    local count = gather(cohort.grads, cohort.params)
    if count > 0 then
      if count < cohort.n then
        release(cohort.grads)
        cohort = split(self, plan, i)
        i = i + 1
      end
      if not cohort.started then
        self:start(cohort, group)
        cohort.started = true
      end
      self:run(cohort, group)
      release(cohort.grads)
    end
    i = i + 1
  end
end

--- One step. See Optimizer:step.
---@param closure? fun(): torch.Tensor
---@return torch.Tensor|nil
function Fused:step(closure)
  local loss = closure and self.evaluate(closure)
  local groups = self.param_groups
  for g = 1, #groups do step_group(self, groups[g]) end
  return loss
end

--- Clears all gradients; {set_to_none = false} fills them with zeros instead.
---@param options? boolean|{set_to_none: boolean}
function Fused:zero_grad(options)
  local set_to_none = options
  if type(options) == "table" then set_to_none = options.set_to_none end
  for _, group in ipairs(self.param_groups) do
    local plan = self.plans[group]
    if not plan then return Optimizer.zero_grad(self, set_to_none) end
    for _, cohort in ipairs(plan) do core.list_zero_grad(cohort.params, set_to_none ~= false) end
  end
end

--- Writes options into a cohort's cell where they changed.
---@param cohort table
---@param i integer place in the cell
---@param value number|boolean
function Fused.write(cohort, i, value)
  if cohort.seen[i] ~= value then
    cohort.seen[i] = value
    if value == true then value = 1 elseif value == false then value = 0 end
    cohort.hyper[i] = value
  end
end

--- Lists of zeros like the cohort's parameters.
---@param cohort table
function Fused.zeros(cohort)
  local list = {}
  for i, p in ipairs(cohort.members) do list[i] = core.ops.zeros_like(p:detach()) end
  return core.list(list)
end

-- ---- state ----

function Fused:state_of(p)
  for _, plan in pairs(self.plans) do
    for _, cohort in ipairs(plan) do
      for i, member in ipairs(cohort.members) do
        if member == p and cohort.started then
          local state = state_at(self, cohort, i)
          state.step = cohort.step:item()
          return state
        end
      end
    end
  end
  return nil
end

function Fused:set_state_of(p, state)
  self.pending[p] = state
end

function Fused:state_loaded()
  for _, group in ipairs(self.param_groups) do
    -- parameters with the same number of steps and the same state are a cohort
    local buckets, order = {}, {}
    for _, p in ipairs(group.params) do
      local state = self.pending[p]
      local key = state and tostring(state.step or 1) or "none"
      for _, name in ipairs(self.state_names) do
        key = key .. (state and state[name] and "+" or "-")
      end
      if not buckets[key] then
        buckets[key] = {members = {}, states = state and {} or nil, steps = state and state.step}
        order[#order + 1] = key
      end
      local bucket = buckets[key]
      table.insert(bucket.members, p)
      if state then table.insert(bucket.states, state) end
    end
    local plan = {}
    for i, key in ipairs(order) do
      local bucket = buckets[key]
      plan[i] = new_cohort(self, bucket.members, bucket.states, bucket.steps)
    end
    self.plans[group] = plan
  end
  self.pending = {}
end

return Fused
