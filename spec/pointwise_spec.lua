-- What the table-driven spec cannot know of the elementwise ops: special values, promotion,
-- integer rules, errors, and that no path through tiles or threads changes a bit. Expected values
-- are PyTorch's where it has an opinion.
local H = require "spec.helper"
local torch = H.torch
local F = torch.nn.functional
local inf, nan = math.huge, 0 / 0

local function T(list, dtype) return torch.tensor(list, { dtype = torch[dtype or "float32"] }) end
local function check(x, list, dtype)
  H.close(x, list, { rtol = 2e-6, atol = 0 })
  if dtype then assert.equals(dtype, H.dtype(x)) end
end

-- d f / d x at the points of a list
local function slope(fn, list, dtype)
  local x = T(list, dtype):requires_grad_(true)
  return torch.autograd.grad(fn(x):sum(), x)
end

describe("special values", function()
  it("go through exp and log", function()
    check(torch.exp(T { inf, -inf, nan, 89, -104, 0, 88.5 }), { inf, 0, nan, inf, 0, 1, 2.7230877e38 })
    check(torch.log(T { 0, -1, inf, nan, 1, 1e-40 }), { -inf, nan, inf, nan, 0, -92.1034 })
    check(torch.log1p(T { -1, -2, inf, 0, 1e-10, 3e38 }), { -inf, nan, inf, 0, 1e-10, 88.596838 })
    check(torch.expm1(T { -inf, inf, 1e-10, -200 }), { -1, inf, 1e-10, -1 })
    -- the smallest subnormal results
    assert.is_true(torch.exp(T { -103 })[1]:item() > 0)
  end)

  it("go through the sigmoid family", function()
    check(torch.sigmoid(T { inf, -inf, nan, 0, -90 }), { 1, 0, nan, 0.5, 8.194013e-40 })
    check(torch.tanh(T { inf, -inf, nan, 0, 20, 1e-20 }), { 1, -1, nan, 0, 1, 1e-20 })
    check(F.softplus(T { 100, -100, 20.5 }), { 100, 3.783506e-44, 20.5 })
    check(F.logsigmoid(T { -100, 100, 0 }), { -100, -3.783506e-44, -0.6931472 })
  end)

  it("go through sin and cos, however large", function()
    check(torch.sin(T { 1e5, 1e10, 3e38, inf, nan }), { 0.03574880, -0.4875060, 0.8749049, nan, nan })
    check(torch.cos(T { 1e5, 1e10, 3e38, -inf, 0 }), { -0.9993608, 0.8731196, -0.4842948, nan, 1 })
  end)

  it("go through pow as C has it", function()
    check(torch.pow(T { 0, 0, -2, -2, -8, 1, nan, 2, inf, -inf },
      T { 0, -1, 3, 0.5, -1 / 3, nan, 0, -inf, -1, 3 }),
      { 1, inf, -8, nan, nan, 1, 1, 0, 0, -inf })
    check(torch.pow(T { -2, 0, 4 }, 0), { 1, 1, 1 })
    check(2 ^ T { -1, 0.5, 200 }, { 0.5, 1.4142136, inf })
  end)

  it("not a number spreads through maximum, clamp and relu, and not through fmax", function()
    local x, y = T { nan, 1, nan, 2 }, T { 1, nan, nan, 3 }
    check(torch.maximum(x, y), { nan, nan, nan, 3 })
    check(torch.minimum(x, y), { nan, nan, nan, 2 })
    check(torch.fmax(x, y), { 1, 1, nan, 3 })
    check(torch.fmin(x, y), { 1, 1, nan, 2 })
    check(torch.clamp(T { nan, 5, -5 }, -1, 1), { nan, 1, -1 })
    check(torch.relu(T { nan, -1, inf }), { nan, 0, inf })
    check(torch.isnan(x), { 1, 0, 1, 0 }, "bool")
    check(torch.isfinite(T { nan, inf, -inf, 1 }), { 0, 0, 0, 1 }, "bool")
    check(torch.isinf(T { nan, inf, -inf, 1 }), { 0, 1, 1, 0 }, "bool")
  end)

  it("round to even, remainder with the sign of the divisor", function()
    check(torch.round(T { 0.5, 1.5, 2.5, -0.5, -1.5 }), { 0, 2, 2, 0, -2 })
    check(torch.round(T { 1.2345, -1.2355 }, { decimals = 2 }), { 1.23, -1.24 })
    check(torch.round(T { 1250, 1350 }, { decimals = -2 }), { 1200, 1400 })
    check(T { 5, -5, 5, -5 } % T { 3, 3, -3, -3 }, { 2, 1, -1, -2 })
    check(torch.fmod(T { 5, -5, 5, -5 }, T { 3, 3, -3, -3 }), { 2, -2, 2, -2 })
    check(torch.floor_divide(T { 7, -7, 7, 1 }, T { 2, 2, -2, 0 }), { 3, -4, -4, inf })
  end)
end)

