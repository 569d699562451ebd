-- torch.class: Torch7's classes, as api.md describes them.
local H = require "spec.helper"
local torch = H.torch

describe("torch.class", function()
  it("makes objects, inherits methods and __init, and returns the parent", function()
    local A = torch.class("A")
    function A:__init(n) self.n = n end
    function A:twice() return 2 * self.n end
    local B, parent = torch.class("B", A)
    assert.equals(A, parent)
    assert.equals(6, B(3):twice())
    function B:__init(n) parent.__init(self, n + 1) end
    assert.equals(8, B(3):twice())
    assert.equals("B", torch.typename(B(1)))
    assert.is_true(torch.isTypeOf(B(1), A))
    assert.is_false(torch.isTypeOf(A(1), B))
    assert.is_nil(rawget(_G, "A"))
  end)

  it("inherits metamethods", function()
    local Pair = torch.class("Pair")
    function Pair:__init(a, b) self.a, self.b = a, b end
    function Pair.__add(x, y) return Pair(x.a + y.a, x.b + y.b) end
    function Pair:__tostring() return self.a .. "|" .. self.b end
    local Sub = torch.class("Sub", Pair)
    assert.equals("4|6", tostring(Sub(1, 2) + Sub(3, 4)))
  end)

  it("names what is wrong", function()
    H.raises(function() torch.class(3) end, "class_spec.lua:", "the name must be a string")
    H.raises(function() torch.class("X", {}) end, "parent of 'X' must be a class")
  end)
end)

describe("torch", function()
  it("names the nearest when something does not exist", function()
    H.raises(function() return torch.zeroes end, "class_spec.lua:", "did you mean 'zeros'?")
    H.raises(function() return torch.cross_entropy end, "torch.nn.functional.cross_entropy")
    H.raises(function() return torch.nn.Liner end, "did you mean 'Linear'?")
    H.raises(function() return torch.optim.Adm end, "did you mean 'Adam'?")
    H.raises(function() return torch.nn.functional.crossentropy end, "did you mean 'cross_entropy'?")
  end)

  it("has Torch7's typed constructors", function()
    assert.same({ 2, 3 }, { unpack(torch.FloatTensor(2, 3):size()) })
    H.same(torch.LongTensor { 1, 2 }, torch.tensor({ 1, 2 }, { dtype = torch.int64 }))
    H.same(torch.DoubleTensor { { 1, 2 }, { 3, 4 } }, torch.tensor({ { 1, 2 }, { 3, 4 } }, { dtype = torch.float64 }))
    assert.equals("torch.ByteTensor", torch.ByteTensor(2):type())
    assert.equals(torch.bool, torch.BoolTensor { true }.dtype)
    H.same(torch.HalfTensor(torch.ones(2)), torch.ones(2):half())
    assert.equals(0, torch.FloatTensor():numel())
    H.raises(function() torch.FloatTensor("x") end, "FloatTensor")
  end)

  it("has finfo and iinfo", function()
    assert.equals(2 ^ -23, torch.finfo().eps)
    assert.equals(65504, torch.finfo(torch.float16).max)
    assert.equals(127, torch.iinfo(torch.int8).max)
    H.raises(function() torch.finfo(torch.int8) end, "iinfo")
  end)
end)
