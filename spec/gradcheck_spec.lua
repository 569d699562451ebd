-- torch.autograd: gradcheck and gradgradcheck find what is wrong, and jacobian, hessian, vjp, jvp.
local H = require "spec.helper"
local torch = H.torch
local autograd = torch.autograd

local function leaf(values)
  return torch.tensor(values, { dtype = torch.float64, requires_grad = true })
end

-- x^2 with a derivative that is wrong by a factor.
local function wrong(factor)
  return autograd.Function("Wrong", {
    forward = function(ctx, x) ctx:save_for_backward(x) return x * x end,
    backward = function(ctx, grad) return grad * ctx:saved_tensors() * factor end,
  })
end

describe("gradcheck", function()
  it("passes what is right", function()
    local a, b = leaf { { 1, 2 }, { 3, 4 } }, leaf { 0.5, -1 }
    assert.is_true(autograd.gradcheck(function(x, y) return (x * y):sin():sum(1), x:matmul(y) end, { a, b }))
    assert.is_true(autograd.gradgradcheck(function(x, y) return (x * y):sin():sum(1) end, { a, b }))
    assert.is_true(autograd.gradcheck(function(x) return x:exp() end, a:detach():t():requires_grad_(true)))
    assert.is_true(autograd.gradcheck(wrong(2), { leaf { 1, -2 } }))
  end)

  it("finds a wrong derivative and says where", function()
    H.raises(function() autograd.gradcheck(wrong(3), { leaf { 1, -2 } }) end, "gradcheck_spec.lua:",
      "derivative of output 1 with respect to input 1 is wrong", "element 2", "numerical -4", "analytical -6")
    local ok, text = autograd.gradcheck(wrong(3), { leaf { 1 } }, { raise_exception = false })
    assert.is_false(ok)
    assert.truthy(text:find("numerical", 1, true))
    local Detached = autograd.Function("Detached", {
      forward = function(ctx, x) ctx:save_for_backward(x) return x * x end,
      backward = function(ctx, grad) return grad * 2 * ctx:saved_tensors():detach() end,
    })
    assert.is_true(autograd.gradcheck(Detached, { leaf { 1, 2 } }))
    H.raises(function() autograd.gradgradcheck(Detached, { leaf { 1, 2 } }) end, "gradgradcheck", "input 1")
  end)

  it("asks for float64 and for something to check", function()
    H.raises(function() autograd.gradcheck(torch.exp, torch.ones(2, { requires_grad = true })) end, "float64")
    H.raises(function() autograd.gradcheck(torch.exp, torch.ones(2):double()) end, "requires grad")
    H.raises(function() autograd.gradcheck(torch.exp, leaf { 1 }, { tol = 1 }) end, "unknown keyword 'tol'")
  end)
end)

describe("torch.autograd", function()
  it("has jacobian and hessian", function()
    local x = leaf { 1, 2, 3 }
    local function f(v) return (v ^ 2):sum() * v end
    -- d(s v_i)/dv_j = s [i = j] + 2 v_i v_j
    H.close(autograd.jacobian(f, x), { { 16, 4, 6 }, { 4, 22, 12 }, { 6, 12, 32 } })
    H.close(autograd.hessian(function(v) return (v ^ 3):sum() end, x), { { 6, 0, 0 }, { 0, 12, 0 }, { 0, 0, 18 } })
    local rows = autograd.hessian(function(a, b) return (a * b):sum() end, { leaf { 1, 2 }, leaf { 3, 4 } })
    H.close(rows[1][2], { { 1, 0 }, { 0, 1 } })
    H.close(rows[1][1], { { 0, 0 }, { 0, 0 } })
    local list = autograd.jacobian(function(a, b) return a:sum() * b end, { leaf { 1, 2 }, leaf { 3 } })
    assert.same({ 1, 2 }, { unpack(list[1]:size()) })
    H.raises(function() autograd.hessian(f, x) end, "one number")
    assert.is_nil(x.grad)
  end)

  it("has vjp and jvp", function()
    local x = leaf { 1, 2, 3 }
    local function f(v) return (v ^ 2):sum() * v end
    local v = torch.tensor({ 1, 0, -1 }, { dtype = torch.float64 })
    local y, product = autograd.vjp(f, x, v)
    H.close(y, { 14, 28, 42 })
    H.close(product, { 10, -8, -26 })
    y, product = autograd.jvp(f, x, v)
    H.close(y, { 14, 28, 42 })
    H.close(product, { 10, -8, -26 })
  end)
end)
