-- Datasets, loaders, the image sets, and the progress bar.
local H = require "spec.helper"
local torch = H.torch
local data = torch.data

local function long(list) return torch.tensor(list, { dtype = torch.int64 }) end

local Squares = torch.class("Squares", data.Dataset)
function Squares:len() return 7 end
function Squares:get(i) return torch.tensor { i, -i }, i * i end

describe("datasets", function()
  it("slice tensors", function()
    local set = data.TensorDataset(torch.arange(12):view(4, 3), torch.arange(4))
    assert.equals(4, set:len())
    local x, y = set:get(2)
    H.same(x, long { 3, 4, 5 })
    assert.equals(1, y:item())
    H.raises(function() set:get(0) end, "data_spec.lua:", "sample 0 is out of range 1..4")
    H.raises(function() data.TensorDataset(torch.ones(2), torch.ones(3)) end, "size mismatch")
  end)

  it("take parts, join, and split", function()
    local set = data.TensorDataset(torch.arange(10))
    local part = data.Subset(set, { 3, 1 })
    assert.equals(2, part:get(1):item())
    H.same((part:get_batch(long { 2, 1 })), long { 0, 2 })
    local all = data.ConcatDataset { part, Squares(), part }
    assert.equals(11, all:len())
    assert.equals(49, select(2, all:get(9)))
    assert.equals(2, all:get(10):item())
    local a, b = unpack(data.random_split(set, { 7, 3 }))
    assert.equals(7, a:len())
    local seen = {}
    for _, p in ipairs { a, b } do
      for i = 1, p:len() do seen[p:get(i):item()] = true end
    end
    for i = 0, 9 do assert.is_true(seen[i]) end
    assert.equals(3, #data.random_split(set, { 0.5, 0.25, 0.25 }))
    H.raises(function() data.random_split(set, { 7, 4 }) end, "sum to 11")
  end)
end)

describe("DataLoader", function()
  it("batches in order, and drops the last one where asked", function()
    local set = data.TensorDataset(torch.arange(7), torch.arange(7):float():view(7, 1))
    local loader = data.DataLoader(set, { batch_size = 3 })
    assert.equals(3, loader:len())
    local sizes = {}
    for i, x, y in loader:iter() do
      sizes[i] = x:size(1)
      H.same(x, y:view(-1):long())
    end
    assert.same({ 3, 3, 1 }, sizes)
    assert.equals(2, data.DataLoader(set, { batch_size = 3, drop_last = true }):len())
    local count = 0
    for _ in data.DataLoader(set, { batch_size = 3, drop_last = true }):iter() do count = count + 1 end
    assert.equals(2, count)
  end)

  it("shuffles anew each epoch, by a generator", function()
    local set = data.TensorDataset(torch.arange(50))
    local function epoch(loader)
      local parts = {}
      for _, x in loader:iter() do parts[#parts + 1] = x end
      return torch.cat(parts)
    end
    local function loader(seed)
      return data.DataLoader(set, { batch_size = 8, shuffle = true, generator = torch.Generator():manual_seed(seed) })
    end
    local one = loader(1)
    local first, second = epoch(one), epoch(one)
    assert.is_false(torch.equal(first, second))
    H.same(epoch(loader(1)), first)
    H.same((first:sort()), torch.arange(50))
  end)

  it("collates samples of one's own datasets", function()
    for i, x, y in data.DataLoader(Squares(), { batch_size = 4 }):iter() do
      if i == 1 then
        H.close(x, { { 1, -1 }, { 2, -2 }, { 3, -3 }, { 4, -4 } })
        H.same(y, long { 1, 4, 9, 16 })
      end
    end
    local Named = torch.class("Named", data.Dataset)
    function Named:len() return 3 end
    function Named:get(i) return { image = torch.full({ 2 }, i), score = i / 2, name = "n" .. i, ok = i > 1 } end
    for i, batch in data.DataLoader(Named(), { batch_size = 3 }):iter() do
      assert.equals(1, i)
      assert.same({ 3, 2 }, { unpack(batch.image:size()) })
      H.close(batch.score, { 0.5, 1, 1.5 })
      assert.same({ "n1", "n2", "n3" }, batch.name)
      H.same(batch.ok, torch.tensor { false, true, true })
    end
    local function collate(list) return #list, list[1][2] end
    local loader = data.DataLoader(Squares(), { batch_size = 3, collate_fn = collate })
    for i, n, first in loader:iter() do
      if i == 2 then assert.same({ 3, 16 }, { n, first }) end
    end
  end)

  it("iterates what only has iter", function()
    local Stream = torch.class("Stream")
    function Stream:iter()
      local i = 0
      return function() i = i + 1 if i <= 5 then return i end end
    end
    local batches = {}
    for i, x in data.DataLoader(Stream(), { batch_size = 2 }):iter() do batches[i] = x:tolist() end
    assert.same({ { 1, 2 }, { 3, 4 }, { 5 } }, batches)
  end)

  it("says what is wrong", function()
    H.raises(function() data.DataLoader(3) end, "data_spec.lua:", "expected a dataset")
    H.raises(function() data.DataLoader(Squares(), { batch_size = 0 }) end, "positive")
    H.raises(function() data.DataLoader(Squares(), { num_workers = 2 }) end, "num_workers must be 0")
    H.raises(function() data.DataLoader(Squares(), { batchsize = 2 }) end, "batchsize", "batch_size")
  end)
end)

-- An IDX file of bytes: zero, zero, type 8, dims, sizes big-endian, bytes.
local function write_idx(path, sizes, bytes)
  local f = assert(io.open(path, "wb"))
  f:write("\0\0\8", string.char(#sizes))
  for _, n in ipairs(sizes) do
    f:write(string.char(math.floor(n / 2 ^ 24) % 256, math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256))
  end
  f:write(bytes)
  f:close()
end

describe("image sets", function()
  it("read MNIST's files, classes from 1, pixels from 0 to 1", function()
    local dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir -p " .. dir)
    write_idx(dir .. "/train-images-idx3-ubyte", { 2, 2, 2 }, string.char(0, 255, 51, 0, 255, 255, 255, 255))
    write_idx(dir .. "/train-labels-idx1-ubyte", { 2 }, string.char(0, 9))
    local MNIST = torch.vision.datasets.MNIST
    local set = MNIST(dir)
    assert.equals(2, set:len())
    local image, label = set:get(1)
    H.close(image, { { { 0, 1 }, { 0.2, 0 } } })
    assert.equals("0", set.classes[label])
    local x, y = set:get_batch(long { 2, 1 })
    assert.same({ 2, 1, 2, 2 }, { unpack(x:size()) })
    H.same(y, long { 10, 1 })
    assert.equals("9", set.classes[10])
    local normalized = MNIST(dir, true, { mean = 0.5, std = 0.25 })
    H.close((normalized:get(1)), { { { -2, 2 }, { -1.2, -2 } } }, { rtol = 1e-5, atol = 1e-6 })
    local changed = MNIST(dir, {
      transform = function(im) return im * 2 end, target_transform = function(l) return l + 1 end,
    })
    for _, a, b in data.DataLoader(changed, { batch_size = 2 }):iter() do
      H.close(a[1], { { { 0, 2 }, { 0.4, 0 } } })
      H.same(b, long { 2, 11 })
    end
    H.raises(function() MNIST(dir, false) end, "data_spec.lua:", "t10k-images-idx3-ubyte", "download")
    os.execute("rm -r " .. dir)
  end)

  it("draw digits, the same for a seed", function()
    local Digits = torch.vision.datasets.SyntheticDigits
    local a, b, c = Digits(50, { seed = 3 }), Digits { n = 50, seed = 3 }, Digits(50, { seed = 4 })
    H.same(a.data, b.data)
    H.same(a.targets, b.targets)
    assert.is_false(torch.equal(a.data, c.data))
    assert.equals(torch.uint8, a.data.dtype)
    local ink = a.data:float():mean():item()
    assert.is_true(ink > 15 and ink < 80, ink)
    assert.is_true(a.targets:min():item() >= 1 and a.targets:max():item() <= 10)
  end)
end)

describe("progress", function()
  local function capture(options)
    local parts = {}
    options.stream = { write = function(_, ...) parts[#parts + 1] = table.concat { ... } end, flush = function() end }
    return parts, options
  end

  it("draws a bar on a terminal and takes it away", function()
    local parts, options = capture { terminal = true, width = 60 }
    local bar = torch.progress(10, "epoch 1", options)
    bar.drawn = 0
    bar:update(5, { loss = 0.25 })
    assert.truthy(parts[1]:find("^\repoch 1  %[#+%.+%]  5/10"))
    assert.truthy(parts[1]:find("loss 0.25", 1, true))
    assert.is_true(#parts[1] <= 61)
    bar:finish()
    assert.truthy(parts[2]:find("^\r +\r$"))
  end)

  it("writes plain lines now and then elsewhere", function()
    local parts, options = capture { terminal = false }
    local bar = torch.progress(10, "epoch 1", options)
    bar:update(1)
    assert.equals(0, #parts)
    bar.drawn = bar.drawn - 11
    bar:update(2)
    assert.truthy(parts[1]:find("^epoch 1  2/10 .*\n$"))
    bar:finish()
    assert.equals(1, #parts)
  end)
end)
