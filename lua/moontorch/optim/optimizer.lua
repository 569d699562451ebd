-- optim/optimizer.lua: the base class of optimizers.
--
-- One's own optimizer is a class with `update`:
--
--     local Sign, parent = torch.class("Sign", torch.optim.Optimizer)
--     function Sign:__init(params, options)
--       parent.__init(self, params, options, {lr = 0.01})
--     end
--     function Sign:update(p, grad, group, state)  -- state: a table of p's own, empty at first
--       p:sub_(grad:sign() * group.lr)
--     end
--
-- param_groups is a list of {params = {...}, lr = ..., ...}; names = {...} beside params where
-- the parameters were given with names. Options may be changed there at any time.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

---@class torch.optim.Optimizer
---@field param_groups table[]
---@field defaults table
local Optimizer = class.class("optim.Optimizer")

-- Stands in `defaults` for an option that has to be given.
Optimizer.required = setmetatable({}, {__tostring = function() return "required" end})

local function option_names(defaults)
  local names = {}
  for name in pairs(defaults) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function check_options(self, options)
  for name in pairs(options) do
    if self.defaults[name] == nil and name ~= "params" and name ~= "names" then
      local names = option_names(self.defaults)
      fail("%s: unknown option '%s'%s (known: %s)", self:short_name(), tostring(name),
        suggest.suggestion(tostring(name), names), table.concat(names, ", "))
    end
  end
end

--- The class name without its package.
---@return string
function Optimizer:short_name()
  return (getmetatable(self).__typename:match("[^.]*$"))
end

