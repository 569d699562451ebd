-- vision/images.lua: a set of labelled grey images that stay uint8 until they are in a batch.
--
-- Labels are classes 1..C, and classes[label] is the class's name. What comes out is float32 in
-- [0, 1], or (pixel - mean) / std where those are given.

local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local Dataset = require("moontorch.data.dataset").Dataset

---@class torch.vision.ImageDataset : torch.data.Dataset
---@field data torch.Tensor uint8 (n, height, width)
---@field targets torch.Tensor int64 (n), 1..C
---@field classes string[]
local ImageDataset = class.class("vision.ImageDataset", Dataset)

--- options: mean and std normalise pixels that were scaled to [0, 1]; transform(image) gets the
--- float image (1, height, width) and returns another one (then samples are made one by one);
--- target_transform(label) likewise.
---@param data torch.Tensor uint8 (n, height, width)
---@param targets torch.Tensor int64 (n)
---@param classes string[]
---@param options? {mean: number, std: number, transform: function, target_transform: function}
function ImageDataset:__init(data, targets, classes, options)
  options = options or {}
  if data:dim() ~= 3 or data.dtype ~= core.dtypes.uint8 then
    fail("ImageDataset: images must be uint8 of shape (n, height, width), got %s %s",
      tostring(data.dtype), tostring(data:size()))
  end
  if targets:dim() ~= 1 or targets:size(1) ~= data:size(1) then
    fail("ImageDataset: %d images, but labels of shape %s", data:size(1), tostring(targets:size()))
  end
  self.data, self.targets, self.classes = core.keep(data), core.keep(targets), classes
  self.mean, self.std = options.mean or 0, options.std or 1
  self.transform, self.target_transform = options.transform, options.target_transform
  if self.transform or self.target_transform then self.get_batch = false end
end

function ImageDataset:len()
  return self.data:size(1)
end

-- The images at the given positions as the floats that come out: one op gathers, converts,
-- scales and shifts.
local function images_at(self, positions)
  return core.hidden._gather_rows(self.data, positions, core.dtypes.float32,
    1 / (255 * self.std), -self.mean / self.std)
end

--- Sample i: a float32 image (1, height, width) and its label, a number.
---@param i integer
---@return torch.Tensor image
---@return integer label
function ImageDataset:get(i)
  local n = self:len()
  if type(i) ~= "number" or i % 1 ~= 0 or i < 1 or i > n then
    fail("%s:get: sample %s is out of range 1..%d", getmetatable(self).__typename, tostring(i), n)
  end
  local image = images_at(self, core.tensor({i}, {dtype = core.dtypes.int64}))
  local label = self.targets[i]:item()
  if self.transform then image = self.transform(image) end
  if self.target_transform then label = self.target_transform(label) end
  return image, label
end

--- Images float32 (n, 1, height, width) and labels int64 (n) at the given positions.
---@param positions torch.Tensor int64 (n)
---@return torch.Tensor images
---@return torch.Tensor labels
function ImageDataset:get_batch(positions)
  return images_at(self, positions):unsqueeze(2), self.targets:index_select(1, positions)
end

return {ImageDataset = ImageDataset}
