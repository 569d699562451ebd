-- data/init.lua: torch.data, datasets and loaders.

local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

local files = {
  ConcatDataset = "moontorch.data.dataset",
  DataLoader = "moontorch.data.loader",
  Dataset = "moontorch.data.dataset",
  Subset = "moontorch.data.dataset",
  TensorDataset = "moontorch.data.dataset",
  default_collate = "moontorch.data.collate",
  random_split = "moontorch.data.dataset",
}

return setmetatable({}, {
  __index = function(self, name)
    if not files[name] then
      local names = {}
      for known in pairs(files) do names[#names + 1] = known end
      fail("torch.data has no '%s'%s", tostring(name), suggest.suggestion(tostring(name), names))
    end
    local value = require(files[name])[name]
    rawset(self, name, value)
    return value
  end,
})
