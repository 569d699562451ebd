-- optim/init.lua: torch.optim.

local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

local files = {
  Adam = {"moontorch.optim.adam", "Adam"},
  AdamW = {"moontorch.optim.adam", "AdamW"},
  Optimizer = {"moontorch.optim.optimizer"},
  SGD = {"moontorch.optim.sgd"},
  lr_scheduler = {"moontorch.optim.lr_scheduler"},
}

return setmetatable({}, {
  __index = function(self, name)
    local file = files[name]
    if not file then
      local names = {}
      for known in pairs(files) do names[#names + 1] = known end
      fail("torch.optim has no '%s'%s", tostring(name), suggest.suggestion(tostring(name), names))
    end
    local value = require(file[1])
    if file[2] then value = value[file[2]] end
    rawset(self, name, value)
    return value
  end,
})
