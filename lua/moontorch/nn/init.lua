-- nn/init.lua: torch.nn. A name is loaded when it is first asked for.

local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

---@class torch.nn
local nn = {}

local modules = {
  functional = "moontorch.nn.functional",
  init = "moontorch.nn.initial",
  utils = "moontorch.nn.utils",
}

local files = {
  activation = {
    "ReLU", "Tanh", "Sigmoid", "GELU", "SiLU", "LeakyReLU", "ELU", "Softplus", "Softmax",
    "LogSoftmax",
  },
  container = {"Sequential", "ModuleList"},
  conv = {"Conv2d"},
  dropout = {"Dropout"},
  embedding = {"Embedding"},
  linear = {"Linear", "Identity"},
  loss = {
    "CrossEntropyLoss", "NLLLoss", "MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss",
    "BCEWithLogitsLoss",
  },
  normalization = {"LayerNorm"},
  parameter = {"Parameter", "Buffer"},
  pooling = {"MaxPool2d", "AvgPool2d"},
  shape = {"Flatten", "Unflatten"},
}

local file_of = {}
for file, names in pairs(files) do
  for _, name in ipairs(names) do file_of[name] = file end
end

setmetatable(nn, {
  __index = function(self, name)
    local value
    if name == "Module" then
      value = require "moontorch.nn.base"
    elseif modules[name] then
      value = require(modules[name])
    elseif file_of[name] then
      value = require("moontorch.nn." .. file_of[name])[name]
    else
      local names = {"Module"}
      for known in pairs(modules) do names[#names + 1] = known end
      for known in pairs(file_of) do names[#names + 1] = known end
      fail("torch.nn has no '%s'%s", tostring(name), suggest.suggestion(tostring(name), names))
    end
    rawset(self, name, value)
    return value
  end,
})

return nn
