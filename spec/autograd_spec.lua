-- Autograd as a user meets it: accumulation, graphs kept and freed, vector arguments, leaves and
-- versions, hooks, Lua functions, second derivatives, chains too long for a stack.
local H = require "spec.helper"
local torch = H.torch

local function leaf(x, opts)
  opts = opts or {}
  opts.requires_grad = true
  return torch.tensor(x, opts)
end

describe("backward", function()
  it("fills .grad of leaves", function()
    local x = leaf { 1, 2, 3 }
    ;(x * x):sum():backward()
    H.close(x.grad, { 2, 4, 6 })
  end)

  it("accumulates", function()
    local x = leaf { 1, 2 }
    for _ = 1, 3 do (x * 2):sum():backward() end
    H.close(x.grad, { 6, 6 })
    x.grad = nil
    ;(x * 2):sum():backward()
    H.close(x.grad, { 2, 2 })
  end)

  it("adds up what reaches a tensor by several ways", function()
    local x = leaf { 2 }
    local y = x * 3
    ;(y * y + y + x):sum():backward()
    H.close(x.grad, { 2 * 6 * 3 + 3 + 1 })
  end)

  it("wants a gradient for a result that is no scalar", function()
    local x = leaf { 1, 2 }
    H.raises(function() (x * 2):backward() end, "grad can be implicitly created only for scalar outputs")
    ;(x * 2):backward(torch.tensor { 1, 10 })
    H.close(x.grad, { 2, 20 })
  end)

  it("frees the graph, unless told to keep it", function()
    local x = leaf { 1, 2 }
    local y = (x * x):sum()
    y:backward { retain_graph = true }
    y:backward()
    H.close(x.grad, { 4, 8 })
    H.raises(function() y:backward() end, "second time")
  end)

  it("refuses a tensor that has no graph", function()
    H.raises(function() torch.ones(1):backward() end, "does not require grad")
  end)

  it("broadcasts back", function()
    local x, y = leaf { { 1 }, { 2 } }, leaf { 1, 2, 3 }
    ;(x * y):sum():backward()
    H.close(x.grad, { { 6 }, { 6 } })
    H.close(y.grad, { 3, 3, 3 })
  end)
end)

describe("grad mode", function()
  it("is off within no_grad, also after an error", function()
    local x = leaf { 1 }
    torch.no_grad(function()
      assert.is_false((x * 2).requires_grad)
      torch.enable_grad(function() assert.is_true((x * 2).requires_grad) end)
    end)
    H.raises(function() torch.no_grad(function() error("boom") end) end, "boom")
    assert.is_true((x * 2).requires_grad)
  end)

  it("returns what fn returns", function()
    local a, b = torch.no_grad(function(p, q) return q, p end, 1, 2)
    assert.equals(2, a)
    assert.equals(1, b)
  end)

  it("detach cuts, and shares memory", function()
    local x = leaf { 1, 2 }
    local y = (x * 2):detach()
    assert.is_false(y.requires_grad)
    local z = x:detach()
    torch.no_grad(function() z:mul_(3) end)
    H.close(x, { 3, 6 })
  end)
end)

describe("in-place writes", function()
  it("are refused on a leaf that requires grad", function()
    local x = leaf { 1, 2 }
    H.raises(function() x:add_(1) end, "leaf", "in-place")
    torch.no_grad(function() x:add_(1) end)
    H.close(x, { 2, 3 })
  end)

  it("are seen by backward when the old value was needed", function()
    local x = leaf { 1, 2 }
    local y = x * 1
    local z = y * y
    y:add_(1)
    H.raises(function() z:sum():backward() end, "modified by an inplace operation")
  end)

  it("are no harm when the value is not needed", function()
    local x = leaf { 1, 2 }
    local y = x * 3
    local z = y + 1
    y:mul_(2)
    ;(z + y):sum():backward()
    H.close(x.grad, { 9, 9 })
  end)

  it("through a view change the base's history", function()
    local x = leaf { 1, 2, 3 }
    local y = x * 1
    y[2]:mul_(10)
    y[{ { 3 } }] = y[{ { 1 } }] * 5
    y:sum():backward()
    H.close(x.grad, { 6, 10, 0 })
  end)

  it("to the base reach a view made before", function()
    local x = leaf { 1, 2 }
    local y = x * 1
    local v = y[{ { 2 } }]
    y:mul_(4)
    v:sum():backward()
    H.close(x.grad, { 0, 4 })
  end)

  it("are refused on views made together", function()
    local x = leaf { 1, 2, 3, 4 }
    local parts = (x * 1):split(2)
    H.raises(function() parts[1]:mul_(2) end, "view")
  end)
end)

describe("grad_fn", function()
  it("has a name and next_functions", function()
    local x = leaf { 1, 2 }
    assert.is_nil(x.grad_fn)
    assert.is_true(x.is_leaf)
    local y = (x * 2):sum()
    assert.is_false(y.is_leaf)
    assert.equals("SumBackward", y.grad_fn.name)
    local mul = y.grad_fn.next_functions[1]
    mul = mul.name and mul or mul[1]
    assert.equals("MulBackward", mul.name)
  end)
end)

