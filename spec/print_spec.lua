-- Printing: PyTorch's layout with Lua's braces. The texts are PyTorch's, brackets replaced.
local H = require "spec.helper"
local torch = H.torch

local function shows(x, text) assert.equals(text, tostring(x)) end

describe("print", function()
  after_each(function() torch.set_printoptions { profile = "default" } end)

  it("shows floats with four decimals and one width", function()
    shows(torch.tensor { { 1, 2 }, { 3, 4.5 } }, "tensor({{1.0000, 2.0000},\n        {3.0000, 4.5000}})")
    shows(torch.tensor { { 0.3277, 0.7579 }, { -0.1860, 0.8509 } },
      "tensor({{ 0.3277,  0.7579},\n        {-0.1860,  0.8509}})")
    shows(torch.tensor(27), "tensor(27.)")
    shows(torch.arange(12):float(), "tensor({ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11.})")
    shows(torch.tensor { 1, 0 / 0, math.huge }, "tensor({1., nan, inf})")
  end)

  it("shows ints, bools and other dtypes", function()
    shows(torch.arange(6):view(2, 3), "tensor({{0, 1, 2},\n        {3, 4, 5}})")
    shows(torch.tensor { { true, false } }, "tensor({{ true, false}})")
    shows(torch.tensor({ 1, -2 }, { dtype = torch.int32 }), "tensor({ 1, -2}, dtype=torch.int32)")
    shows(torch.tensor({ 9007199254740993LL }), "tensor({9007199254740993})")
  end)

  it("goes to scientific notation when the range asks for it", function()
    shows(torch.tensor { 1e-5, 1 }, "tensor({1.0000e-05, 1.0000e+00})")
    shows(torch.tensor { 1e9 }, "tensor({1.0000e+09})")
    torch.set_printoptions { sci_mode = false }
    shows(torch.tensor { 1e-5, 1 }, "tensor({0.0000, 1.0000})")
  end)

  it("separates matrices by blank lines", function()
    shows(torch.zeros(2, 2, 2), "tensor({{{0., 0.},\n         {0., 0.}},\n\n        {{0., 0.},\n         {0., 0.}}})")
  end)

  it("leaves the middle out above a thousand elements", function()
    shows(torch.arange(2000):float():view(2, 1000), [[
tensor({{0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 9.9700e+02, 9.9800e+02,
         9.9900e+02},
        {1.0000e+03, 1.0010e+03, 1.0020e+03,  ..., 1.9970e+03, 1.9980e+03,
         1.9990e+03}})]])
    local start = os.clock()
    local text = tostring(torch.zeros(1):expand(1000000000))
    assert.equals("tensor({0., 0., 0.,  ..., 0., 0., 0.})", text)
    assert.is_true(os.clock() - start < 0.05)
  end)

  it("adds what is not the default", function()
    shows(torch.tensor({ 1.5 }, { dtype = torch.float64, requires_grad = true }),
      "tensor({1.5000}, dtype=torch.float64, requires_grad=true)")
    shows(torch.empty(0, 3), "tensor({}, size={0, 3})")
    shows(torch.empty(0), "tensor({})")
    shows(torch.empty({ 0 }, { dtype = torch.int64 }), "tensor({}, dtype=torch.int64)")
    shows(torch.ones(2, { requires_grad = true }):mean(), "tensor(1., grad_fn=<MeanBackward>)")
    shows(torch.nn.Parameter(torch.ones(2)), "Parameter containing:\ntensor({1., 1.}, requires_grad=true)")
    shows(torch.ones(64, 1, 28, 28).shape, "torch.Size({64, 1, 28, 28})")
  end)

  it("follows set_printoptions", function()
    torch.set_printoptions { precision = 2, threshold = 5, edgeitems = 1 }
    shows(torch.tensor { 1 / 3, 2 }, "tensor({0.33, 2.00})")
    shows(torch.arange(9), "tensor({0,  ..., 8})")
    H.raises(function() torch.set_printoptions { precison = 2 } end, "precison", "precision")
  end)
end)

describe("torch.repr", function()
  local function again(value)
    local fn = assert(loadstring("local torch = ... return " .. torch.repr(value)))
    return fn(torch)
  end

  it("gives text that makes the same tensor", function()
    for _, x in ipairs {
      torch.tensor { { 0.1, -2 / 3 }, { 1e-30, 3 } }, torch.tensor(math.pi), torch.tensor { true, false },
      torch.tensor({ 1 / 3 }, { dtype = torch.float64 }), torch.arange(3), torch.empty(2, 0),
      torch.tensor { 0 / 0, math.huge, -math.huge, -0.0 }, torch.tensor({ 1, 200 }, { dtype = torch.uint8 }),
      torch.tensor { 9007199254740993LL, -1LL }, torch.randn(3):half(), torch.randn(3):bfloat16(),
    } do
      H.same(again(x), x, torch.repr(x))
    end
    assert.is_true(again(torch.ones(2, { requires_grad = true })).requires_grad)
    assert.equals("-inf", tostring(1 / again(torch.tensor { -0.0 }):item()))
  end)

  it("takes tables, Sizes and strings", function()
    local x = again { 1, "two\n", key = { true }, ["not a name"] = torch.Size { 2, 3 } }
    assert.equals(1, x[1])
    assert.equals("two\n", x[2])
    assert.is_true(x.key[1])
    assert.equals(torch.Size { 2, 3 }, x["not a name"])
    H.raises(function() torch.repr(print) end, "function")
  end)
end)
