-- nn/dropout.lua: Dropout.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local text = require "moontorch.nn.text"
local Module = require "moontorch.nn.base"

local dropout = core.ops.dropout

---@class nn.Dropout : nn.Module
local Dropout = class.class("nn.Dropout", Module)

local read = args.signature "nn.Dropout(number p=0.5, bool inplace=false)"

--- In training, sets each element to zero with probability p and scales the others by
--- 1 / (1 - p); in evaluation, does nothing.
---@param ... any p = 0.5, inplace = false
function Dropout:__init(...)
  local p, inplace = read(...)
  if p < 0 or p > 1 then
    fail("nn.Dropout: dropout probability has to be between 0 and 1, but got %g", p)
  end
  self.p, self.inplace = p, inplace
end

function Dropout:forward(x)
  local slots = self._slots
  if not slots.training then return x end
  return dropout(x, slots.p, true)
end

function Dropout:extra_repr()
  return ("p=%s, inplace=%s"):format(text.value(self.p), tostring(self.inplace))
end

return {Dropout = Dropout}
