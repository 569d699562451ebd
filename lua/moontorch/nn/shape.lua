-- nn/shape.lua: Flatten and Unflatten.

local args = require "moontorch.args"
local class = require "moontorch.class"
local text = require "moontorch.nn.text"
local Module = require "moontorch.nn.base"

---@class nn.Flatten : nn.Module
local Flatten = class.class("nn.Flatten", Module)

local read_flatten = args.signature "nn.Flatten(int start_dim=2, int end_dim=-1)"

--- Joins the dimensions start_dim..end_dim into one; by default all but the batch's.
---@param ... any start_dim = 2, end_dim = -1
function Flatten:__init(...)
  self.start_dim, self.end_dim = read_flatten(...)
end

function Flatten:forward(x)
  local slots = self._slots
  return x:flatten(slots.start_dim, slots.end_dim)
end

function Flatten:extra_repr()
  return ("start_dim=%d, end_dim=%d"):format(self.start_dim, self.end_dim)
end

---@class nn.Unflatten : nn.Module
local Unflatten = class.class("nn.Unflatten", Module)

local read_unflatten = args.signature "nn.Unflatten(int dim, ints unflattened_size)"

--- Splits one dimension into several.
---@param ... any dim, unflattened_size
function Unflatten:__init(...)
  self.dim, self.unflattened_size = read_unflatten(...)
end

function Unflatten:forward(x)
  local slots = self._slots
  return x:unflatten(slots.dim, slots.unflattened_size)
end

function Unflatten:extra_repr()
  return ("dim=%d, unflattened_size=%s"):format(self.dim, text.value(self.unflattened_size))
end

return {Flatten = Flatten, Unflatten = Unflatten}
