-- fail.lua: how the Lua library raises an error.
--
-- Every error of the library carries the position of the *user's* line: the first frame on the
-- stack that lies outside the library. The binding does the same for errors of ops; where a
-- message is raised inside a module's forward, it puts the module's path in front.

local core = require "moontorch.core"

--- Raises `format:format(...)` at the user's line.
---@param format string
---@param ... any
local function fail(format, ...)
  local message = select("#", ...) > 0 and format:format(...) or format
  return core.error(message)
end

return fail
