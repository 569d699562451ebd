-- linalg.lua: torch.linalg, the ops of linear algebra that PyTorch keeps under that name.

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

return setmetatable({}, {
  __index = function(self, name)
    local op = core.ops[name]
    if op and core.op_info(name).linalg then
      rawset(self, name, op)
      return op
    end
    local names = {}
    for candidate in pairs(core.ops) do
      if core.op_info(candidate).linalg then names[#names + 1] = candidate end
    end
    return fail("torch.linalg has no '%s'%s", tostring(name),
      suggest.suggestion(tostring(name), names))
  end,
})
