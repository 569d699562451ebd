-- nn/state.lua: state_dict and load_state_dict.
--
-- A state dict is a plain table, dotted name -> tensor, of all parameters and persistent
-- buffers. {layout = "pytorch"} names the children of containers as PyTorch does, from 0.

local core = require "moontorch.core"
local args = require "moontorch.args"
local fail = require "moontorch.fail"
local Module = require "moontorch.nn.module"
local walk = require "moontorch.nn.walk"

local function check_layout(where, layout)
  if layout ~= nil and layout ~= "pytorch" then
    fail("%s: unknown layout '%s' (known: pytorch)", where, tostring(layout))
  end
  return layout == "pytorch"
end

-- All state of a module: a list of {name, tensor}.
local function entries(module, pytorch)
  local list = {}
  for _, kind in ipairs {"parameter", "buffer"} do
    for _, entry in ipairs(walk.tensors(module, kind, true)) do
      local hidden = kind == "buffer" and entry[4]._hidden
      if not (hidden and hidden[entry[5]]) then
        list[#list + 1] = {pytorch and entry[3] or entry[1], entry[2]}
      end
    end
  end
  return list
end

local read_state_dict = args.signature "state_dict(*, string? layout)"

--- The state: name -> tensor. The tensors share the module's memory and record nothing.
---@param ... any {layout = "pytorch"}
---@return table<string, torch.Tensor>
function Module:state_dict(...)
  local pytorch = check_layout("state_dict", (read_state_dict(...)))
  local state = {}
  for _, entry in ipairs(entries(self, pytorch)) do state[entry[1]] = entry[2]:detach() end
  return state
end

local Result = {
  __tostring = function(self)
    if #self.missing_keys == 0 and #self.unexpected_keys == 0 then
      return "<All keys matched successfully>"
    end
    return ("missing_keys = {%s}, unexpected_keys = {%s}"):format(
      table.concat(self.missing_keys, ", "), table.concat(self.unexpected_keys, ", "))
  end,
}

local function quoted(names)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = ('"%s"'):format(name) end
  return table.concat(parts, ", ")
end

local read_load = args.signature "load_state_dict(bool strict=true, *, string? layout)"

--- Copies the values of `state` into parameters and buffers. Nothing is changed unless all of it
--- fits. With strict = false, missing and unexpected names are only reported; shapes always have
--- to match.
---@param state table<string, torch.Tensor>
---@param ... any strict, or {strict = boolean, layout = "pytorch"}
---@return table result its fields missing_keys and unexpected_keys are lists
function Module:load_state_dict(state, ...)
  local strict, layout = read_load(...)
  if type(state) ~= "table" then
    fail("load_state_dict: expected a table of tensors, got %s", args.kind_of(state))
  end
  local pytorch = check_layout("load_state_dict", layout)

  local missing, unexpected, problems, known, copies = {}, {}, {}, {}, {}
  for _, entry in ipairs(entries(self, pytorch)) do
    local name, target = entry[1], entry[2]
    local source = state[name]
    known[name] = true
    if source == nil then
      missing[#missing + 1] = name
    elseif not core.is_tensor(source) then
      problems[#problems + 1] = ('"%s" is a %s, not a tensor.'):format(name, type(source))
    elseif source:size() ~= target:size() then
      problems[#problems + 1] = ("size mismatch for %s: copying a param with shape %s from "
        .. "checkpoint, the shape in current model is %s."):format(name, tostring(source:size()),
        tostring(target:size()))
    else
      copies[#copies + 1] = {target, source}
    end
  end
  for name in pairs(state) do
    if not known[name] then unexpected[#unexpected + 1] = tostring(name) end
  end
  table.sort(unexpected)
  if strict then
    if #unexpected > 0 then
      table.insert(problems, 1,
        ("Unexpected key(s) in state_dict: %s. "):format(quoted(unexpected)))
    end
    if #missing > 0 then
      table.insert(problems, 1, ("Missing key(s) in state_dict: %s. "):format(quoted(missing)))
    end
  end
  if #problems > 0 then
    fail("Error(s) in loading state_dict for %s:\n\t%s", self:short_name(),
      table.concat(problems, "\n\t"))
  end
  core.no_grad(function()
    for _, copy in ipairs(copies) do copy[1]:copy_(copy[2]) end
  end)
  return setmetatable({missing_keys = missing, unexpected_keys = unexpected}, Result)
end
