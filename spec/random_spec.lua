-- Random numbers: what stands at a place depends on seed, call and place alone, not on layout or
-- threads; ranges, moments and independence are right; dropout's derivative finds its mask again.
local H = require "spec.helper"
local torch = H.torch
local F = torch.nn.functional

local function same(a, b) return a:eq(b):all():item() end

local makers = {
  uniform_ = function(x) return x:uniform_(-1, 2) end,
  normal_ = function(x) return x:normal_(1, 3) end,
  log_normal_ = function(x) return x:log_normal_(0, 0.5) end,
  exponential_ = function(x) return x:exponential_(2) end,
  bernoulli_ = function(x) return x:bernoulli_(0.4) end,
  random_ = function(x) return x:random_(0, 100) end,
  bernoulli = function(x) return torch.bernoulli(x:fill_(0.3)) end,
  multinomial = function(x) return torch.multinomial(x:fill_(1), 10) end,
  dropout = function(x) return F.dropout(x:fill_(1), 0.4) end,
  rand_like = function(x) return torch.rand_like(x) end,
}

local function seeded(f, ...)
  torch.manual_seed(9)
  return f(...)
end

describe("random numbers", function()
  after_each(function() torch.set_num_threads(2) end)

  for name, make in pairs(makers) do
    it("of " .. name .. " hang on the place, not on the layout", function()
      for _, dtype in ipairs { torch.float32, torch.float64, torch.float16 } do
        local options = { dtype = dtype }
        local plain = seeded(make, torch.empty(37, 53, options))
        assert.is_true(same(plain, seeded(make, torch.empty(53, 37, options):t())))
        assert.is_true(same(plain, seeded(make, torch.empty(37, 106, options):narrow(2, 20, 53))))
        assert.is_true(same(plain, seeded(make, torch.empty(37, 53, 2, options):select(3, 2))))
      end
    end)

    it("of " .. name .. " are the same for any number of threads", function()
      local first
      for _, threads in ipairs { 1, 2, 7 } do
        torch.set_num_threads(threads)
        local x = seeded(make, torch.empty(300, 701))
        first = first or x
        assert.is_true(same(first, x))
      end
    end)
  end

  it("of randperm and randint are the same for any number of threads", function()
    local p, r
    for _, threads in ipairs { 1, 2, 7 } do
      torch.set_num_threads(threads)
      local q, s = seeded(torch.randperm, 300001), seeded(torch.randint, -5, 1000000, { 300001 })
      p, r = p or q, r or s
      assert.is_true(same(p, q))
      assert.is_true(same(r, s))
    end
  end)

  it("come again with the seed and differ from call to call", function()
    local a = seeded(torch.rand, 100)
    local b = torch.rand(100)
    assert.is_false(same(a, b))
    assert.is_true(same(a, seeded(torch.rand, 100)))
    assert.is_true(same(b, torch.rand(100)))
  end)

  it("are not used up by a call that fails", function()
    local a = seeded(torch.rand, 10)
    torch.manual_seed(9)
    H.raises(function() torch.bernoulli(torch.tensor { 2 }) end, "within 0..1")
    H.raises(function() torch.randint(3, 3, { 2 }) end, "3 >= 3")
    H.raises(function() torch.multinomial(torch.tensor { 0, 0 }, 1) end, "sum of probabilities")
    assert.is_true(same(a, torch.rand(10)))
  end)

  it("have the right moments", function()
    local n = 200000
    local function check(what, x, mean, variance, fourth)
      x = x:double()
      local m, v = x:mean():item(), x:var():item()
      assert.is_true(math.abs(m - mean) < 5 * math.sqrt(variance / n), what .. " mean " .. m)
      local spread = math.sqrt((fourth - variance ^ 2) / n)
      assert.is_true(math.abs(v - variance) < 5 * spread, what .. " variance " .. v)
    end
    torch.manual_seed(1)
    for _, dtype in ipairs { torch.float32, torch.float64 } do
      local options = { dtype = dtype }
      check("rand", torch.rand(n, options), 1 / 2, 1 / 12, 1 / 80)
      check("randn", torch.randn(n, options), 0, 1, 3)
      check("uniform_", torch.empty(n, options):uniform_(-2, 3), 1 / 2, 25 / 12, 625 / 80)
      check("exponential_", torch.empty(n, options):exponential_(2), 1 / 2, 1 / 4, 9 / 16)
    end
    check("bernoulli_", torch.empty(n):bernoulli_(0.3), 0.3, 0.21, 0.3 * 0.7 * (0.7 ^ 3 + 0.3 ^ 3))
    check("randint", torch.randint(0, 10, { n }), 4.5, 8.25, 120.8625)
    local x = torch.randn(n)
    local pairs_of = x:view(-1, 2)
    local r = (pairs_of:select(2, 1) * pairs_of:select(2, 2)):mean():item()
    assert.is_true(math.abs(r) < 5 / math.sqrt(n / 2), "neighbours are correlated: " .. r)
  end)

  it("stay in their range", function()
    for _, dtype in ipairs { torch.float32, torch.float64, torch.float16, torch.bfloat16 } do
      local x = torch.rand(100000, { dtype = dtype })
      assert.is_true(x:min():item() >= 0 and x:max():item() < 1)
      x:uniform_(2, 3)
      assert.is_true(x:min():item() >= 2 and x:max():item() < 3)
    end
    local r = torch.randint(-3, 4, { 10000 })
    assert.equals(-3, r:min():item())
    assert.equals(3, r:max():item())
    assert.is_true(torch.empty(100000):exponential_():min():item() > 0)
  end)
end)