describe("derivatives at a kink", function()
  it("are PyTorch's choice", function()
    check(slope(torch.abs, { 0, -1, 2 }), { 0, -1, 1 })
    check(slope(torch.relu, { 0, -1, 2 }), { 0, 0, 1 })
    check(slope(F.relu6, { 0, 6, 3 }), { 0, 0, 1 })
    check(slope(function(x) return torch.clamp(x, -1, 1) end, { -1, 1, 0, 2 }), { 1, 1, 1, 0 })
    check(slope(function(x) return torch.maximum(x, T { 1, 1, 1 }) end, { 1, 0, 2 }), { 0.5, 0, 1 })
    check(slope(function(x) return torch.pow(x, 0) end, { 0, 2 }), { 0, 0 })
    check(slope(function(x) return torch.pow(x, T { 2, 0 }) end, { 0, 0 }), { 0, 0 })
    check(slope(torch.floor, { 0.3, 2 }), { 0, 0 })
  end)

  it("of both sides of maximum share a tie", function()
    local x, y = T { 1 }:requires_grad_(true), T { 1 }:requires_grad_(true)
    local g = torch.autograd.grad(torch.maximum(x, y):sum(), { x, y })
    check(g[1], { 0.5 })
    check(g[2], { 0.5 })
  end)
end)

describe("promotion", function()
  it("follows category and dimension", function()
    local i, f, h = T({ 1, 2 }, "int64"), T { 1, 2 }, T({ 1, 2 }, "float16")
    assert.equals("int64", H.dtype(i + 1))
    assert.equals("float32", H.dtype(i + 0.5))
    assert.equals("float32", H.dtype(i / 2))
    assert.equals("int64", H.dtype(torch.floor_divide(i, 2)))
    assert.equals("float16", H.dtype(h + 1e-3))
    assert.equals("float16", H.dtype(h + torch.tensor(1.5)))
    assert.equals("float32", H.dtype(h + f))
    assert.equals("float16", H.dtype(h + i))
    assert.equals("int64", H.dtype(T({ true, false }, "bool") + 1))
    assert.equals("bool", H.dtype(T({ true, false }, "bool") + T({ true, true }, "bool")))
    assert.equals("float32", H.dtype(torch.exp(i)))
    assert.equals("float32", H.dtype(torch.where(T({ true, false }, "bool"), 1, 0)))
  end)

  it("computes half precision in float32", function()
    local h = T({ 3, 300 }, "float16")
    check(torch.mul(h, h):to(torch.float32), { 9, inf })
    check(torch.sqrt(T({ 2 }, "bfloat16")):to(torch.float32), { 1.4140625 })
  end)
end)

