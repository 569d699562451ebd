-- data/loader.lua: DataLoader, batches of a dataset.
--
--     for i, x, y in loader:iter() do ... end
--
-- An epoch's order is one tensor of positions. Where the dataset can make a batch at once
-- (TensorDataset, MNIST and subsets of them), a batch is one gather of a slice of it.

local args = require "moontorch.args"
local class = require "moontorch.class"
local collate = require "moontorch.data.collate"
local core = require "moontorch.core"
local fail = require "moontorch.fail"

---@class torch.data.DataLoader
---@field dataset table
---@field batch_size integer
local DataLoader = class.class("data.DataLoader")

local read = args.signature("DataLoader(any dataset, int batch_size=1, bool shuffle=false, *, "
  .. "callable? collate_fn, bool drop_last=false, generator? generator, int num_workers=0)")

--- Batches of batch_size samples; the last one may be smaller unless drop_last. shuffle draws a
--- new order each epoch, from `generator` or the default one. collate_fn(samples) makes the batch
--- out of a list of samples itself (a sample of several values comes as a list of them).
---@param ... any dataset, batch_size = 1, shuffle = false, collate_fn, drop_last, generator
function DataLoader:__init(...)
  local dataset, batch_size, shuffle, collate_fn, drop_last, generator, workers = read(...)
  if type(dataset) ~= "table" or not (dataset.iter or dataset.len) then
    fail("DataLoader: expected a dataset, which has len and get, or iter; got %s",
      args.kind_of(dataset))
  end
  if not dataset.len and (shuffle or generator) then
    fail("DataLoader: a dataset that is only iterated cannot be shuffled")
  end
  if batch_size < 1 then
    fail("DataLoader: batch_size should be a positive integer, but got %d", batch_size)
  end
  if workers ~= 0 then
    fail("DataLoader: num_workers must be 0 in this version: batches are made in this process")
  end
  self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
  self.collate_fn, self.drop_last, self.generator = collate_fn, drop_last, generator
  self.memory = {}
end

--- How many batches an epoch has.
---@return integer
function DataLoader:len()
  if not self.dataset.len then
    fail("DataLoader: a dataset that is only iterated has no length")
  end
  local n = self.dataset:len() / self.batch_size
  return self.drop_last and math.floor(n) or math.ceil(n)
end

-- The positions of an epoch, in order.
local function epoch_order(self)
  local n = self.dataset:len()
  if self.shuffle then return core.keep(core.ops.randperm(n, {generator = self.generator})) end
  return core.keep(core.ops.arange(1, n + 1))
end

local function pack(...)
  return {n = select("#", ...), ...}
end

-- A batch out of samples, each a list of values.
local function batch_of(self, samples)
  if self.collate_fn then
    for i, sample in ipairs(samples) do
      samples[i] = sample.n == 1 and sample[1] or {unpack(sample, 1, sample.n)}
    end
    return self.collate_fn(samples)
  end
  return collate.collate_samples(samples, self.memory)
end

local function fetch(dataset, positions)
  local samples = {}
  for i, position in ipairs(positions:tolist()) do samples[i] = pack(dataset:get(position)) end
  return samples
end

-- Batches of a dataset that only has iter.
local function stream(self)
  local next_sample, i = self.dataset:iter(), 0
  return function()
    local samples = {}
    while #samples < self.batch_size do
      local sample = pack(next_sample())
      if sample[1] == nil then break end
      samples[#samples + 1] = sample
    end
    if #samples == 0 or self.drop_last and #samples < self.batch_size then return nil end
    i = i + 1
    return i, batch_of(self, samples)
  end
end

--- Iterates one epoch: batch number from 1, then what the samples hold (several values, or one
--- table of named fields).
---@return fun(): integer, ...
function DataLoader:iter()
  local dataset, size = self.dataset, self.batch_size
  if not dataset.len then return stream(self) end
  local count = self:len()
  local n = dataset:len()
  local order = epoch_order(self)
  local at_once = dataset.get_batch and not self.collate_fn
  local i = 0
  return function()
    if i >= count then return nil end
    local start = i * size
    i = i + 1
    local positions = order:narrow(1, start + 1, math.min(size, n - start))
    if at_once then return i, dataset:get_batch(positions) end
    return i, batch_of(self, fetch(dataset, positions))
  end
end

return {DataLoader = DataLoader}
