-- Gathering and scattering at sizes where the work is cut up: one large call gives what many small
-- ones give, duplicates are added or written in order, and derivatives know which write stayed.
local H = require "spec.helper"
local torch = H.torch

local function same(a, b) return a:eq(b):all():item() end

-- (k * mul) mod m, for k = 0, 1, ...
local function numbers(mul, m, ...)
  local n = 1
  for _, s in ipairs { ... } do n = n * s end
  return ((torch.arange(n) * mul) % m):view(...)
end

local function positions(n, ...) return numbers(7919, n, ...) + 1 end

-- write(x, i, v) in one call and in pieces of `step` along dimension d of i and v
local function agrees(x, d, i, v, step, write)
  local whole, parts = x:clone(), x:clone()
  write(whole, i, v)
  for from = 1, i:size(i.ndim == 1 and 1 or d), step do
    local n = math.min(step, i:size(i.ndim == 1 and 1 or d) - from + 1)
    write(parts, i:narrow(i.ndim == 1 and 1 or d, from, n), v:narrow(d, from, n))
  end
  assert.is_true(same(whole, parts))
end

describe("index_add and index_copy", function()
  for name, write in pairs {
    add = function(d) return function(x, i, v) x:index_add_(d, i, v) end end,
    copy = function(d) return function(x, i, v) x:index_copy_(d, i, v) end end,
  } do
    it("in one call as in many: " .. name, function()
      agrees(numbers(1, 5, 1000, 64), 1, positions(1000, 20000), numbers(31, 101, 20000, 64), 100, write(1))
      agrees(numbers(1, 5, 5, 1000), 2, positions(1000, 20000), numbers(31, 101, 5, 20000), 500, write(2))
      agrees(numbers(1, 5, 64, 1000), 2, positions(1000, 5000), numbers(31, 101, 64, 5000), 100, write(2))
      agrees(numbers(1, 5, 3, 40000), 1, positions(3, 20), numbers(31, 101, 20, 40000), 1, write(1))
    end)
  end
end)

describe("scatter and scatter_add", function()
  for name, write in pairs {
    scatter_add = function(d) return function(x, i, v) x:scatter_add_(d, i, v) end end,
    scatter = function(d) return function(x, i, v) x:scatter_(d, i, v) end end,
  } do
    it("in one call as in many: " .. name, function()
      agrees(numbers(1, 5, 100, 800), 1, positions(100, 300, 800), numbers(31, 101, 300, 800), 7, write(1))
      agrees(numbers(1, 5, 800, 100), 2, positions(100, 800, 300), numbers(31, 101, 800, 300), 7, write(2))
      agrees(numbers(1, 5, 9, 50, 30), 2, positions(50, 9, 300, 30), numbers(31, 101, 9, 300, 30), 40, write(2))
    end)
  end
end)

describe("index_put", function()
  for _, accumulate in ipairs { true, false } do
    it("in one call as in many, accumulate = " .. tostring(accumulate), function()
      local function write(x, i, v) x:index_put_({ i, (i * 31) % 400 + 1 }, v, accumulate) end
      agrees(numbers(1, 9, 300, 400), 1, positions(300, 100000), numbers(3, 11, 100000), 5000, write)
      agrees(numbers(1, 9, 400, 300):t(), 1, positions(300, 100000), numbers(3, 11, 100000), 5000, write)
    end)
  end

  it("gives the gradient to the write that stays", function()
    local v = torch.tensor({ 1, 2, 3, 4 }, { dtype = torch.float64, requires_grad = true })
    local x = torch.zeros(3, { dtype = torch.float64, requires_grad = true })
    local i = torch.tensor({ 1, 3, 1, -1 }, { dtype = torch.int64 })
    local y = x:index_put({ i }, v)
    H.close(y, { 3, 0, 4 })
    ;(y * torch.tensor({ 5, 6, 7 }, { dtype = torch.float64 })):sum():backward()
    H.close(v.grad, { 0, 0, 5, 7 })
    H.close(x.grad, { 0, 6, 0 })
  end)

  it("copies values that lie in what is written", function()
    local x = torch.arange(1, 6)
    x[torch.tensor({ 5, 4, 3, 2, 1 }, { dtype = torch.int64 })] = x
    H.close(x, { 5, 4, 3, 2, 1 })
    local m = torch.arange(1, 5):view(2, 2)
    H.raises(function() m:scatter_(1, torch.ones(2, 2):long(), m) end, "single memory location")
    H.close(m, { { 1, 2 }, { 3, 4 } })
  end)

  it("leaves everything as it was when a position is wrong", function()
    local x = numbers(1, 5, 1000, 64)
    local before = x:clone()
    local i = positions(1000, 20000)
    i[20000] = 1001
    H.raises(function() x:index_add_(1, i, numbers(31, 101, 20000, 64)) end, "index 1001", "size 1000")
    H.raises(function() x:index_put_({ i }, numbers(31, 101, 64)) end, "index 1001", "size 1000")
    H.raises(function() x:scatter_(1, i:view(-1, 1), 0) end, "index 1001", "size 1000")
    H.raises(function() x:index_fill_(1, i, 0) end, "index 1001", "size 1000")
    assert.is_true(same(x, before))
  end)
end)

describe("_gather_rows", function()
  local rows = require("moontorch.core").call_hidden
  it("converts, scales and shifts as three ops would", function()
    local data = torch.randint(0, 256, { 500, 7, 9 }, { dtype = torch.uint8 })
    local i = positions(500, 333)
    local want = data[i]:float() * 0.25 + 3
    assert.is_true(same(rows("_gather_rows", data, i, torch.float32, 0.25, 3), want))
    assert.is_true(same(rows("_gather_rows", data:transpose(2, 3), i, torch.float32, 0.25, 3), want:transpose(2, 3)))
    assert.is_true(same(rows("_gather_rows", data, i, torch.float64, 0.25, 3), want:double()))
    assert.is_true(same(rows("_gather_rows", data, i), data[i]))
    assert.is_true(same(rows("_gather_rows", data, i, torch.float16), data[i]:half()))
    H.raises(function() rows("_gather_rows", data, torch.tensor({ 501 }, { dtype = torch.int64 })) end, "index 501")
    H.raises(function() rows("_gather_rows", data, i, torch.int32, 2) end, "floating dtype")
  end)
end)
