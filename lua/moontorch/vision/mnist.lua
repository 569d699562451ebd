-- vision/mnist.lua: MNIST from its four IDX files, gzipped or not.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local ImageDataset = require("moontorch.vision.images").ImageDataset

---@class torch.vision.MNIST : torch.vision.ImageDataset
local MNIST = class.class("vision.MNIST", ImageDataset)

local files = {
  [true] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
  [false] = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
}

local function readable(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- The path of one of the files below root, or nil.
local function find(root, name)
  for _, folder in ipairs {root, root .. "/MNIST/raw", root .. "/raw", root .. "/mnist"} do
    for _, ending in ipairs {"", ".gz"} do
      local path = folder .. "/" .. name .. ending
      if readable(path) then return path end
    end
  end
  return nil
end

--- Whether both files of the part are below root.
---@param root string
---@param train boolean
---@return boolean
function MNIST.exists(root, train)
  local names = files[train]
  return find(root, names[1]) ~= nil and find(root, names[2]) ~= nil
end

local read = args.signature("MNIST(string root, bool train=true, *, bool download=false, "
  .. "number? mean, number? std, callable? transform, callable? target_transform)")

--- 28 x 28 grey images of digits, 60,000 to train and 10,000 to test. Labels are classes 1..10;
--- set.classes[label] is the digit's name "0".."9". The files are looked for in root,
--- root/MNIST/raw, root/raw and root/mnist; {download = true} fetches them into root when they
--- are not there. mean and std normalise pixels that were scaled to [0, 1] (usual: 0.1307,
--- 0.3081).
---@param ... any root, train = true, {download, mean, std, transform, target_transform}
function MNIST:__init(...)
  local root, train, download, mean, std, transform, target_transform = read(...)
  if download and not MNIST.exists(root, train) then
    local ok, message = require("moontorch.vision.download").mnist(root)
    if not ok then fail("MNIST: %s", message) end
  end
  local paths = {}
  for i, name in ipairs(files[train]) do
    paths[i] = find(root, name)
    if not paths[i] then
      fail("MNIST: %s (or %s.gz) not found in '%s'; {download = true} fetches it", name, name, root)
    end
  end
  local images, labels = core.read_idx(paths[1]), core.read_idx(paths[2])
  if images:dim() ~= 3 then
    fail("MNIST: %s holds an array of shape %s, not images", paths[1], tostring(images:size()))
  end
  if labels:dim() ~= 1 then
    fail("MNIST: %s holds an array of shape %s, not labels", paths[2], tostring(labels:size()))
  end
  labels = labels:to(core.dtypes.int64):add_(1)
  if labels:numel() > 0 and labels:max():item() > 10 then
    fail("MNIST: %s holds labels beyond 9", paths[2])
  end
  local classes = {}
  for digit = 0, 9 do classes[digit + 1] = tostring(digit) end
  ImageDataset.__init(self, images, labels, classes, {
    mean = mean, std = std, transform = transform, target_transform = target_transform,
  })
end

return {MNIST = MNIST}
