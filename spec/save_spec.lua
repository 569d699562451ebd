-- torch.save and torch.load: what goes in comes out; files that were cut or changed raise, and do
-- nothing worse.
local H = require "spec.helper"
local torch = H.torch

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("*a")
  f:close()
  return text
end

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local function sample()
  return {
    numbers = { 1, 2.5, -0.0, math.huge }, text = "words\0and bytes\255", yes = true,
    weight = torch.tensor({ { 1, 2 }, { 3, 4 } }), [7] = torch.tensor({ 1, 2, 3 }, { dtype = torch.int64 }),
    half = torch.ones(3):half(), flags = torch.tensor { true, false }, scalar = torch.tensor(4.5),
    empty = torch.zeros(0, 3), view = torch.arange(1, 13):view(3, 4):t()[{ { 2, 3 } }],
  }
end

describe("save and load", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  it("give the same tables, numbers, strings and tensors", function()
    local x = sample()
    torch.save(x, path)
    local y = torch.load(path)
    assert.same(x.numbers, y.numbers)
    assert.equals(x.text, y.text)
    assert.is_true(y.yes)
    for _, key in ipairs { "weight", 7, "half", "flags", "scalar", "empty", "view" } do
      H.same(y[key], x[key], tostring(key))
    end
  end)

  it("keep every dtype", function()
    for _, name in ipairs { "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16",
      "float32", "float64" } do
      local x = torch.tensor({ 1, 0, 1 }, { dtype = torch[name] })
      torch.save(x, path)
      H.same(torch.load(path), x, name)
    end
  end)

  it("keep a model's state", function()
    local nn = torch.nn
    local a = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    local b = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    torch.save(a:state_dict(), path)
    b:load_state_dict(torch.load(path))
    local x = torch.randn(5, 4)
    H.same(b(x):detach(), a(x):detach())
  end)

  it("keep what is shared shared", function()
    local x = torch.ones(4)
    torch.save({ a = x, b = x }, path)
    local y = torch.load(path)
    y.a:fill_(2)
    H.close(y.b, { 2, 2, 2, 2 })
  end)

  it("refuse what cannot be saved, and leave the old file alone", function()
    torch.save({ 1 }, path)
    local before = read(path)
    H.raises(function() torch.save({ f = print }, path) end, "function")
    assert.equals(before, read(path))
  end)

  it("say which file is not there", function()
    H.raises(function() torch.load("/nonexistent/file.mt") end, "/nonexistent/file.mt")
  end)

  it("raise on a file that was cut, at every byte", function()
    torch.save(sample(), path)
    local text = read(path)
    for n = 0, #text - 1 do
      write(path, text:sub(1, n))
      local ok = pcall(torch.load, path)
      assert.is_false(ok, ("cut to %d of %d bytes, it loads"):format(n, #text))
    end
  end)

  it("survive changed bytes: they raise or give other values, never more memory than the file", function()
    torch.save(sample(), path)
    local text = read(path)
    local state = 12345
    local function random(n)
      state = state * 16807 % 2147483647
      return state % n
    end
    H.collect()
    torch.reset_peak_memory_stats()
    local live = torch.memory_stats().live
    for _ = 1, 3000 do
      local at = random(#text) + 1
      local bytes = text:sub(1, at - 1) .. string.char(random(256)) .. text:sub(at + 1)
      if random(3) == 0 then
        at = random(#text) + 1
        bytes = bytes:sub(1, at - 1) .. string.char(random(256), random(256), 255) .. bytes:sub(at + 3)
      end
      write(path, bytes)
      pcall(torch.load, path)
    end
    assert.is_true(torch.memory_stats().peak - live < 64 * 2 ^ 20)
  end)

  it("survive files of random bytes", function()
    local state = 99
    for _ = 1, 300 do
      local bytes = {}
      for k = 1, 200 do
        state = state * 16807 % 2147483647
        bytes[k] = string.char(state % 256)
      end
      write(path, table.concat(bytes))
      assert.is_false((pcall(torch.load, path)))
    end
  end)

  it("leave nothing alive", function()
    H.leaves_nothing(function()
      torch.save(sample(), path)
      torch.load(path)
    end)
  end)
end)
