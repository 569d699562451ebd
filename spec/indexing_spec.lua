-- Every line of the indexing table: what x[...] gives and what x[...] = v does, with positions
-- from 1, inclusive ranges, and errors that say what is wrong.
local H = require "spec.helper"
local torch = H.torch

local function matrix() -- {{1,2,3},{4,5,6},{7,8,9}}
  return torch.arange(1, 10, { dtype = torch.float32 }):view(3, 3)
end

describe("x[i]", function()
  it("is a view of one dimension less", function()
    local x = matrix()
    H.close(x[2], { 4, 5, 6 })
    H.close(x[-1], { 7, 8, 9 })
    x[2]:fill_(0)
    H.close(x, { { 1, 2, 3 }, { 0, 0, 0 }, { 7, 8, 9 } })
  end)

  it("of a vector is a 0-dim tensor", function()
    local v = torch.tensor { 5, 6 }
    assert.equals(0, v[2].ndim)
    assert.equals(6, v[2]:item())
  end)

  it("refuses 0, fractions, strings and what is out of range", function()
    local x = matrix()
    H.raises(function() return x[0] end, "0")
    H.raises(function() return x[1.9] end)
    H.raises(function() return x["2"] end)
    H.raises(function() return x[4] end, "4", "3")
    H.raises(function() return x[-4] end, "-4", "3")
  end)
end)

describe("x[{...}]", function()
  it("takes several dimensions", function()
    assert.equals(6, matrix()[{ 2, 3 }]:item())
    H.close(matrix()[{ {}, 1 }], { 1, 4, 7 })
  end)

  it("has inclusive ranges", function()
    local x = matrix()
    H.close(x[{ { 2, 3 } }], { { 4, 5, 6 }, { 7, 8, 9 } })
    H.close(x[{ { 2, -1 }, { 1, 2 } }], { { 4, 5 }, { 7, 8 } })
    H.close(x[{ { 1, -1, 2 } }], { { 1, 2, 3 }, { 7, 8, 9 } })
    H.close(x[{ { 3 } }], { { 7, 8, 9 } })
  end)

  it("has empty ranges where they make sense", function()
    local v = torch.tensor { 1, 2, 3 }
    assert.equals(0, v[{ { 2, 1 } }]:numel())
    assert.equals(0, v[{ { 4, 3 } }]:numel())
    H.raises(function() return v[{ { 3, 1 } }] end, "3")
    H.raises(function() return v[{ { 5, 5 } }] end, "3")
    H.raises(function() return v[{ { 1, 4 } }] end, "3")
    H.raises(function() return v[{ { 3, 1, -1 } }] end, "flip")
  end)

  it("has the ellipsis and newaxis", function()
    local x = torch.arange(1, 25):view(2, 3, 4)
    H.close(x[{ "...", 1 }], x[{ {}, {}, 1 }])
    H.close(x[{ 2, "...", 4 }], x[{ 2, {}, 4 }])
    assert.is_true(x[{ torch.newaxis, 1 }].shape == torch.Size { 1, 3, 4 })
  end)

  it("refuses too many places", function()
    H.raises(function() return matrix()[{ 1, 1, 1 }] end, "too many indices")
  end)
end)

describe("tensors as indices", function()
  it("gather", function()
    local x = matrix()
    H.close(x[torch.tensor({ 3, 1 }, { dtype = torch.int64 })], { { 7, 8, 9 }, { 1, 2, 3 } })
    local i = torch.tensor({ 1, 2, -1 }, { dtype = torch.int64 })
    local j = torch.tensor({ 3, 2, 1 }, { dtype = torch.int64 })
    H.close(x[{ i, j }], { 3, 5, 7 })
    H.close(x[{ i:unsqueeze(2), j }], { { 3, 2, 1 }, { 6, 5, 4 }, { 9, 8, 7 } })
    H.close(x[{ {}, torch.tensor({ 2 }, { dtype = torch.int32 }) }], { { 2 }, { 5 }, { 8 } })
  end)

  it("mask", function()
    local x = matrix()
    H.close(x[x:gt(6)], { 7, 8, 9 })
    H.close(x[torch.tensor { true, false, true }], { { 1, 2, 3 }, { 7, 8, 9 } })
  end)

  it("of other dtypes are refused with advice", function()
    local x = matrix()
    H.raises(function() return x[torch.tensor({ 1, 0, 1 }, { dtype = torch.uint8 })] end, "bool()")
    H.raises(function() return x[torch.tensor { 1, 2 }] end, "long()")
  end)

  it("out of range are refused", function()
    local x = matrix()
    H.raises(function() return x[torch.tensor({ 4 }, { dtype = torch.int64 })] end, "4")
    H.raises(function() return x[torch.tensor({ 0 }, { dtype = torch.int64 })] end, "0")
  end)
end)

describe("x[...] = v", function()
  it("writes numbers and tensors, broadcast", function()
    local x = matrix()
    x[1] = 0
    x[{ {}, 3 }] = torch.tensor { 10, 20, 30 }
    x[{ 2, 2 }] = -1
    x[{ { 3 } }] = x[{ { 3 } }] * 2
    H.close(x, { { 0, 0, 10 }, { 4, -1, 20 }, { 14, 16, 60 } })
  end)

  it("writes through masks and positions", function()
    local x = matrix()
    x[x:gt(7)] = 0
    x[torch.tensor({ 1, 2 }, { dtype = torch.int64 })] = torch.tensor { 1, 1, 1 }
    H.close(x, { { 1, 1, 1 }, { 1, 1, 1 }, { 7, 0, 0 } })
  end)

  it("refuses a shape that does not fit", function()
    local x = matrix()
    H.raises(function() x[1] = torch.ones(2) end, "2")
    H.raises(function() x[x:gt(6)] = torch.ones(2) end)
    H.close(x, { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } })
  end)

  it("is recorded", function()
    local x = torch.ones(3, { requires_grad = true })
    local v = torch.tensor({ 5 }, { requires_grad = true })
    local y = x * 2
    y[{ { 2 } }] = v
    y[torch.tensor({ 3 }, { dtype = torch.int64 })] = v * 3
    y:sum():backward()
    H.close(x.grad, { 2, 0, 0 })
    H.close(v.grad, { 4 })
  end)
end)

describe("gradients of reading", function()
  it("come back to their place, repeated positions add up", function()
    local x = torch.ones(3, { requires_grad = true })
    local i = torch.tensor({ 1, 3, 3 }, { dtype = torch.int64 })
    x[i]:sum():backward()
    H.close(x.grad, { 1, 0, 2 })
    x.grad = nil
    ;(x[{ { 2, 3 } }]:sum() * 2 + x[1]):backward()
    H.close(x.grad, { 1, 2, 2 })
  end)
end)
