-- Error texts, word for word: every one names the op, the argument, what it got and what it wanted,
-- speaks 1-based, stands at the user's line, and inside a model begins with the module's path.
local H = require "spec.helper"
local torch = H.torch
local nn, F = torch.nn, torch.nn.functional

local function int64(list) return torch.tensor(list, { dtype = torch.int64 }) end

-- Each: what is done, and the text after "file:line: ". A return would be a tail call, which
-- leaves no line behind.
local cases = {
  { "shapes that do not broadcast", function() local _ = torch.ones(2, 3) + torch.ones(4) end, [[
add: The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 2
  self float32 {2, 3}   other float32 {4}]] },
  { "a dimension out of range", function() local _ = torch.ones(2, 3):sum(3) end,
    "sum: dim: Dimension out of range (expected to be in range of [1, 2] or [-2, -1], but got 3)" },
  { "dimension 0", function() local _ = torch.ones(2, 3):sum(0) end,
    "sum: dim is 0: dimensions count from 1" },
  { "a misspelled method", function() torch.ones(2):summ() end,
    "a tensor has no field 'summ'; did you mean 'sum'?" },
  { "a misspelled function", function() torch.summ(1) end, "torch has no 'summ'; did you mean 'sum'?" },
  { "a misspelled keyword", function() torch.zeros(2, { dtyp = torch.int64 }) end,
    "zeros: unknown keyword 'dtyp', did you mean 'dtype'? (known: size, dtype, device, requires_grad, out)" },
  { "a class that Python counted", function() F.cross_entropy(torch.ones(2, 3), int64 { 0, 1 }) end,
    "cross_entropy: classes are 1..C; labels written by Python need + 1" },
  { "a loss whose shapes differ", function() F.mse_loss(torch.ones(2, 3), torch.ones(2)) end, [[
mse_loss: Using a target size ({2}) that is different to the input size ({2, 3}) is not supported. ]] .. [[
Please ensure they have the same size.
  input float32 {2, 3}   target float32 {2}]] },
  { "a view that does not fit", function() local _ = torch.ones(2, 3):view(4) end, [[
view: shape '{4}' is invalid for input of size 6
  self float32 {2, 3}]] },
  { "a product that does not fit", function() torch.ones(2, 3):matmul(torch.ones(2, 3)) end, [[
matmul: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)
  self float32 {2, 3}   other float32 {2, 3}]] },
  { "index 0", function() local _ = torch.ones(3)[0] end, "index 0: positions count from 1" },
  { "an index out of range", function() local _ = torch.ones(64)[65] end,
    "index 65 is out of range for dimension 1 with size 64" },
  { "order between tensors", function() local _ = torch.ones(3) < torch.ones(3) end,
    "'<' gives one boolean, which two tensors have not: compare elementwise with x:lt(y), :le, :gt, :ge, "
      .. "or compare numbers, x:item() < y:item()" },
  { "joining with ..", function() local _ = "a" .. torch.ones(3) end,
    "a tensor cannot be joined with '..': use :item() for the number of a tensor with one element, "
      .. "or tostring(x)" },
  { "in place, a result that does not fit", function() int64({ 1, 2 }):add_(1.5) end,
    "add: result type float32 can't be cast to the desired output type int64" },
  { "item of several", function() torch.ones(2):item() end,
    "item: a tensor with 2 elements cannot be converted to a number, its shape is {2}" },
  { "a missing argument", function() torch.ones(2):add() end, "add: missing argument other" },
  { "an argument given twice", function() torch.ones(2):sum(1, { dim = 1 }) end, "sum: dim is given twice" },
  { "too many arguments", function() torch.add(1, 2, 3, 4, 5) end,
    "add: takes at most 2 arguments (self, other), got 5" },
  { "a position out of range", function() torch.ones(2, 3):gather(1, int64 { { 9 } }) end,
    "gather: index 9 is out of bounds for dimension 1 with size 2" },
  { "a layer's misspelled option", function() nn.Linear(3, 4, { biass = false }) end,
    "nn.Linear: unknown keyword 'biass'; did you mean 'bias'? "
      .. "(known: in_features, out_features, bias, device, dtype)" },
}

describe("the error of", function()
  for _, case in ipairs(cases) do
    it(case[1], function()
      local ok, message = pcall(case[2])
      assert.is_false(ok)
      local line = debug.getinfo(case[2], "S").linedefined
      local place, text = tostring(message):match("^(.-:%d+): (.*)$")
      assert.equals(case[3], text)
      -- the function may span lines: the position is in it
      local file, at = place:match("^(.*):(%d+)$")
      assert.truthy(file:find("errors_spec.lua", 1, true))
      assert.is_true(tonumber(at) >= line and tonumber(at) <= line + 2, place)
    end)
  end

  it("a layer in a model, with its path", function()
    local net = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.Linear(784, 10))
    local ok, message = pcall(function()
      net(torch.ones(64, 784))
    end)
    assert.is_false(ok)
    assert.equals([[
in net.3 (nn.Linear(784 -> 10)): linear: input has 512 features in its last dimension, weight wants 784
  input float32 {64, 512}   weight float32 {10, 784}   bias float32 {10}]], message:match("^.-:%d+: (.*)$"))
  end)
end)