describe("integers", function()
  it("wrap around in their own dtype", function()
    check(T({ 250, 5 }, "uint8") + T({ 10, 1 }, "uint8"), { 4, 6 }, "uint8")
    check(T({ 100, -100 }, "int8") * 2, { -56, 56 }, "int8")
    check(-T({ -128 }, "int8"), { -128 }, "int8")
    check(torch.abs(T({ -2147483648 }, "int32")), { -2147483648 }, "int32")
    check(torch.pow(T({ 3, -2 }, "int64"), T({ 4, 3 }, "int64")), { 81, -8 }, "int64")
    check(torch.floor_divide(T({ -2147483648 }, "int32"), -1), { -2147483648 }, "int32")
  end)

  it("divide by everything but zero, and say so before they write", function()
    local x = T({ 7, -7 }, "int64")
    H.raises(function() return x % 0 end, "division")
    H.raises(function() return torch.floor_divide(x, T({ 1, 0 }, "int64")) end, "division")
    H.raises(function() return x:fmod_(T({ 1, 0 }, "int64")) end, "division")
    H.raises(function() return torch.div(x, 0, { rounding_mode = "trunc" }) end, "division")
    check(x, { 7, -7 }, "int64")
    check(torch.div(T { 1, -1, 0 }, 0), { inf, -inf, nan })
  end)

  it("refuse numbers that do not fit, unless order is all that counts", function()
    local x = T({ 1, 200 }, "uint8")
    H.raises(function() return x + 300 end, "uint8", "overflow")
    H.raises(function() return x:mul_(-300) end, "uint8", "overflow")
    check(x:lt(300), { 1, 1 }, "bool")
    check(x:gt(-1), { 1, 1 }, "bool")
    check(x:clamp(-5, 100), { 1, 100 }, "uint8")
    H.raises(function() return T({ 2 }, "int64") ^ -1 end, "negative integer powers")
    H.raises(function() return torch.add(T({ 2 }, "int64"), T({ 2 }, "int64"), { alpha = 0.5 }) end, "alpha")
    H.raises(function() return T({ true }, "bool") - T({ true }, "bool") end, "bool")
  end)

  it("take no fractions in place", function()
    local x = T({ 1, 2 }, "int64")
    H.raises(function() x:add_(0.5) end, "cast")
    H.raises(function() x:div_(2) end, "cast")
    check(x:mul_(3), { 3, 6 }, "int64")
  end)
end)

describe("shapes", function()
  it("broadcast, and say which sizes do not", function()
    H.raises(function() return torch.ones(2, 3) + torch.ones(2, 4) end, "3", "4", "dimension 2")
    H.raises(function() torch.ones(3):add_(torch.ones(2, 3)) end, "broadcast")
    assert.equals("torch.Size({0, 3})", tostring((torch.ones(0, 3) + torch.ones(3)).shape))
    assert.equals(0, (torch.tensor(1) + torch.tensor(2)).ndim)
  end)

  it("a dense operand's order in memory is kept", function()
    local x = torch.randn(4, 5, 6):permute(3, 1, 2)
    assert.same({ x:stride() }, { (x + 1):stride() })
    assert.same({ x:stride() }, { torch.exp(x):stride() })
    assert.is_true((x + torch.randn(6, 4, 5)):is_contiguous())
  end)
end)

describe("every path gives the same bits", function()
  -- long enough for tiles, tails, threads and stores past the caches
  local n = 2 ^ 20 + 37
  local x = torch.randn(n)
  local ops = { torch.exp, torch.tanh, F.gelu, function(v) return v + v * 2 end,
    function(v) return torch.pow(v, 1.5) end }

  it("wherever an element stands and however many threads there are", function()
    local before = torch.get_num_threads()
    for _, op in ipairs(ops) do
      torch.set_num_threads(1)
      local whole = op(x)
      H.same(op(x:narrow(1, 1000, 777)), whole:narrow(1, 1000, 777))
      H.same(op(x:narrow(1, n - 2, 3)), whole:narrow(1, n - 2, 3))
      torch.set_num_threads(3)
      assert.is_true(torch.equal(torch.isnan(whole), torch.isnan(op(x))))
      local a, b = torch.where(torch.isnan(whole), 0, whole), op(x)
      assert.is_true(torch.equal(a, torch.where(torch.isnan(b), 0, b)))
    end
    torch.set_num_threads(before)
  end)

  it("whatever the layout", function()
    local m = torch.randn(70, 130)
    local wide = torch.randn(70, 260)
    for _, op in ipairs(ops) do
      local plain = op(m:clone())
      local slice = torch.zeros(70, 260):narrow(2, 17, 130)
      slice:copy_(m)
      local function same(a)
        local bits_a = torch.where(torch.isnan(a), 7, a)
        assert.is_true(torch.equal(bits_a, torch.where(torch.isnan(plain), 7, plain)))
      end
      same(op(slice))
      same(op(m:t():contiguous():t()))
    end
    local t = wide:narrow(2, 1, 70)
    assert.is_true(torch.equal(t:t() + t, (t:t():contiguous() + t:contiguous())))
  end)
end)
