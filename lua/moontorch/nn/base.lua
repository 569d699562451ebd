-- nn/base.lua: nn.Module with all its methods. What defines classes of modules requires this, so
-- that the methods are there before a class inherits them.

local Module = require "moontorch.nn.module"
require "moontorch.nn.walk"
require "moontorch.nn.state"
require "moontorch.nn.show"

return Module