-- A list of tensors and, for an iterator of name, parameter, their names.
local function read_params(self, params)
  if core.is_tensor(params) then
    fail("%s: params should be a list of tensors, a list of groups or named_parameters(), "
      .. "got one tensor", self:short_name())
  end
  local list, names = {}, nil
  if type(params) == "function" then
    names = {}
    for name, p in params do
      list[#list + 1], names[#names + 1] = p, name
    end
  elseif type(params) == "table" then
    for i, p in ipairs(params) do list[i] = p end
  else
    fail("%s: params should be a list of tensors, got %s", self:short_name(), args.kind_of(params))
  end
  for i, p in ipairs(list) do
    if not core.is_tensor(p) then
      fail("%s: can only optimize tensors, but params[%d] is %s", self:short_name(), i,
        args.kind_of(p))
    end
    if not p.is_leaf then
      fail("%s: can't optimize a non-leaf tensor (params[%d])", self:short_name(), i)
    end
    core.keep(p)
  end
  return list, names
end

--- Adds a group: {params = ..., and options that differ from the defaults}.
---@param group table
function Optimizer:add_param_group(group)
  if type(group) ~= "table" or group.params == nil then
    fail("%s: a parameter group is a table with a field 'params'", self:short_name())
  end
  check_options(self, group)
  local params, names = read_params(self, group.params)
  local new = {params = params, names = names or group.names}
  for name, default in pairs(self.defaults) do
    local value = group[name]
    if value == nil then value = default end
    if value == Optimizer.required then
      fail("%s: the option '%s' has to be given", self:short_name(), name)
    end
    new[name] = value
  end
  for i, p in ipairs(params) do
    local id = p:id()
    if self.owned[id] then
      fail("%s: some parameters appear in more than one parameter group, or twice (params[%d])",
        self:short_name(), i)
    end
    self.owned[id] = true
  end
  self.param_groups[#self.param_groups + 1] = new
end

--- params: a list of tensors, of groups, or model:named_parameters(). options override
--- defaults; a default of Optimizer.required has none.
---@param params torch.Tensor[]|table[]|function
---@param options table|nil
---@param defaults table name -> value
function Optimizer:__init(params, options, defaults)
  defaults = defaults or {}
  self.defaults, self.param_groups, self.state, self.owned = defaults, {}, {}, {}
  options = options or {}
  check_options(self, options)
  local merged = {}
  for name, value in pairs(defaults) do
    merged[name] = value
    if options[name] ~= nil then merged[name] = options[name] end
  end
  self.defaults = merged
  local groups = type(params) == "table" and type(params[1]) == "table"
    and not core.is_tensor(params[1])
  if not groups then params = {{params = params}} end
  for _, group in ipairs(params) do self:add_param_group(group) end
  local first = self.param_groups[1]
  if not first or #first.params == 0 and #self.param_groups == 1 then
    fail("%s: got an empty parameter list", self:short_name())
  end
end

--- Clears all gradients; {set_to_none = false} fills them with zeros instead.
---@param options? boolean|{set_to_none: boolean}
function Optimizer:zero_grad(options)
  local set_to_none = options
  if type(options) == "table" then set_to_none = options.set_to_none end
  for _, group in ipairs(self.param_groups) do
    for _, p in ipairs(group.params) do
      if set_to_none ~= false then
        p.grad = nil
      elseif p.grad then
        p.grad = core.ops.zeros_like(p.grad)
      end
    end
  end
end

-- Runs a closure that computes the loss anew, with gradients on.
local function evaluate(closure)
  if closure == nil then return nil end
  return core.enable_grad(closure)
end

local function keep_all(t)
  for _, value in pairs(t) do
    if core.is_tensor(value) then core.keep(value) end
  end
end

local function update_all(self)
  for _, group in ipairs(self.param_groups) do
    for _, p in ipairs(group.params) do
      local grad = p.grad
      if grad then
        local state = self.state[p]
        if not state then
          state = {}
          self.state[p] = state
        end
        self:update(p, grad, group, state)
        keep_all(state)
      end
    end
  end
end

--- Updates all parameters that have a gradient. closure computes the loss and its gradients and
--- returns the loss, for optimizers that ask for it more than once.
---@param closure? fun(): torch.Tensor
---@return torch.Tensor|nil loss what closure returned
function Optimizer:step(closure)
  local loss = evaluate(closure)
  core.no_grad(update_all, self)
  return loss
end

--- Changes one parameter. To be overridden, or step itself.
---@param p torch.Tensor
---@param grad torch.Tensor
---@param group table the options in force
---@param state table kept between steps
function Optimizer:update(p, grad, group, state) -- luacheck: ignore
  fail("%s has no update method", self:short_name())
end

-- ---- state ----

-- The key of a parameter in a state dict: its name, or its number over all groups.
local function keys_of(self)
  local keys, number = {}, 0
  for _, group in ipairs(self.param_groups) do
    for i, p in ipairs(group.params) do
      number = number + 1
      keys[p] = group.names and group.names[i] or number
    end
  end
  return keys
end

--- State and options: {state = {[key] = {...}}, param_groups = {{params = {keys}, lr = ...}}}.
--- A key is the parameter's name where the optimizer was given model:named_parameters(), its
--- number otherwise.
---@return table
function Optimizer:state_dict()
  local keys = keys_of(self)
  local result = {state = {}, param_groups = {}}
  for p, key in pairs(keys) do
    local state = self:state_of(p)
    if state and next(state) ~= nil then
      local copy = {}
      for name, value in pairs(state) do copy[name] = value end
      result.state[key] = copy
    end
  end
  for i, group in ipairs(self.param_groups) do
    local copy = {params = {}}
    for name, value in pairs(group) do
      if name ~= "params" and name ~= "names" then copy[name] = value end
    end
    for k, p in ipairs(group.params) do copy.params[k] = keys[p] end
    result.param_groups[i] = copy
  end
  return result
end

--- What the optimizer keeps of a parameter: a table of tensors and numbers, or nil.
---@param p torch.Tensor
---@return table|nil
function Optimizer:state_of(p)
  return self.state[p]
end

--- Sets what the optimizer keeps of a parameter.
---@param p torch.Tensor
---@param state table|nil
function Optimizer:set_state_of(p, state)
  self.state[p] = state
end

--- Called when set_state_of was called for all parameters.
function Optimizer:state_loaded() end

-- A value of a saved state as this parameter's: tensors copied to its device and, where they
-- have its sizes, its dtype.
local function adopt(value, p)
  if not core.is_tensor(value) then return value end
  if value:size() == p:size() and value:is_floating_point() and value:dim() > 0 then
    return core.keep(value:to({dtype = p.dtype, device = p.device}):clone())
  end
  return core.keep(value:clone())
end

--- Takes over what state_dict gave, of an optimizer of the same class and groups of the same
--- sizes. Nothing is changed unless it fits.
---@param saved table
function Optimizer:load_state_dict(saved)
  local who = self:short_name()
  if type(saved) ~= "table" or type(saved.state) ~= "table" or type(saved.param_groups) ~= "table"
  then
    fail("%s: load_state_dict: expected what state_dict gives", who)
  end
  if #saved.param_groups ~= #self.param_groups then
    fail("%s: loaded state dict has %d parameter groups, this optimizer has %d", who,
      #saved.param_groups, #self.param_groups)
  end
  for i, group in ipairs(self.param_groups) do
    local theirs = saved.param_groups[i].params
    if type(theirs) ~= "table" or #theirs ~= #group.params then
      fail("%s: loaded state dict contains a parameter group that doesn't match the size of "
        .. "this optimizer's group %d", who, i)
    end
    for k, key in ipairs(theirs) do
      local name = group.names and group.names[k]
      if name and type(key) == "string" and not saved.state[name] and saved.state[key] then
        fail("%s: loaded state dict has no state for parameter '%s'", who, name)
      end
    end
  end
  core.no_grad(function()
    for i, group in ipairs(self.param_groups) do
      local theirs = saved.param_groups[i]
      for name, value in pairs(theirs) do
        if name ~= "params" then group[name] = value end
      end
      for k, p in ipairs(group.params) do
        local key = theirs.params[k]
        local name = group.names and group.names[k]
        local state = saved.state[name] or saved.state[key]
        local copy = {}
        for field, value in pairs(state or {}) do copy[field] = adopt(value, p) end
        self:set_state_of(p, next(copy) ~= nil and copy or nil)
      end
    end
    self:state_loaded()
  end)
end

function Optimizer:__tostring()
  local lines = {self:short_name() .. " ("}
  for i, group in ipairs(self.param_groups) do
    lines[#lines + 1] = ("Parameter Group %d"):format(i)
    for _, name in ipairs(option_names(self.defaults)) do
      local value = group[name]
      if type(value) == "table" then value = "{" .. table.concat(value, ", ") .. "}" end
      lines[#lines + 1] = ("    %s: %s"):format(name, tostring(value))
    end
  end
  lines[#lines + 1] = ")"
  return table.concat(lines, "\n")
end

Optimizer.evaluate = evaluate

return Optimizer