describe("hooks", function()
  it("see the gradient and may replace it", function()
    local x = leaf { 1, 2 }
    local y = x * 2
    local seen
    y:register_hook(function(g)
      seen = g:clone()
      return g * 10
    end)
    y:sum():backward()
    H.close(seen, { 1, 1 })
    H.close(x.grad, { 20, 20 })
  end)

  it("work on leaves and can be removed", function()
    local x = leaf { 1, 2 }
    local handle = x:register_hook(function(g) return g * 0 end)
    ;(x * 2):sum():backward()
    H.close(x.grad, { 0, 0 })
    handle:remove()
    x.grad = nil
    ;(x * 2):sum():backward()
    H.close(x.grad, { 2, 2 })
  end)

  it("pass their errors on, and the next backward works", function()
    local x = leaf { 1 }
    local y = x * 2
    y:register_hook(function() error("from the hook") end)
    H.raises(function() y:sum():backward() end, "from the hook")
    ;(x * 2):sum():backward()
    assert.is_not_nil(x.grad)
  end)

  it("retain_grad keeps the gradient of what is no leaf", function()
    local x = leaf { 3 }
    local y = x * x
    y:retain_grad()
    ;(y * 2):sum():backward()
    H.close(y.grad, { 2 })
  end)
end)

describe("autograd.grad", function()
  it("gives gradients and leaves .grad alone", function()
    local x, y = leaf { 2 }, leaf { 3 }
    local g = torch.autograd.grad((x * y):sum(), { x, y })
    H.close(g[1], { 3 })
    H.close(g[2], { 2 })
    assert.is_nil(x.grad)
    local single = torch.autograd.grad((x * x):sum(), x)
    H.close(single, { 4 })
  end)

  it("says which input is not used", function()
    local x, y = leaf { 2 }, leaf { 3 }
    H.raises(function() torch.autograd.grad((x * 2):sum(), { x, y }) end, "not have been used")
    local g = torch.autograd.grad((x * 2):sum(), { x, y }, { allow_unused = true })
    H.close(g[1], { 2 })
    assert.is_nil(g[2])
  end)

  it("gives derivatives of derivatives with create_graph", function()
    local x = leaf({ 2 }, { dtype = torch.float64 })
    local d1 = torch.autograd.grad((x ^ 4):sum(), x, { create_graph = true })
    H.close(d1, { 32 })
    local d2 = torch.autograd.grad(d1:sum(), x, { create_graph = true })
    H.close(d2, { 48 })
    local d3 = torch.autograd.grad(d2:sum(), x)
    H.close(d3, { 48 })
  end)
end)

describe("a Lua function", function()
  local Cube = torch.autograd.Function("Cube", {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      return x * x * x
    end,
    backward = function(ctx, grad)
      local x = ctx:saved_tensors()
      return grad * 3 * x * x
    end,
  })

  it("is differentiable", function()
    local x = leaf({ 2, -1 }, { dtype = torch.float64 })
    Cube(x):sum():backward()
    H.close(x.grad, { 12, 3 })
    assert.equals("CubeBackward", Cube(x).grad_fn.name)
    assert.is_true(torch.autograd.gradcheck(Cube, { x }) ~= false)
  end)

  it("has second derivatives, its backward being made of ops", function()
    local x = leaf({ 2, -1 }, { dtype = torch.float64 })
    assert.is_true(torch.autograd.gradgradcheck(Cube, { x }) ~= false)
  end)

  it("takes several inputs and gives several results", function()
    local Both = torch.autograd.Function("Both", {
      forward = function(ctx, a, b)
        ctx:save_for_backward(a, b)
        return a * b, a + b
      end,
      backward = function(ctx, g1, g2)
        local a, b = ctx:saved_tensors()
        return g1 * b + g2, g1 * a + g2
      end,
    })
    local a, b = leaf { 2 }, leaf { 5 }
    local p, s = Both(a, b)
    ;(p + s * 10):sum():backward()
    H.close(a.grad, { 15 })
    H.close(b.grad, { 12 })
  end)

  it("sees that a saved tensor was written", function()
    local x = leaf { 1 }
    local y = x * 1
    local z = Cube(y)
    y:add_(1)
    H.raises(function() z:sum():backward() end, "modified by an inplace operation")
  end)

  it("may call autograd.grad in its backward", function()
    local Inner = torch.autograd.Function("Inner", {
      forward = function(ctx, x)
        ctx:save_for_backward(x)
        return x * x
      end,
      backward = function(ctx, grad)
        local x = ctx:saved_tensors()
        local g = torch.enable_grad(function()
          local y = x:detach()
          y.requires_grad = true
          return torch.autograd.grad((y * y):sum(), y)
        end)
        return grad * g
      end,
    })
    local x = leaf { 3 }
    Inner(x):sum():backward()
    H.close(x.grad, { 6 })
  end)
end)

describe("a long chain", function()
  it("of a million ops differentiates and is freed", function()
    local x = leaf({ 1 }, { dtype = torch.float64 })
    local y = x
    for _ = 1, 1000000 do y = y + 1e-6 end
    y:sum():backward()
    H.close(x.grad, { 1 })
    H.close(y, { 2 }, { rtol = 1e-6 })
  end)

  it("of a million ops is freed without backward", function()
    H.leaves_nothing(function()
      local y = leaf { 1 }
      for _ = 1, 1000000 do y = y * 1 end
    end)
  end)
end)

describe("forwards without backward", function()
  it("leave nothing alive, 10,000 times, with a Lua function too", function()
    local Keep = torch.autograd.Function("Keep", {
      forward = function(ctx, x)
        local y = x:exp()
        ctx:save_for_backward(x, y)
        return y
      end,
      backward = function(ctx, g)
        local _, y = ctx:saved_tensors()
        return g * y
      end,
    })
    local w = torch.randn(8, 8, { requires_grad = true })
    H.leaves_nothing(function()
      for _ = 1, 10000 do
        local y = torch.tanh(w:matmul(w))
        y = Keep(y)
        torch.softmax(y, 1)
      end
    end)
  end)

  it("leaves views without data alone", function()
    local view = torch.zeros(2, { device = "meta", requires_grad = true })[1]
    assert.is_true(view.requires_grad)
    assert.equal("SelectBackward", view.grad_fn.name)
    assert.is_string(tostring(view))
  end)
end)