describe("randperm", function()
  it("holds every number from 1 to n once", function()
    for _, n in ipairs { 0, 1, 2, 9, 64, 1000, 140000 } do
      local sorted = torch.randperm(n):sort()
      assert.is_true(same(sorted, torch.arange(1, n + 1)))
    end
    assert.equals("int32", H.dtype(torch.randperm(5, { dtype = torch.int32 })))
    H.raises(function() torch.randperm(300, { dtype = torch.uint8 }) end, "too large")
  end)

  it("gives every order as often", function()
    torch.manual_seed(2)
    local count, n = {}, 6000
    for _ = 1, n do
      local key = table.concat(torch.randperm(3):tolist())
      count[key] = (count[key] or 0) + 1
    end
    local orders = 0
    for _, c in pairs(count) do
      orders = orders + 1
      assert.is_true(math.abs(c - n / 6) < 5 * math.sqrt(n / 6))
    end
    assert.equals(6, orders)
  end)
end)

describe("multinomial", function()
  it("draws in proportion, with and without replacement", function()
    torch.manual_seed(3)
    local n = 40000
    local function share(x, k) return x:eq(k):sum():item() / n end
    local p = torch.tensor { 1, 2, 0, 3, 4 }
    local x = torch.multinomial(p, n, true)
    for k, want in ipairs { 0.1, 0.2, 0, 0.3, 0.4 } do
      assert.is_true(math.abs(share(x, k) - want) <= 5 * math.sqrt(want * (1 - want) / n))
    end
    local pair = torch.multinomial(p:expand(n, 5), 2)
    assert.is_true(math.abs(share(pair:select(2, 1), 5) - 0.4) < 0.0125)
    local second = 0.1 * 0 + 0.2 * 0.1 / 0.8 + 0.3 * 0.1 / 0.7 + 0.4 * 0.1 / 0.6
    assert.is_true(math.abs(share(pair:select(2, 2), 1) - second) < 0.009)
    assert.is_false(pair:select(2, 1):eq(pair:select(2, 2)):any():item())
    H.raises(function() torch.multinomial(p, 5) end, "not enough")
    H.raises(function() torch.multinomial(p, 6) end, "without replacement")
  end)
end)

describe("dropout", function()
  it("keeps 1 - p of the elements, scaled, and the same ones in backward", function()
    for _, dtype in ipairs { torch.float32, torch.float64, torch.float16 } do
      local x = torch.ones(200, 300, { dtype = dtype }):t():requires_grad_(true)
      local y = F.dropout(x, 0.75)
      local kept = y:detach():ne(0)
      assert.is_true(math.abs(kept:double():mean():item() - 0.25) < 0.01)
      assert.equals(4, y:max():item())
      y:sum():backward()
      assert.is_true(same(x.grad, y:detach()))
    end
  end)

  it("has a second derivative that finds the mask again", function()
    local x = torch.rand(50, { dtype = torch.float64 }):requires_grad_(true)
    local y = F.dropout(x, 0.5)
    local g = torch.autograd.grad((y * y):sum(), x, { create_graph = true })
    local gg = torch.autograd.grad(g:sum(), x)
    assert.is_true(same(gg, y:detach():ne(0):double() * 8))
  end)

  it("is the identity outside training, and all or nothing at the ends", function()
    local x = torch.randn(20)
    assert.is_true(same(F.dropout(x, 0.5, false), x))
    assert.is_true(same(F.dropout(x, 0), x))
    assert.equals(0, F.dropout(torch.full({ 5 }, math.huge), 1):abs():max():item())
    local z = torch.ones(1000)
    F.dropout(z, 0.5, true, true)
    assert.equals(2, z:max():item())
    assert.equals(0, z:min():item())
    H.raises(function() F.dropout(x, 1.5) end, "between 0 and 1")
  end)
end)
