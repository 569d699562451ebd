-- vision/init.lua: torch.vision.

local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

local function lazy(name, files)
  return setmetatable({}, {
    __index = function(self, key)
      local file = files[key]
      if not file then
        local names = {}
        for known in pairs(files) do names[#names + 1] = known end
        fail("%s has no '%s'%s", name, tostring(key), suggest.suggestion(tostring(key), names))
      end
      local value = type(file) == "table" and file or require(file)[key]
      rawset(self, key, value)
      return value
    end,
  })
end

local files = {
  ImageDataset = "moontorch.vision.images",
  MNIST = "moontorch.vision.mnist",
  SyntheticDigits = "moontorch.vision.digits",
}
local datasets = lazy("torch.vision.datasets", files)

-- The data sets are in torch.vision.datasets, as in torchvision, and in torch.vision itself.
return lazy("torch.vision", setmetatable({datasets = datasets}, {__index = files}))
