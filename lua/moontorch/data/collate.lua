-- data/collate.lua: samples into a batch.
--
-- Tensors are stacked. Numbers become a tensor: int64 where every one so far was whole, the
-- default float dtype from the first other one on. Booleans become a bool tensor. Tables of
-- tensors, numbers, ... are collated field by field; strings and all else stay a list.

local core = require "moontorch.core"
local fail = require "moontorch.fail"

local collate_field

local function number_tensor(values, memory)
  if not memory.fractions then
    for _, v in ipairs(values) do
      if type(v) == "number" and v % 1 ~= 0 then
        memory.fractions = true
        break
      end
    end
  end
  local dtype = not memory.fractions and core.dtypes.int64 or core.get_default_dtype()
  return core.tensor(values, {dtype = dtype})
end

local function collate_tables(values, memory)
  local result = {}
  for key in pairs(values[1]) do
    local field = {}
    for i, v in ipairs(values) do
      if v[key] == nil then
        fail("DataLoader: sample %d of the batch lacks the field '%s'", i, tostring(key))
      end
      field[i] = v[key]
    end
    memory[key] = memory[key] or {}
    result[key] = collate_field(field, memory[key])
  end
  return result
end

-- values: one field of all samples; memory: what is remembered of this field between batches
function collate_field(values, memory)
  local first = values[1]
  if core.is_tensor(first) then return core.ops.stack(values) end
  local t = type(first)
  if t == "number" or t == "cdata" then return number_tensor(values, memory) end
  if t == "boolean" then return core.tensor(values) end
  if t == "table" and getmetatable(first) == nil then return collate_tables(values, memory) end
  return values
end

--- Collates samples, each a list of values ({n = count, ...}).
---@param samples table[]
---@param memory table kept between batches
---@return ... one value a field
local function collate_samples(samples, memory)
  local n = samples[1].n
  local fields = {}
  for k = 1, n do
    local values = {}
    for i, sample in ipairs(samples) do
      if sample.n ~= n then
        fail("DataLoader: sample %d of the batch has %d values, the first %d", i, sample.n, n)
      end
      values[i] = sample[k]
    end
    memory[k] = memory[k] or {}
    fields[k] = collate_field(values, memory[k])
  end
  return unpack(fields, 1, n)
end

--- What DataLoader does with a list of samples by default; each sample is one value (a table of
--- fields is collated by field).
---@param samples any[]
---@return any
local function default_collate(samples)
  if type(samples) ~= "table" or #samples == 0 then
    fail("default_collate: expected a list of samples")
  end
  return collate_field(samples, {})
end

return {collate_samples = collate_samples, default_collate = default_collate}
