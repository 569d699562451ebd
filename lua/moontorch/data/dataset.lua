-- data/dataset.lua: datasets.
--
-- A dataset is any object with `:len()` and `:get(i)`, i from 1, which returns one sample as
-- several values or as one table of named fields. One that can make a whole batch at once has
-- `:get_batch(positions)`, too: positions is a 1-D int64 tensor, and what comes back is what
-- collating the samples would give. The loader uses it where it is there.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"

---@class torch.data.Dataset
local Dataset = class.class("data.Dataset")

--- How many samples there are. To be overridden.
---@return integer
function Dataset:len()
  return fail("%s has no len method", getmetatable(self).__typename)
end

--- Sample i, 1..len(). To be overridden.
---@param i integer
function Dataset:get(i) -- luacheck: ignore i
  return fail("%s has no get method", getmetatable(self).__typename)
end

local function check_position(self, i)
  local n = self:len()
  if type(i) ~= "number" or i % 1 ~= 0 or i < 1 or i > n then
    fail("%s:get: sample %s is out of range 1..%d", getmetatable(self).__typename, tostring(i), n)
  end
end

-- ---- TensorDataset ----

---@class torch.data.TensorDataset : torch.data.Dataset
local TensorDataset = class.class("data.TensorDataset", Dataset)

--- Samples are slices of tensors along their first dimension, which all have the same size.
---@param ... torch.Tensor separately or as one list
function TensorDataset:__init(...)
  local tensors = {...}
  if #tensors == 1 and type(tensors[1]) == "table" and not core.is_tensor(tensors[1]) then
    tensors = tensors[1]
  end
  if #tensors == 0 then fail("TensorDataset: needs at least one tensor") end
  for i, x in ipairs(tensors) do
    if not core.is_tensor(x) then fail("TensorDataset: item %d is a %s", i, type(x)) end
    if x:dim() == 0 or x:size(1) ~= tensors[1]:size(1) then
      fail("TensorDataset: size mismatch between tensors: item %d has shape %s, the first %s", i,
        tostring(x:size()), tostring(tensors[1]:size()))
    end
    core.keep(x)
  end
  self.tensors = tensors
end

function TensorDataset:len()
  return self.tensors[1]:size(1)
end

function TensorDataset:get(i)
  check_position(self, i)
  local values = {}
  for k, x in ipairs(self.tensors) do values[k] = x[i] end
  return unpack(values)
end

--- One gather a tensor.
---@param positions torch.Tensor
function TensorDataset:get_batch(positions)
  local tensors = self.tensors
  if #tensors == 2 then
    return tensors[1]:index_select(1, positions), tensors[2]:index_select(1, positions)
  end
  local values = {}
  for k, x in ipairs(tensors) do values[k] = x:index_select(1, positions) end
  return unpack(values)
end

-- ---- Subset ----

---@class torch.data.Subset : torch.data.Dataset
local Subset = class.class("data.Subset", Dataset)

-- The subset makes whole batches where the dataset does; otherwise it has no get_batch.
local function subset_batch(self, positions)
  return self.dataset:get_batch(self.indices:index_select(1, positions))
end

--- The samples of a dataset at the given positions, in that order.
---@param dataset table
---@param indices torch.Tensor|integer[] from 1
function Subset:__init(dataset, indices)
  if not core.is_tensor(indices) then
    if type(indices) ~= "table" then
      fail("Subset: indices must be a list or a tensor, got %s", type(indices))
    end
    indices = #indices == 0 and core.ops.empty({0}, {dtype = core.dtypes.int64})
      or core.tensor(indices, {dtype = core.dtypes.int64})
  end
  if indices:dim() ~= 1 then fail("Subset: indices must have one dimension") end
  self.dataset, self.indices = dataset, core.keep(indices:to(core.dtypes.int64))
  if dataset.get_batch then self.get_batch = subset_batch end
end

function Subset:len()
  return self.indices:size(1)
end

function Subset:get(i)
  check_position(self, i)
  return self.dataset:get(self.indices[i]:item())
end

-- ---- ConcatDataset ----

---@class torch.data.ConcatDataset : torch.data.Dataset
local ConcatDataset = class.class("data.ConcatDataset", Dataset)

--- Datasets one after the other.
---@param datasets table[]
function ConcatDataset:__init(datasets)
  if type(datasets) ~= "table" or #datasets == 0 then
    fail("ConcatDataset: datasets should be a list of at least one dataset")
  end
  self.datasets = datasets
  self.ends = {}
  local total = 0
  for i, dataset in ipairs(datasets) do
    total = total + dataset:len()
    self.ends[i] = total
  end
end

function ConcatDataset:len()
  return self.ends[#self.ends]
end

function ConcatDataset:get(i)
  check_position(self, i)
  local low, high = 1, #self.ends
  while low < high do
    local middle = math.floor((low + high) / 2)
    if i <= self.ends[middle] then high = middle else low = middle + 1 end
  end
  return self.datasets[low]:get(i - (low > 1 and self.ends[low - 1] or 0))
end

-- ---- random_split ----

-- Lengths from fractions that sum to 1: the rest goes to the first ones, one each.
local function lengths_of(fractions, n)
  local lengths, total = {}, 0
  for i, fraction in ipairs(fractions) do
    if fraction < 0 or fraction > 1 then
      fail("random_split: fraction %d is not between 0 and 1", i)
    end
    lengths[i] = math.floor(n * fraction)
    total = total + lengths[i]
  end
  for i = 0, n - total - 1 do
    local k = i % #lengths + 1
    lengths[k] = lengths[k] + 1
  end
  return lengths
end

local read_split = args.signature("random_split(any dataset, list lengths, generator? generator)")

--- Parts of a dataset drawn at random without overlap: `lengths` are counts that sum to its
--- length, or fractions that sum to 1.
---@param ... any dataset, lengths, generator
---@return torch.data.Subset[]
local function random_split(...)
  local dataset, lengths, generator = read_split(...)
  local n, sum = dataset:len(), 0
  for _, length in ipairs(lengths) do sum = sum + length end
  if math.abs(sum - 1) < 1e-9 and n ~= 1 then
    lengths = lengths_of(lengths, n)
  elseif sum ~= n then
    fail("random_split: the lengths sum to %g, the dataset has %d samples", sum, n)
  end
  local order = core.ops.randperm(n, {generator = generator})
  local parts, start = {}, 1
  for i, length in ipairs(lengths) do
    parts[i] = Subset(dataset, order:narrow(1, start, length))
    start = start + length
  end
  return parts
end

return {
  Dataset = Dataset, TensorDataset = TensorDataset, Subset = Subset,
  ConcatDataset = ConcatDataset, random_split = random_split,
}
